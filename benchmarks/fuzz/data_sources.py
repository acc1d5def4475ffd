"""Changed files of prompts, pairs and responses: both passes agree, or a sentence says why not."""

import csv
import io
import json
import random
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from harness import Attempt, Silent, mutated

from cai.data.pairs import pair_files
from cai.data.prompts import PromptSource
from cai.data.responses import response_files
from cai.types import Prompt

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How do I oil a gate?"},
    {"role": "assistant", "content": "With a can."},
    {"role": "user", "content": "And a lock?"},
]
MARKED = "<|im_start|>user\nHow?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n"
ROWS: tuple[dict[str, object], ...] = (
    {"id": "7", "prompt": "How do I oil a gate?", "system": "Be brief.", "category": "gates"},
    {"messages": TURNS, "lang": "en"},
    {"conversations": [{"from": "human", "value": "How?"}, {"from": "gpt", "value": "So."}]},
    {"prompt": "How?", "chosen": "So.", "rejected": "No.", "history": [["Hi", "Yes?"]]},
    {"question": "How?", "response_a": "So.", "response_b": "No.", "winner": "a", "context": "C"},
    {
        "chosen": "\n\nHuman: How?\n\nAssistant: So.",
        "rejected": "\n\nHuman: How?\n\nAssistant: No.",
    },
    {
        "instruction": "How?",
        "completions": [{"text": "So.", "score": 4}, {"text": "No.", "score": 1}],
    },
    {"prompt": TURNS, "completion": [{"role": "assistant", "content": "So."}], "label": True},
    {"text": MARKED, "overall_preference": -2, "response1": "So.", "response2": "No."},
    {"prompt": "How?", "response": "So.", "helpfulness": 3},
    {"messages": {"role": ["user", "assistant"], "content": ["How?", "So."]}, "tools": "[]"},
    {"message_id": "m", "parent_id": None, "role": "prompter", "text": "How?", "lang": "en"},
)
VALUES = (
    None,
    "",
    " ",
    0,
    -1,
    1e308,
    True,
    [],
    {},
    [[]],
    [None],
    "x" * 3000,
    "\ud800",
    {"role": "tool"},
)


@contextmanager
def attempts(folder: Path) -> Generator[Attempt]:
    def attempt(chance: random.Random, number: int) -> str:
        row = chance.choice(ROWS)
        rows = [_changed(chance, row) for _ in range(chance.choice((1, 2, 5)))]
        ending = chance.choice((".jsonl", ".json", ".csv"))
        content = _written(rows, ending)
        path = folder / f"changed{ending}"
        path.write_bytes(mutated(chance, content) if number % 2 else content)
        source = (str(path),)
        skips = chance.random() < 0.5
        match chance.randrange(3):
            case 0:
                checked = PromptSource(source, skip_bad_rows=skips).check()
                prompts = [item for _, item in checked.items()]
            case 1:
                checked = pair_files(source, skip_bad_rows=skips).check()
                prompts = [item.prompt for _, item in checked.items()]
            case _:
                checked = response_files(source, skip_bad_rows=skips).check()
                prompts = [item.prompt for _, item in checked.items()]
        if len(prompts) != checked.summary.n_items:
            raise Silent(f"{checked.summary.n_items} items in the first pass, then {len(prompts)}")
        for prompt in prompts:
            _check(prompt)
        return "accepted"

    yield attempt


def _check(prompt: Prompt) -> None:
    if prompt.messages[-1].role != "user" or not prompt.messages[-1].content.strip():
        raise Silent(f"a prompt ends in {prompt.messages[-1]}")
    json.dumps(prompt.metadata).encode()


def _changed(chance: random.Random, value: object) -> object:
    """The value, in which some parts are another."""
    if chance.random() < 0.06:
        return chance.choice(VALUES)
    if isinstance(value, dict):
        return {key: _changed(chance, each) for key, each in value.items()}
    if isinstance(value, list):
        return [_changed(chance, each) for each in value]
    return value


def _written(rows: list[object], ending: str) -> bytes:
    if ending == ".jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if ending == ".json":
        return json.dumps(rows).encode()
    out = io.StringIO()
    named = [row if isinstance(row, dict) else {"prompt": row} for row in rows]
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in named for key in row)))
    writer.writeheader()
    writer.writerows(named)
    return out.getvalue().encode("utf-8", "replace")
