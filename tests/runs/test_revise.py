"""`run_revision`: a method over a source into a run folder, on scripted models."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from reward_server import write_prompts
from rich.console import Console

from cai.constitution.loader import load_constitution
from cai.data.prompts import PromptSource
from cai.data.source import SourceSummary
from cai.engine.run_folder import RunFolder
from cai.errors import ContextLengthError, JournalError, ModelError, SourceError, UsageError
from cai.methods.revision import Chain, RevisionRoles, revision_roles
from cai.methods.roles import RoleModel
from cai.methods.settings import ReviseSettings
from cai.models.base import Completion, Sampling, Usage
from cai.models.scripted import ScriptedModel
from cai.runs.config import ReviseRunConfig, run_config_as
from cai.runs.execution import RunResult
from cai.runs.options import RunOptions
from cai.runs.records import read_done
from cai.runs.revise import RevisionJob, run_revision
from cai.templates import load_templates
from cai.types import Message

CONSTITUTION = load_constitution("testbed")


def answer(messages: Sequence[Message], sampling: Sampling) -> str:
    """A function of the request alone, as of a model that keeps its promise."""
    return f"{len(messages)} turns, {messages[-1].content[:9]!r}, seed {sampling.seed}"


class WatchedModel(ScriptedModel):
    """A scripted model that tells when it was checked and closed, and may be found unusable."""

    def __init__(self, is_usable: bool = True) -> None:
        super().__init__(answer)
        self.is_usable = is_usable
        self.events: list[str] = []

    async def check(self) -> None:
        self.events.append("checked")
        if not self.is_usable:
            raise ModelError("watched: the cable is cut. Mend it.")

    async def close(self) -> None:
        self.events.append("closed")


def job_on(tmp_path: Path, model: ScriptedModel, n: int = 5, rounds: int = 2) -> RevisionJob:
    source = PromptSource((str(write_prompts(tmp_path / "prompts.jsonl", n)),))
    return RevisionJob(source, CONSTITUTION, revision_roles(model), ReviseSettings(rounds=rounds))


async def run(
    folder: Path, job: RevisionJob, run_options: RunOptions = RunOptions()
) -> RunResult[SourceSummary]:
    return await run_revision(folder, job, run_options, console=Console(file=io.StringIO()))


def bodies(folder: Path) -> list[tuple[int, str, str]]:
    with RunFolder.existing(folder) as opened:
        return [(record.position, record.id, record.body) for record in opened.records()]


async def test_every_prompt_becomes_a_record_in_its_place(tmp_path: Path):
    model = ScriptedModel(answer)
    result = await run(tmp_path / "run", job_on(tmp_path, model))
    assert (result.counts.done, result.counts.failed) == (5, 0)
    assert (result.n_calls, result.n_from_journal) == (25, 0)
    assert result.source.n_items == 5
    assert result.usage == Usage()
    with RunFolder.existing(tmp_path / "run") as opened:
        chains = dict(read_done(opened, Chain))
    assert [chains[i].prompt.id for i in range(5)] == [f"request-{i}" for i in range(5)]
    assert {len(chain.rounds) for chain in chains.values()} == {2}


async def test_order_and_concurrency_change_nothing(tmp_path: Path):
    for concurrency in (1, 3, 64):
        job = job_on(tmp_path, ScriptedModel(answer))
        await run(tmp_path / f"run-{concurrency}", job, RunOptions(concurrency))
    assert bodies(tmp_path / "run-1") == bodies(tmp_path / "run-3") == bodies(tmp_path / "run-64")


async def test_a_limited_run_that_goes_on_ends_as_a_whole_one(tmp_path: Path):
    model = ScriptedModel(answer)
    for limit in (1, 3, None):
        await run(tmp_path / "parts", job_on(tmp_path, model), RunOptions(limit=limit))
    assert len(model.requests) == 25
    await run(tmp_path / "whole", job_on(tmp_path, ScriptedModel(answer)))
    assert bodies(tmp_path / "parts") == bodies(tmp_path / "whole")


async def test_the_seed_decides_the_results(tmp_path: Path):
    job = job_on(tmp_path, ScriptedModel(answer))
    await run(tmp_path / "zero", job)
    await run(tmp_path / "one", replace(job, seed=1))
    assert bodies(tmp_path / "zero") != bodies(tmp_path / "one")


async def test_a_failed_example_stops_no_other(tmp_path: Path):
    def reply(messages: Sequence[Message], sampling: Sampling) -> str:
        if "number 1?" in messages[0].content:
            raise ContextLengthError("It is too long. Shorten it.")
        if "number 2?" in messages[0].content:
            raise RuntimeError("a bug")
        return answer(messages, sampling)

    model = ScriptedModel(reply)
    result = await run(tmp_path / "run", job_on(tmp_path, model))
    assert (result.counts.done, result.counts.failed) == (3, 2)
    with RunFolder.existing(tmp_path / "run") as opened:
        errors = {record.id: record.error for record in opened.records("failed")}
    assert errors["request-1"].kind == "ContextLengthError"
    assert errors["request-2"].message == "RuntimeError: a bug"

    n_before = len(model.requests)
    await run(tmp_path / "run", job_on(tmp_path, model))
    assert len(model.requests) == n_before, "what fails for good is not asked again"
    mended = ScriptedModel(answer)
    result = await run(tmp_path / "run", job_on(tmp_path, mended), RunOptions(retry_failed=True))
    assert (result.counts.done, result.counts.failed) == (5, 0)
    assert len(mended.requests) == 10


async def test_the_answers_of_a_failed_example_are_not_paid_again(tmp_path: Path):
    """The second critique fails: response, critique and revision come from the journal later."""

    def reply(messages: Sequence[Message], sampling: Sampling) -> str:
        if sum("Critique" in turn.content or "?" in turn.content for turn in messages) and calls:
            return calls.pop(0)
        raise ContextLengthError("It is too long. Shorten it.")

    calls = ["response", "critique", "revision"]
    result = await run(tmp_path / "run", job_on(tmp_path, ScriptedModel(reply), n=1))
    assert result.counts.failed == 1
    later = ScriptedModel(answer)
    shown = io.StringIO()
    job, run_options = job_on(tmp_path, later, n=1), RunOptions(retry_failed=True)
    result = await run_revision(tmp_path / "run", job, run_options, console=Console(file=shown))
    assert (result.n_from_journal, result.n_calls) == (3, 2)
    assert "3 calls from the journal" in shown.getvalue()
    with RunFolder.existing(tmp_path / "run") as opened:
        ((_, chain),) = read_done(opened, Chain)
    assert chain.response.text == "response"
    assert chain.rounds[0].revision == Completion("revision")


async def test_models_are_checked_before_and_closed_after(tmp_path: Path):
    model = WatchedModel()
    await run(tmp_path / "run", job_on(tmp_path, model))
    assert model.events == ["checked", "closed"]


async def test_an_unusable_model_leaves_no_folder_and_no_open_model(tmp_path: Path):
    first, second = WatchedModel(), WatchedModel(is_usable=False)
    job = job_on(tmp_path, first)
    job = replace(job, roles=replace(job.roles, revise=revision_roles(second).revise))
    with pytest.raises(ModelError, match="the cable is cut"):
        await run(tmp_path / "run", job)
    assert not (tmp_path / "run").exists()
    assert first.events == second.events == ["checked", "closed"]
    assert first.requests == second.requests == []


async def test_tags_that_nothing_has_are_said_first(tmp_path: Path):
    model = WatchedModel()
    job = replace(job_on(tmp_path, model), settings=ReviseSettings(tags=("nothing",)))
    with pytest.raises(UsageError, match="Its tags: "):
        await run(tmp_path / "run", job)
    assert model.events == []


async def test_a_bad_row_stops_everything_unless_skipped(tmp_path: Path):
    model = WatchedModel()
    job = job_on(tmp_path, model)
    with Path(job.source.files[0]).open("a") as file:
        file.write("{\n")
    with pytest.raises(SourceError, match=r"prompts\.jsonl:6: "):
        await run(tmp_path / "run", job)
    assert model.events == []
    result = await run(
        tmp_path / "run", replace(job, source=replace(job.source, skip_bad_rows=True))
    )
    assert (result.counts.done, result.source.n_bad) == (5, 1)


async def test_the_folder_tells_what_decided_it(tmp_path: Path):
    await run(tmp_path / "run", job_on(tmp_path, ScriptedModel(answer, name="actor")))
    with RunFolder.existing(tmp_path / "run") as opened:
        recipe = run_config_as(opened, ReviseRunConfig)
        assert {"python", "torch", "transformers"} <= set(opened.versions)
    assert (recipe.method, recipe.seed, recipe.settings.rounds) == ("revise", 0, 2)
    assert (recipe.constitution.name, recipe.constitution.hash) == ("testbed", CONSTITUTION.hash)
    assert recipe.roles["respond"].model == "actor"
    assert recipe.roles["respond"].templates.hash == load_templates("chat").hash
    assert (recipe.source.files, recipe.source.column) == (("prompts.jsonl",), "prompt")


async def test_the_constitution_is_kept_as_it_was(tmp_path: Path):
    await run(tmp_path / "run", job_on(tmp_path, ScriptedModel(answer)))
    kept = load_constitution(tmp_path / "run" / "constitution.yaml")
    assert kept.hash == CONSTITUTION.hash
    assert yaml.safe_load((tmp_path / "run" / "constitution.yaml").read_text())["name"] == "testbed"


async def test_only_what_decides_results_makes_another_recipe(tmp_path: Path):
    """The same prompts in a file of another folder are the same source."""
    job = job_on(tmp_path, ScriptedModel(answer))
    await run(tmp_path / "run", job)
    (tmp_path / "elsewhere").mkdir()
    moved = PromptSource((str(write_prompts(tmp_path / "elsewhere" / "prompts.jsonl", 5)),))
    await run(tmp_path / "run", replace(job, source=moved), RunOptions(concurrency=2))
    for other in (
        replace(job, seed=1),
        replace(job, settings=ReviseSettings(rounds=3)),
        replace(job, constitution=load_constitution("helpful")),
        replace(job, roles=revision_roles(ScriptedModel(answer, name="another"))),
        replace(job, roles=revision_roles(ScriptedModel(answer), ReviseSettings(temperature=0.5))),
    ):
        with pytest.raises(JournalError, match="other settings"):
            await run(tmp_path / "run", other)


async def test_each_part_asks_its_own_model(tmp_path: Path):
    actor, critic, editor = (ScriptedModel(answer, name=name) for name in "ace")
    templates = load_templates("chat")
    roles = RevisionRoles(
        *(RoleModel(model, templates, Sampling()) for model in (actor, critic, editor))
    )
    job = replace(job_on(tmp_path, actor, n=3), roles=roles)
    await run(tmp_path / "run", job)
    assert [len(model.requests) for model in (actor, critic, editor)] == [3, 6, 6]


async def test_a_base_model_is_asked_for_transcripts(tmp_path: Path):
    model = ScriptedModel(answer, is_chat=False)
    await run(tmp_path / "run", job_on(tmp_path, model, n=1, rounds=1))
    assert len(model.requests) == 3
    for request in model.requests:
        (message,) = request.messages
        assert message.role == "text"
        assert message.content.endswith("Assistant:")
        assert request.sampling is not None
        assert request.sampling.stop


async def test_progress_tells_tokens_failures_and_flags(tmp_path: Path):
    def reply(messages: Sequence[Message], sampling: Sampling) -> str:
        if "number 0?" in messages[0].content:
            raise ContextLengthError("It is too long. Shorten it.")
        return "The same."

    class CountingModel(ScriptedModel):
        async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
            return replace(await super().complete(messages, sampling), usage=Usage(100, 10))

    shown = io.StringIO()
    job = job_on(tmp_path, CountingModel(reply), n=3, rounds=1)
    result = await run_revision(tmp_path / "run", job, console=Console(file=shown))
    assert result.n_flagged == 2
    assert result.usage == Usage(600, 60)
    assert "2 done in" in shown.getvalue()
    assert "600 tokens in, 60 out" in shown.getvalue()
    assert "1 failed (1 context length) · 2 flagged" in shown.getvalue()
