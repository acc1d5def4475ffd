"""`run_sampling`: responses of policies into a run folder that goes on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import quiet, write_requests

from cai.data.source import SourceSummary
from cai.engine.run_folder import RunFolder
from cai.errors import ContextLengthError, JournalError, SourceError, UsageError
from cai.methods.roles import RoleModel
from cai.methods.sampling import Samples
from cai.models.base import Completion, Sampling
from cai.models.scripted import ScriptedModel
from cai.runs.config import SampleRunConfig, run_config_as
from cai.runs.execution import RunResult
from cai.runs.options import RunOptions
from cai.runs.records import read_done
from cai.runs.sample import SampleJob, run_sampling
from cai.templates import load_templates
from cai.types import Message

IDS = ["one", "two", "three"]


def answer(messages: Sequence[Message], sampling: Sampling) -> str:
    return f"{messages[-1].content} at {sampling.temperature} with {sampling.seed}"


def job_on(tmp_path: Path, *models: ScriptedModel, k: int = 2) -> SampleJob:
    source = write_requests(tmp_path / "prompts.jsonl", IDS)
    return SampleJob(source, tuple(RoleModel.of(model) for model in models), k)


async def run(
    folder: Path, job: SampleJob, run_options: RunOptions = RunOptions()
) -> RunResult[SourceSummary]:
    return await run_sampling(folder, job, run_options, console=quiet())


def read(folder: Path) -> list[Samples]:
    with RunFolder.existing(folder) as opened:
        return [samples for _, samples in read_done(opened, Samples)]


async def test_every_prompt_gets_k_responses_of_each_policy(tmp_path: Path):
    first, second = ScriptedModel(answer, name="first"), ScriptedModel(answer, name="second")
    result = await run(tmp_path / "run", job_on(tmp_path, first, second))
    assert (result.counts.done, result.n_calls) == (3, 12)
    found = read(tmp_path / "run")
    assert [samples.prompt.id for samples in found] == IDS
    for samples in found:
        assert [each.model for each in samples.samples] == ["first"] * 2 + ["second"] * 2
        assert len({each.completion.text for each in samples.samples}) == 4


async def test_one_model_at_several_temperatures_is_several_policies(tmp_path: Path):
    model = ScriptedModel(answer)
    job = job_on(tmp_path, model)
    job = replace(job, policies=tuple(RoleModel.of(model, Sampling(t)) for t in (0.5, 1.5)))
    await run(tmp_path / "run", job)
    (first, *_) = read(tmp_path / "run")
    heard = [each.completion.text.split(" at ")[1].split()[0] for each in first.samples]
    assert heard == ["0.5", "0.5", "1.5", "1.5"]


async def test_a_limited_run_that_goes_on_ends_as_a_whole_one(tmp_path: Path):
    model = ScriptedModel(answer)
    await run(tmp_path / "parts", job_on(tmp_path, model), RunOptions(limit=1))
    await run(tmp_path / "parts", job_on(tmp_path, model), RunOptions(concurrency=1))
    assert len(model.requests) == 6
    await run(tmp_path / "whole", job_on(tmp_path, ScriptedModel(answer)))
    assert read(tmp_path / "parts") == read(tmp_path / "whole")


async def test_empty_cut_off_and_filtered_responses_are_flagged(tmp_path: Path):
    replies = [Completion("Fine."), Completion("Fi", "length"), Completion("Fine."),
               Completion("Well."), Completion(""), Completion("", "filtered")]  # fmt: skip
    result = await run(tmp_path / "run", job_on(tmp_path, ScriptedModel(replies)), RunOptions(1))
    assert (result.counts.done, result.n_flagged) == (3, 2)


async def test_a_prompt_of_which_one_response_fails_is_a_failed_record(tmp_path: Path):
    def reply(messages: Sequence[Message], sampling: Sampling) -> str:
        if "two" in messages[-1].content:
            raise ContextLengthError("It is too long.")
        return answer(messages, sampling)

    result = await run(tmp_path / "run", job_on(tmp_path, ScriptedModel(reply)))
    assert (result.counts.done, result.counts.failed) == (2, 1)
    again = await run(tmp_path / "run", job_on(tmp_path, ScriptedModel(answer)))
    assert again.n_calls == 0, "it would fail again"
    mended = await run(
        tmp_path / "run", job_on(tmp_path, ScriptedModel(answer)), RunOptions(retry_failed=True)
    )
    assert (mended.counts.done, mended.n_calls) == (3, 2)


@pytest.mark.parametrize(("k", "temperature", "said"), [
    (2, 0.0, "at temperature 0 are all the same"), (0, 1.0, "must be at least 1"),
])  # fmt: skip
async def test_samples_that_cannot_differ_are_refused(
    tmp_path: Path, k: int, temperature: float, said: str
):
    job = job_on(tmp_path, ScriptedModel(answer), k=k)
    job = replace(job, policies=(RoleModel.of(ScriptedModel(answer), Sampling(temperature)),))
    with pytest.raises(UsageError, match=said):
        await run(tmp_path / "run", job)
    assert not (tmp_path / "run").exists()


async def test_one_greedy_response_is_possible(tmp_path: Path):
    job = job_on(tmp_path, ScriptedModel(answer), k=1)
    job = replace(job, policies=(RoleModel.of(ScriptedModel(answer), Sampling(0.0)),))
    assert (await run(tmp_path / "run", job)).counts.done == 3


async def test_the_folder_tells_what_decided_it(tmp_path: Path):
    job = replace(job_on(tmp_path, ScriptedModel(answer, name="actor")), seed=7)
    await run(tmp_path / "run", job)
    with RunFolder.existing(tmp_path / "run") as opened:
        recipe = run_config_as(opened, SampleRunConfig)
    assert (recipe.k, recipe.seed) == (2, 7)
    (policy,) = recipe.policies
    assert (policy.model, policy.temperature) == ("actor", 1.0)
    assert policy.templates.hash == load_templates("chat").hash
    assert not (tmp_path / "run" / "constitution.yaml").exists()
    for other in (
        replace(job, k=3),
        replace(job, seed=8),
        replace(job, policies=(*job.policies, *job.policies)),
    ):
        with pytest.raises(JournalError, match="other settings"):
            await run(tmp_path / "run", other)


async def test_a_broken_source_leaves_no_folder(tmp_path: Path):
    job = job_on(tmp_path, ScriptedModel(answer))
    Path(job.source.files[0]).write_text("{\n")
    with pytest.raises(SourceError):
        await run(tmp_path / "run", job)
    assert not (tmp_path / "run").exists()
