"""Exported files in the data sets of the trainers themselves: each text is the one that was judged.

`python -m pytest -m stacks` makes an environment for each trainer in a temporary
folder and needs a network. Three conversations are exported, one of them of several turns, and
read by `benchmarks/stacks/readers/read_TRAINER.py`, with the configuration that the export wrote.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from environments import PINS, make
from made_runs import made_run, revised

import cai.models
from cai.export.formats import Format
from cai.export.trainers.table import TRAINERS
from cai.export.writers import export_file
from cai.methods.revision import Chain
from cai.models.base import Completion
from cai.types import Message, Prompt

pytestmark = [pytest.mark.stacks, pytest.mark.network]

READERS = Path(__file__).parents[2] / "benchmarks" / "stacks" / "readers"
TOKENIZER = Path(cai.models.__file__).parent / "embedded"
TALKS = (
    ("How do I mend a lamp?",),
    ("system: Be brief.", "Hi.", "assistant: Yes?", "Go."),
    ("system: Be kind.", "Why?"),
)
SIDES = (("Turn it off.", "Even a goat knows."), ("Gladly.", "No."), ("It is safe.", "I say so."))


def chains() -> list[Chain]:
    """A revised response to each conversation."""
    found: list[Chain] = []
    for number, (talk, (good, bad)) in enumerate(zip(TALKS, SIDES, strict=True)):
        turns = [text.partition(": ") if ": " in text else ("user", "", text) for text in talk]
        messages = tuple(Message(role, content) for role, _, content in turns)
        prompt = Prompt(str(number), messages, f"asked.jsonl:{number}")
        found.append(Chain(prompt, Completion(bad), (revised(good),)))
    return found


@pytest.fixture(scope="module", params=PINS)
def trainer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """The name of a trainer, and the interpreter that has it."""
    folder = tmp_path_factory.mktemp("environment")
    return request.param, make(request.param, folder)


def read(python: Path, trainer: str, format: Format, file: Path) -> list[dict]:
    """The rows as the trainer has them."""
    script = READERS / f"read_{trainer.replace('-', '_')}.py"
    own = {"HF_HOME": str(file.parent / "hf"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    ended = subprocess.run(
        [python, script, format, file, TOKENIZER],
        capture_output=True, text=True, check=False, env={**os.environ, **own},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    lines = [line for line in ended.stdout.splitlines() if line.startswith('{"row"')]
    return [json.loads(line)["row"] for line in lines]


@pytest.mark.parametrize("format", ["sft", "preference", "reward", "kto", "prompts"])
def test_a_trainer_has_the_texts_of_the_export(
    trainer: tuple[str, Path], format: Format, tmp_path: Path
):
    name, python = trainer
    form = TRAINERS[name]
    if format not in form.row_types:
        pytest.skip(f"{form.title} does not read it")
    file = tmp_path / f"{format}{form.suffixes[0]}"
    with made_run(tmp_path / "run", chains()) as run:
        export_file([run], format, file, trainer=name)
    made = [chain for chain in chains() if form.can_read(chain.prompt, format)]
    if format == "kto":
        made = [chain for chain in made for _ in range(2)]
    rows = read(python, name, format, file)
    assert len(rows) == len(made)
    for number, (row, chain) in enumerate(zip(rows, made, strict=True)):
        check_prompt(row, chain, form.trains_earlier_turns)
        good, bad = chain.final, chain.response.text
        match format:
            case "sft":
                assert said(row["response"]).endswith(good)
                if not form.trains_earlier_turns:
                    assert said(row["response"]) == good
            case "kto":
                assert (said(row["response"]), row["label"]) == ((good, True), (bad, False))[
                    number % 2
                ]
            case "preference" | "reward":
                assert said(row["chosen"]).endswith(good)
                assert said(row["rejected"]).endswith(bad)


def said(text: str) -> str:
    """The response without the token that ends a turn in the reader's chat template."""
    return text.removesuffix("<|im_end|>").removesuffix("<|end|>")


def check_prompt(row: dict, chain: Chain, trains_earlier_turns: bool) -> None:
    """Every turn is in the prompt, but for those of the assistant that are trained on."""
    for turn in chain.prompt.messages:
        place = row if trains_earlier_turns and turn.role == "assistant" else row["prompt"]
        assert turn.content in str(place)
