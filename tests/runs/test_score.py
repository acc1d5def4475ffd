"""`run_scoring`: responses into a run folder, their scores counted and averaged."""

import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from small_runs import TWO, quiet, revised, sampled

from cai.engine.run_folder import RunFolder
from cai.errors import JournalError, ModelError, NoLogprobs, UsageError
from cai.methods.judging.pointwise import Scored
from cai.methods.roles import RoleModel
from cai.methods.settings import ScoreSettings
from cai.models.base import Sampling
from cai.models.scripted import ScriptedModel
from cai.runs.config import ScoreRunConfig, run_config_as
from cai.runs.inputs import ResponseSource
from cai.runs.options import RunOptions
from cai.runs.records import read_done
from cai.runs.score import ScoreJob, ScoringResult, run_scoring
from cai.types import Message


def by_length(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
    """The mark is the response's length, under the principle `late` one less."""
    text = messages[-1].content
    response = text.partition("<response>\n")[2].partition("\n</response>")[0]
    mark = len(response) - ("Be late." in text)
    return [0.0 if option == str(mark) else -math.inf for option in options]


def job_on(run: str, model: ScriptedModel, settings: ScoreSettings = ScoreSettings()) -> ScoreJob:
    return ScoreJob(ResponseSource((run,)), TWO, (RoleModel.of(model, Sampling(0.0)),), settings)


async def score(
    folder: Path, job: ScoreJob, run_options: RunOptions = RunOptions()
) -> ScoringResult:
    return await run_scoring(folder, job, run_options, console=quiet())


def read(folder: Path) -> list[Scored]:
    with RunFolder.existing(folder) as run:
        return [scored for _, scored in read_done(run, Scored)]


@pytest.fixture
async def samples(tmp_path: Path) -> str:
    """Lengths 4, 7, and 10, 2."""
    responses = {"one": ["a" * 4, "a" * 7], "two": ["b" * 10, "b" * 2]}
    return await sampled(tmp_path / "samples", responses)


async def test_every_response_is_scored_under_every_principle(samples: str, tmp_path: Path):
    """`long` marks 4, 7, 10, 2 with the mean 5.75: 2 · 4.75 / 9 − 1; `late` one less each."""
    result = await score(tmp_path / "run", job_on(samples, ScriptedModel(choices=by_length)))
    assert (result.run_result.counts.done, result.run_result.n_calls) == (4, 8)
    assert result.scores.outcomes == Counter({"scored": 8})
    assert result.scores.n == 8
    assert result.scores.means == pytest.approx(
        {"long": 2 * 4.75 / 9 - 1, "late": 2 * 3.75 / 9 - 1}
    )
    found = read(tmp_path / "run")
    assert [(each.prompt.id, each.response, each.model) for each in found][:2] == [
        ("one", "aaaa", "actor"),
        ("one", "a" * 7, "actor"),
    ]
    with RunFolder.existing(tmp_path / "run") as run:
        assert [each.id for each in run.records()] == ["one/1", "one/2", "two/1", "two/2"]


async def test_a_second_time_nothing_is_asked_and_the_tally_is_whole(samples: str, tmp_path: Path):
    model = ScriptedModel(choices=by_length)
    await score(tmp_path / "run", job_on(samples, model), RunOptions(limit=1))
    await score(tmp_path / "run", job_on(samples, model))
    again = await score(tmp_path / "run", job_on(samples, model))
    whole = await score(tmp_path / "whole", job_on(samples, ScriptedModel(choices=by_length)))
    assert again.run_result.n_calls == 0
    assert again.scores.means == pytest.approx(dict(whole.scores.means))
    assert again.scores.outcomes == whole.scores.outcomes
    assert read(tmp_path / "run") == read(tmp_path / "whole")


async def test_checks_and_words_are_scored_too(samples: str, tmp_path: Path):
    words = ScriptedModel(lambda m, s: "Yes" if "aaaa" in m[-1].content else "No idea.")
    job = job_on(samples, words, ScoreSettings(kind="check", verdicts="parsed"))
    result = await score(tmp_path / "run", job)
    assert result.scores.outcomes == Counter({"scored": 4, "unparsed": 4})
    assert result.scores.means == {"long": 1.0, "late": 1.0}
    assert result.run_result.n_flagged == 2


async def test_a_principle_that_nothing_was_scored_under_has_no_mean(samples: str, tmp_path: Path):
    words = ScriptedModel(lambda m, s: "9" if "Be long." in m[-1].content else "Hm.")
    result = await score(tmp_path / "run", job_on(samples, words, ScoreSettings(verdicts="parsed")))
    assert result.scores.means == {"long": pytest.approx(2 * 8 / 9 - 1), "late": None}


async def test_a_response_of_which_all_scores_failed_is_a_failed_record(
    samples: str, tmp_path: Path
):
    def choose(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        if "bb" in messages[-1].content:
            raise ModelError("It fell over.")
        return by_length(messages, options)

    result = await score(tmp_path / "run", job_on(samples, ScriptedModel(choices=choose)))
    assert (result.run_result.counts.done, result.run_result.counts.failed) == (2, 2)
    assert result.scores.n == 4
    with RunFolder.existing(tmp_path / "run") as run:
        assert {record.id for record in run.records("failed")} == {"two/1", "two/2"}


async def test_log_probabilities_are_probed_with_the_options_of_the_kind(
    samples: str, tmp_path: Path
):
    def choose(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        raise NoLogprobs("It has no 10.")

    said = io.StringIO()
    model = ScriptedModel(lambda m, s: "7", choices=choose)
    job = job_on(samples, model)
    result = await run_scoring(tmp_path / "run", job, console=Console(file=said))
    assert "its marks are read from what it writes, 1 sample each" in said.getvalue()
    assert len(model.requests[0].options) == 10
    assert result.scores.outcomes == Counter({"scored": 8})
    with pytest.raises(UsageError, match="at temperature 0"):
        await score(tmp_path / "other", replace(job, settings=ScoreSettings(samples=3)))
    assert not (tmp_path / "other").exists()


async def test_a_revision_run_is_scored_by_its_last_texts(tmp_path: Path):
    run = await revised(tmp_path / "revised", {"one": ("Do it.", "Do not.")})
    await score(tmp_path / "run", job_on(run, ScriptedModel(choices=by_length)))
    (found,) = read(tmp_path / "run")
    assert (found.response, found.model) == ("Do not.", "editor")


async def test_only_what_decides_results_makes_another_recipe(samples: str, tmp_path: Path):
    job = job_on(samples, ScriptedModel(choices=by_length))
    await score(tmp_path / "run", job)
    with RunFolder.existing(tmp_path / "run") as run:
        recipe = run_config_as(run, ScoreRunConfig)
    assert (recipe.settings, recipe.constitution.hash) == (ScoreSettings(), TWO.hash)
    for other in (replace(job, seed=1), replace(job, settings=ScoreSettings(samples=2))):
        with pytest.raises(JournalError, match="other settings"):
            await score(tmp_path / "run", other)
