"""What the methods made, and recipes, on their way into a run folder and back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cai.engine.run_files import Failure, Record
from cai.engine.run_folder import RunFolder
from cai.errors import JournalError
from cai.methods.judging.pointwise import Score, Scored
from cai.methods.judging.ranking import Judged, JudgedMatchup
from cai.methods.judging.requests import MARKS
from cai.methods.judging.verdict import Candidate, Group, JudgeCall, PrincipleVerdict, Verdict
from cai.methods.revision import Chain, Round
from cai.methods.sampling import Sample, Samples
from cai.methods.settings import JudgeSettings, ReviseSettings, ScoreSettings
from cai.models.base import Completion, Usage
from cai.runs.config import (
    Body,
    JudgeConfig,
    JudgeRunConfig,
    Named,
    ReviseRunConfig,
    RoleConfig,
    RunConfig,
    SampleRunConfig,
    ScoreRunConfig,
    Source,
    read_run_config,
    run_config_as,
)
from cai.runs.records import dump, load, read_done
from cai.types import Message, Prompt, user_prompt

DRAW = RoleConfig(
    model="scripted",
    templates=Named(name="chat", hash="0123456789ab"),
    temperature=1.0,
    top_p=0.9,
    top_k=5,
    max_tokens=64,
    stop=("END",),
)
RECIPE = ReviseRunConfig(
    source=Source(files=("asked.jsonl",), column="prompt", hash="ba9876543210"),
    constitution=Named(name="one", hash="aaaaaaaaaaaa", version="1.2.0"),
    settings=ReviseSettings(rounds=2, tags=("harm",), minimal=True),
    roles={"respond": DRAW, "critique": DRAW, "revise": DRAW},
    seed=7,
)
FULL = Chain(
    Prompt("talk-1", (Message("system", "Be brief."), Message("user", "Hello?")), "asked.jsonl:3"),
    Completion("What.", "length", Usage(10, 2), "Let me think."),
    (
        Round("stay-polite", Completion("The response is rude."), Completion("Hi."), ("evasive",)),
        Round("no-harm", None, Completion("Hello."), ("unchanged", "cut-off")),
        Round("no-harm", Completion("No revision needed."), None),
    ),
)
UNREAD = JudgeCall("failed", rationales=("Long.",), reason="too long", usage=Usage(9, 3))
JUDGEMENT = PrincipleVerdict(
    "j", "no-harm", "warm", True, 0.5, JudgeCall("a", 0.75, mass=0.9), UNREAD, "failed", None
)
JUDGED = Judged(
    Group(FULL.prompt, (Candidate("Hi."), Candidate("", "m")), "tie", 0.8, {"source": "x"}),
    (JudgedMatchup(0, 1, Verdict("failed", None, (JUDGEMENT,))),),
    None,
)
SAMPLES = Samples(FULL.prompt, (Sample("m", FULL.response), Sample("n", Completion("Hi."))))
SCORED = Scored(
    FULL.prompt,
    "Hi.",
    "m",
    (
        Score("mark", "j", "no-harm", 1.0, "scored", -1.0, (1.0, *(0.0 for _ in MARKS[1:])), 0.5),
        Score("check", "j", "no-harm", 1.0, "refused", answers=("No.",), reason="filtered"),
    ),
)
JUDGE = JudgeConfig(**DRAW.model_dump(), reads_logprobs=False)
RECIPES: list[RunConfig] = [
    RECIPE,
    SampleRunConfig(source=RECIPE.source, policies=(DRAW, DRAW), k=3, seed=1),
    JudgeRunConfig(
        source=RECIPE.source,
        constitution=RECIPE.constitution,
        judges=(JUDGE,),
        settings=JudgeSettings(
            tags=("harm",),
            principles=1,
            rationale=True,
            clamp=None,
            samples=2,
            negated=True,
            few_shots=1,
            tie_margin=0.1,
        ),
        pairing="swiss",
        seed=2,
    ),
    ScoreRunConfig(
        source=RECIPE.source,
        constitution=RECIPE.constitution,
        judges=(JUDGE,),
        settings=ScoreSettings(kind="check", tags=("harm",), samples=2),
        seed=3,
    ),
]
TEXTS = [
    "",
    "naïve 👍",
    "two\nlines\r\n\ttab",
    '"quoted" \\ back',
    "\x00\x1f\x7f",
    "\u2028\u2029",
    "😀",
]


@pytest.mark.parametrize(
    "body", [FULL, Chain.of(user_prompt("Hello?"), "Hi."), JUDGED, SAMPLES, SCORED]
)
def test_what_a_method_made_comes_back_as_it_was(body: Body):
    assert load(type(body), dump(body)) == body


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_comes_back_as_it_was(text: str):
    chain = Chain(user_prompt(text), Completion(text, reasoning=text))
    body = dump(chain)
    assert load(Chain, body) == chain
    assert json.loads(body)["response"].get("reasoning", "") == text


def test_half_a_surrogate_pair_becomes_the_replacement_character():
    """No file can hold it; the two halves of one character beside each other are that character."""
    chain = load(Chain, dump(Chain.of(user_prompt("Hm?"), "half \ud83d, whole \ud83d\ude00")))
    assert chain.response.text == "half \ufffd, whole \U0001f600"


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_comes_back_from_its_run_as_it_was(recipe: RunConfig, tmp_path: Path):
    with RunFolder.open(tmp_path, recipe.model_dump(mode="json"), {}) as run:
        assert read_run_config(run) == recipe
    with RunFolder.existing(tmp_path) as run:
        assert read_run_config(run) == recipe


def test_a_run_of_another_method_is_named_with_the_method_that_is_needed(tmp_path: Path):
    with RunFolder.open(tmp_path, RECIPE.model_dump(mode="json"), {}) as run:
        assert run_config_as(run, ReviseRunConfig) == RECIPE
        with pytest.raises(JournalError, match=r"a run of `cai revise`, and one of `cai judge`"):
            run_config_as(run, JudgeRunConfig)


@pytest.mark.parametrize(
    ("recipe", "where"),
    [
        ({"method": "judge"}, "judge.source: Field required"),
        ({"method": "guess"}, "Input tag 'guess' found"),
        (RECIPE.model_dump(mode="json") | {"new": 1}, "revise.new: Extra inputs are not permitted"),
        (
            RECIPE.model_dump(mode="json") | {"seed": "x"},
            "revise.seed: Input should be a valid integer",
        ),
    ],
)
def test_a_run_of_another_kind_is_named_with_what_is_wrong(
    recipe: dict[str, object], where: str, tmp_path: Path
):
    with RunFolder.open(tmp_path, recipe, {}) as run, pytest.raises(JournalError) as caught:
        read_run_config(run)
    assert f"{tmp_path}: run.yaml is not that of a run of this version" in str(caught.value)
    assert where in str(caught.value)


def test_chains_are_read_in_the_order_of_the_source_without_the_failed(tmp_path: Path):
    with RunFolder.open(tmp_path, RECIPE.model_dump(mode="json"), {}) as run:
        for position in (2, 0, 3):
            prompt = user_prompt("Hello?", str(position))
            run.add(Record(position, str(position), dump(replace(FULL, prompt=prompt))))
        run.add(Record(1, "1", "", Failure("ModelError", "busy", False)))
        found = list(read_done(run, Chain))
    assert [(position, chain.prompt.id) for position, chain in found] == [
        (0, "0"),
        (2, "2"),
        (3, "3"),
    ]
    assert all(chain.rounds == FULL.rounds for _, chain in found)
