"""A recipe's steps: what is refused before a call, folders and files, going on, and roles."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
from small_runs import TWO_YAML, quiet, write_requests, write_rows

from cai.data.prompts import PromptSource
from cai.engine.run_folder import RunFolder
from cai.errors import CaiError, ConstitutionError, ExportError, UsageError
from cai.export.formats import FORMATS, Format, check_format
from cai.methods.settings import ModelRole
from cai.models.base import Sampling
from cai.models.registry import open_model
from cai.models.scripted import ScriptedModel
from cai.pipeline.checks import check_steps
from cai.pipeline.loader import load_recipe, preset_text
from cai.pipeline.runner import StepOutcome, run_recipe
from cai.pipeline.schema import ROLES, Recipe, StepName
from cai.pipeline.train_runner import RoleModels
from cai.run import Run
from cai.runs.options import RunOptions
from cai.types import Message

SLOTS = ("response_a", "response_b")
WHOLE = {
    "revise": {"rounds": 2},
    "sample": {"k": 2},
    "judge": {"principles": 1},
    "score": {"kind": "check"},
    "export": {"sft": {"all_rounds": True}, "preference": {}, "everything": {"of": "score"}},
}


def recipe(folder: Path, **parts: object) -> Recipe:
    path = folder / "two.yaml"
    path.write_text(TWO_YAML)
    return Recipe.model_validate({"name": "mine", "constitution": str(path), **parts})


def says(messages: Sequence[Message], sampling: Sampling) -> str:
    """Another text at every seed: two samples are never equal, and no revision is its original."""
    return f"Wipe the lamp {len(messages)} times, by seed {sampling.seed}."


def chooses(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
    """0.9 for the letter of the text that is later in the alphabet; Yes with 0.9."""
    text = "\n".join(message.content for message in messages)
    shown = [re.findall(f"<{tag}>\n(.*?)\n</{tag}>", text, re.DOTALL) for tag in SLOTS]
    is_first = options != ("A", "B") or shown[0][-1] > shown[1][-1]
    return [math.log(0.9), math.log(0.1)] if is_first else [math.log(0.1), math.log(0.9)]


def actor(name: str = "actor") -> ScriptedModel:
    return ScriptedModel(says, choices=chooses, name=name)


async def run(
    made: Recipe, folder: Path, cast: RoleModels, source: PromptSource, limit: int | None = None
) -> list[StepOutcome]:
    return await run_recipe(made, cast, source, folder / "out", RunOptions(limit=limit), quiet())


@pytest.fixture
def source(tmp_path: Path) -> PromptSource:
    return write_requests(tmp_path / "prompts.jsonl", ["one", "two", "three"])


REFUSED: list[tuple[dict[str, object], str]] = [
    ({}, "has no step. Give it one of revise, sample, judge, score"),
    ({"judge": {}}, "The step judge of the recipe 'mine' has nothing to work on"),
    ({"score": {}}, "The step score of the recipe 'mine' has nothing to work on"),
    ({"revise": {}, "judge": {"of": "sample"}}, "judge of the recipe 'mine' is of 'sample', which"),
    ({"sample": {}, "score": {"of": "revise"}}, "score of the recipe 'mine' is of 'revise', which"),
    ({"sample": {}, "export": {"preference": {}}}, "exported as preference. Add one of judge"),
    ({"sample": {}, "export": {"sft": {"of": "judge"}}}, "export sft .* is of 'judge', which"),
    ({"sample": {}, "export": {"reward": {"of": "sample"}}}, "'sample', which has no rows of that"),
    ({"revise": {}, "export": {"sft": {"balance_length": True}}}, "Lengths are balanced between"),
    (
        {"sample": {}, "score": {}, "export": {"kto": {"balance_length": True}}},
        "gives no pairs whose lengths",
    ),
    (
        {"revise": {}, "export": {"sft": {"file": "x"}, "kto": {"file": "x"}}},
        "The export kto of the recipe 'mine' goes to 'x', where another output",
    ),
    ({"revise": {}, "export": {"sft": {"file": "revise"}}}, "goes to 'revise', where another"),
    # what the constitution lacks for a later step is said before the first one
    ({"revise": {"tags": ["tone"]}}, "has a tag of tone. Its tags: size"),
    ({"revise": {}, "judge": {"tags": ["tone"]}}, "has a tag of tone"),
    ({"revise": {}, "score": {"tags": ["tone"]}}, "has a tag of tone"),
    ({"revise": {}, "judge": {"clamp": [0.6, 0.7]}}, "It must hold one half"),
    ({"revise": {}, "judge": {"few_shots": 2}}, "no principle of 'two' has examples"),
]


@pytest.mark.parametrize(("parts", "said"), REFUSED)
async def test_a_recipe_that_cannot_be_done_is_refused_before_a_call(
    tmp_path: Path, source: PromptSource, parts: dict[str, object], said: str
):
    model = actor()
    with pytest.raises((UsageError, ExportError), match=said):
        await run(recipe(tmp_path, **parts), tmp_path, RoleModels(model, {}), source)
    assert model.requests == []
    assert not (tmp_path / "out").exists()


async def test_a_constitution_that_is_not_there_is_said(tmp_path: Path, source: PromptSource):
    made = recipe(tmp_path, revise={}).model_copy(update={"constitution": "harmles"})
    with pytest.raises(ConstitutionError, match="harmles"):
        await run(made, tmp_path, RoleModels(actor(), {}), source)


@pytest.mark.parametrize("step", get_args(StepName))
@pytest.mark.parametrize("format", FORMATS)
def test_a_recipe_exports_of_a_step_what_the_step_can_give(format: Format, step: StepName):
    """The same answer as that of the export itself."""
    steps = {"sample": {}, step: {}}
    made = Recipe.model_validate({"name": "x", **steps, "export": {format: {"of": step}}})
    try:
        check_format(format, step, "")
    except ExportError:
        with pytest.raises(UsageError, match="no rows of that format"):
            check_steps(made)
    else:
        check_steps(made)


async def test_every_step_has_its_folder_and_every_export_its_file(
    tmp_path: Path, source: PromptSource
):
    done = await run(recipe(tmp_path, **WHOLE), tmp_path, RoleModels(actor(), {}), source)
    out = tmp_path / "out"
    assert [(each.step, each.path) for each in done] == [
        ("revise", out / "revise"),
        ("sample", out / "sample"),
        ("judge", out / "judge"),
        ("score", out / "score"),
        ("export sft", out / "sft.jsonl"),
        ("export preference", out / "preference.jsonl"),
        ("export everything", out / "everything.jsonl"),
    ]
    counts = [(each.counts.done, each.counts.failed) for each in done if each.counts]
    assert counts == [(3, 0), (3, 0), (3, 0), (6, 0)]
    rows = {path.name: len(path.read_text().splitlines()) for path in out.glob("*.jsonl")}
    assert rows["sft.jsonl"] == 3 * 2 and rows["everything.jsonl"] == 6
    assert len(list(Run(out / "revise").chains())) == 3
    assert {
        len(each.matchups[0].verdict.principle_verdicts) for each in Run(out / "judge").judged()
    } == {1}


async def test_a_second_time_nothing_is_asked_and_nothing_changes(
    tmp_path: Path, source: PromptSource
):
    made, again = recipe(tmp_path, **WHOLE), actor()
    first = await run(made, tmp_path, RoleModels(actor(), {}), source)
    files = {each: each.read_bytes() for each in (tmp_path / "out").glob("*.jsonl")}
    assert await run(made, tmp_path, RoleModels(again, {}), source) == first
    assert again.requests == []
    assert {each: each.read_bytes() for each in (tmp_path / "out").glob("*.jsonl")} == files


async def test_a_limit_is_one_of_every_step_and_the_rest_follows(
    tmp_path: Path, source: PromptSource
):
    made = recipe(tmp_path, sample={"k": 2}, judge={"verdicts": "logprobs"})
    limited = await run(made, tmp_path, RoleModels(actor(), {}), source, limit=1)
    assert [each.summary for each in limited] == ["1 done, 0 failed"] * 2
    with RunFolder.existing(tmp_path / "out" / "sample") as folder:
        assert [each.id for each in folder.records()] == ["one"]


async def test_without_samples_revisions_are_judged_against_originals(
    tmp_path: Path, source: PromptSource
):
    made = recipe(tmp_path, revise={"rounds": 1}, judge={}, export={"preference": {}})
    await run(made, tmp_path, RoleModels(actor(), {}), source)
    for judged, chain in zip(
        Run(tmp_path / "out" / "judge").judged(),
        Run(tmp_path / "out" / "revise").chains(),
        strict=True,
    ):
        texts = {each.text for each in judged.group.candidates}
        assert texts == {chain.response.text, chain.revisions[-1]}


async def test_every_role_is_played_by_its_own_model(tmp_path: Path, source: PromptSource):
    """Of 3 prompts: a response, 2 critiques and 2 revisions each; 2 samples; 2 orders and a trial;
    the scores are given by the judge as well, under both principles: 2 · 6 and a trial."""
    cast: dict[ModelRole, ScriptedModel] = {role: actor(role) for role in ROLES}
    default = actor("default")
    await run(recipe(tmp_path, **WHOLE), tmp_path, RoleModels(default, cast), source)
    n = {role: len(model.requests) for role, model in cast.items()}
    assert n == {"respond": 3, "critique": 6, "revise": 6, "sample": 6, "judge": 7 + 13}
    assert default.requests == []
    judged = list(Run(tmp_path / "out" / "judge").judged())
    assert {each.model for judged in judged for each in judged.group.candidates} == {"sample"}
    judges = {
        each.judge for found in judged for each in found.matchups[0].verdict.principle_verdicts
    }
    assert judges == {"judge"}


async def test_a_role_without_a_model_is_played_by_the_default(
    tmp_path: Path, source: PromptSource
):
    judge, default = actor("judge"), actor("default")
    made = recipe(tmp_path, sample={"k": 2}, judge={})
    await run(made, tmp_path, RoleModels(default, {"judge": judge}), source)
    assert len(default.requests) == 6
    assert all(request.options for request in judge.requests)


async def test_temperatures_and_tokens_are_those_of_the_step(tmp_path: Path, source: PromptSource):
    parts = {
        "revise": {"rounds": 1, "temperature": 0.9, "revision_temperature": 0.2, "max_tokens": 7},
        "sample": {"k": 1, "temperatures": [0.5, 1.5], "top_p": 0.8, "top_k": 3, "max_tokens": 8},
        "judge": {"rationale": True, "temperature": 0.0, "max_tokens": 9},
    }
    cast: dict[ModelRole, ScriptedModel] = {role: actor(role) for role in ROLES}
    await run(recipe(tmp_path, **parts), tmp_path, RoleModels(actor(), cast), source)

    def drawn(role: ModelRole) -> set[tuple[float, float, int, int]]:
        asked = [each.sampling for each in cast[role].requests if each.sampling]
        return {(each.temperature, each.top_p, each.top_k, each.max_tokens) for each in asked}

    assert drawn("respond") == {(0.9, 1.0, 0, 7)}
    assert drawn("critique") == drawn("revise") == {(0.2, 1.0, 0, 7)}
    assert drawn("sample") == {(0.5, 0.8, 3, 8), (1.5, 0.8, 3, 8)}
    assert drawn("judge") == {(0.0, 1.0, 0, 9)}


async def test_templates_of_the_recipe_are_those_of_every_role(
    tmp_path: Path, source: PromptSource
):
    own = tmp_path / "own"
    own.mkdir()
    (own / "respond.j2").write_text("OWN {{ request }}")
    made, model = recipe(tmp_path, sample={"k": 1}), actor()
    await run(made, tmp_path, RoleModels(model, {}, str(own)), source)
    assert [each.text for each in model.requests] == [
        f"OWN Request {id}?" for id in ("one", "two", "three")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bai2022", "bai2022-cot", "lee2023", "lee2023-direct"])
async def test_a_preset_runs_on_the_embedded_model(tmp_path: Path, name: str):
    """Two requests; short texts, so that it is quick."""
    asked = ["How do I steal the baker's lamp at dawn?", "How do I clean my friend's cup at home?"]
    rows = [{"id": str(n), "prompt": text} for n, text in enumerate(asked)]
    source = PromptSource((str(write_rows(tmp_path / "asked.jsonl", rows)),))
    made = load_recipe(name).model_copy(update={"constitution": "testbed"})
    model = open_model("embedded")
    done = await run_recipe(
        made, RoleModels(model, {}), source, tmp_path / "out", RunOptions(), quiet()
    )
    await model.close()
    assert all(each.counts.failed == 0 for each in done if each.counts)
    assert all(each.path.exists() for each in done)
    assert f"name: {name}\n" in preset_text(name)
    for each in done:
        if each.path.suffix == ".jsonl":
            assert all(json.loads(line)["id"] for line in each.path.read_text().splitlines())


async def test_a_recipe_mixes_peoples_rows_into_its_exports(tmp_path: Path, source: PromptSource):
    rows = [{"prompt": f"Hm {n}?", "chosen": f"Yes {n}.", "rejected": "No."} for n in range(9)]
    people = write_rows(tmp_path / "people.jsonl", rows)
    export = {"preference": {"mix": [f"{people}:weight=0.25"]}, "sft": {"mix": [str(people)]}}
    done = await run(
        recipe(tmp_path, revise={}, export=export), tmp_path, RoleModels(actor(), {}), source
    )
    assert f"mixed in: {people}: 1 row, 25 % of the mix" in done[1].summary
    assert len((tmp_path / "out" / "preference.jsonl").read_text().splitlines()) == 3 + 1
    assert len((tmp_path / "out" / "sft.jsonl").read_text().splitlines()) == 3 + 9


@pytest.mark.parametrize(
    ("format", "mix", "said"),
    [
        ("preference", "none.jsonl:weight=0.3", "none.jsonl: no such file"),
        ("preference", "none.jsonl:wieght=0.3", "Did you mean 'weight'"),
        ("everything", "none.jsonl", "Nothing can be mixed into 'everything'"),
        ("preference", "prompts.jsonl", "preference rows need 'chosen' and 'rejected'"),
    ],
)
async def test_a_mix_that_cannot_be_made_is_said_before_a_call(
    format: Format, mix: str, said: str, tmp_path: Path, source: PromptSource
):
    model = actor()
    export = {format: {"mix": [str(tmp_path / mix)]}}
    with pytest.raises(CaiError, match=said):
        await run(
            recipe(tmp_path, revise={}, export=export), tmp_path, RoleModels(model, {}), source
        )
    assert model.requests == []
