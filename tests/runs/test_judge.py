"""`run_judging`: groups into a run folder, its outcomes counted, failures kept, and going on."""

import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console
from small_runs import TWO, quiet, revised, sampled, write_rows

from cai.constitution.loader import load_constitution
from cai.engine.run_folder import RunFolder
from cai.errors import (
    ContextLengthError,
    JournalError,
    ModelError,
    NoLogprobs,
    SourceError,
    UsageError,
)
from cai.methods.judging.ranking import Judged
from cai.methods.judging.verdict import Outcome
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings, VerdictSource
from cai.models.base import Choice, Sampling, Usage
from cai.models.scripted import ScriptedModel
from cai.runs.config import JudgeRunConfig, run_config_as
from cai.runs.inputs import GroupSource
from cai.runs.judge import JudgeJob, JudgingResult, run_judging
from cai.runs.judged import composer_of, read_judged
from cai.runs.options import RunOptions
from cai.templates import load_templates
from cai.types import Message


def sides(messages: Sequence[Message]) -> tuple[str, str]:
    text = messages[0].content
    found = [
        re.findall(f"<{tag}>\n(.*?)\n</{tag}>", text, re.DOTALL)[-1]
        for tag in ("response_a", "response_b")
    ]
    return found[0], found[1]


def by_length(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
    """The log-odds are the difference of the lengths."""
    a, b = sides(messages)
    return (float(len(a)), float(len(b)))


def long_lover(name: str = "judge") -> ScriptedModel:
    return ScriptedModel(choices=by_length, name=name)


def job_on(run: str, model: ScriptedModel, settings: JudgeSettings = JudgeSettings()) -> JudgeJob:
    return JudgeJob(GroupSource((run,)), TWO, (RoleModel.of(model, Sampling(0.0)),), settings)


async def judge(
    folder: Path, job: JudgeJob, run_options: RunOptions = RunOptions()
) -> JudgingResult:
    return await run_judging(folder, job, run_options, console=quiet())


def read(folder: Path) -> list[Judged]:
    with RunFolder.existing(folder) as run:
        return [judged for _, judged in read_judged(run, composer_of([run]))]


def bodies(folder: Path) -> list[tuple[int, str, str]]:
    with RunFolder.existing(folder) as run:
        return [(record.position, record.id, record.body) for record in run.records()]


@pytest.fixture
async def samples(tmp_path: Path) -> str:
    """Three prompts with three responses each, the longest in another place each time."""
    return await sampled(
        tmp_path / "samples",
        {"one": ["aaa", "bb", "c"], "two": ["d", "eee", "ff"], "three": ["g", "hh", "iii"]},
    )


async def test_every_group_becomes_a_record_in_its_place(samples: str, tmp_path: Path):
    model = long_lover()
    result = await judge(tmp_path / "run", job_on(samples, model))
    assert (result.run_result.counts.done, result.run_result.counts.failed) == (3, 0)
    found = read(tmp_path / "run")
    assert [each.group.prompt.id for each in found] == ["one", "two", "three"]
    assert [each.ranking for each in found] == [(0, 1, 2), (1, 2, 0), (2, 1, 0)]
    assert result.verdicts.n == 9
    assert result.run_result.n_calls == 9 * 2 * 2, "pairs × orders × principles"
    assert len(model.requests) == 36 + 1, "and one to see whether there are log-probabilities"


async def test_the_tally_adds_up_and_tells_flips_margins_and_tokens(tmp_path: Path):
    """ "aaaa" beats "b" by 3 in the log-odds: p = 0.9526 and a margin of 0.4526; equal lengths tie
    with none: 0.2263 on average. No letter is preferred, so nothing flips. Eight calls of 12."""

    class CountingModel(ScriptedModel):
        async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
            return replace(await super().choose(messages, options), usage=Usage(10, 2))

    run = await sampled(tmp_path / "samples", {"one": ["aaaa", "b"], "two": ["c", "d"]})
    job = job_on(run, CountingModel(choices=by_length), JudgeSettings(compose="mean"))
    result = await judge(tmp_path / "run", job)
    tally = result.verdicts
    assert tally.outcomes == Counter({"a": 1, "tie": 1})
    assert sum(tally.outcomes.values()) == tally.n == 2
    p = 1 / (1 + math.exp(-3))
    assert tally.mean_margin == pytest.approx((p - 0.5) / 2)
    assert (tally.n_both, tally.n_flips) == (4, 0)
    assert tally.usage == result.run_result.usage == Usage(80, 16)


async def test_a_second_time_nothing_is_asked_and_the_tally_is_whole(samples: str, tmp_path: Path):
    first = await judge(tmp_path / "run", job_on(samples, long_lover()), RunOptions(limit=2))
    assert (first.run_result.counts.done, first.verdicts.n) == (2, 6)
    second = await judge(tmp_path / "run", job_on(samples, long_lover()))
    assert (second.run_result.counts.done, second.verdicts.n) == (3, 9)
    assert second.run_result.n_calls == 12
    third = await judge(tmp_path / "run", job_on(samples, long_lover()))
    assert (third.run_result.n_calls, third.run_result.usage) == (0, Usage())
    assert third.verdicts == second.verdicts
    await judge(tmp_path / "whole", job_on(samples, long_lover()))
    assert bodies(tmp_path / "run") == bodies(tmp_path / "whole")


async def test_concurrency_changes_nothing(samples: str, tmp_path: Path):
    for concurrency in (1, 2, 64):
        job = job_on(samples, long_lover())
        await judge(tmp_path / f"run-{concurrency}", job, RunOptions(concurrency))
    assert bodies(tmp_path / "run-1") == bodies(tmp_path / "run-2") == bodies(tmp_path / "run-64")


async def test_a_revision_run_is_judged_against_its_originals(tmp_path: Path):
    run = await revised(tmp_path / "revised", {"one": ("Do.", "Better not."), "two": ("No.", "No")})
    result = await judge(tmp_path / "run", job_on(run, long_lover()))
    assert result.run_result.source.n_items == 2
    first, second = read(tmp_path / "run")
    assert [each.text for each in first.group.candidates] == ["Do.", "Better not."]
    assert (first.matchups[0].verdict.outcome, second.matchups[0].verdict.outcome) == ("b", "a")


async def test_labelled_pairs_keep_their_labels(tmp_path: Path):
    rows = [{"prompt": f"{i}?", "response_a": "aaa", "response_b": "b", "label": "b"}
            for i in range(3)]  # fmt: skip
    pairs = write_rows(tmp_path / "pairs.jsonl", rows)
    result = await judge(tmp_path / "run", job_on(str(pairs), long_lover()))
    assert result.verdicts.n_labelled == result.run_result.source.n_labelled == 3
    assert {each.group.label for each in read(tmp_path / "run")} == {"b"}


BAD: dict[str, tuple[str, Outcome]] = {
    "nothing": ("", "unparsed"),
    "both": ("A, B", "unparsed"),
    "word": ("Banana", "unparsed"),
    "language": ("Beide sind gut.", "unparsed"),
    "endless": ("On the one hand it is. " * 50, "unparsed"),
    "refusal": ("I'm sorry, but I cannot compare these.", "refused"),
    "stuck": ("A", "inconsistent"),
    "tie": ("tie", "tie"),
}


async def test_bad_answers_are_counted_each_as_what_it_is(tmp_path: Path):
    """Eight judged in words badly, and one well: every outcome is counted once, and none lost."""

    def reply(messages: Sequence[Message], sampling: Sampling) -> str:
        if (id := messages[0].content.partition("Request ")[2].split("?")[0]) in BAD:
            return BAD[id][0]
        return "A" if sides(messages)[0] == "good" else "B"

    run = await sampled(tmp_path / "samples", {id: ["good", "poor"] for id in [*BAD, "well"]})
    job = replace(
        job_on(run, ScriptedModel(reply, name="judge")), settings=JudgeSettings(verdicts="parsed")
    )
    result = await judge(tmp_path / "run", job)
    expected = Counter([outcome for _, outcome in BAD.values()]) + Counter({"a": 1})
    assert result.verdicts.outcomes == expected
    assert result.verdicts.n == len(BAD) + 1 == result.run_result.counts.done
    assert result.run_result.n_flagged == 6, "those that give no probability"
    assert set(result.verdicts.outcomes) <= set(get_args(Outcome))


async def test_a_group_of_which_all_failed_is_a_failed_record(samples: str, tmp_path: Path):
    def choose(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        if "Request two?" in messages[0].content:
            raise ModelError("The server wants a key.")
        return by_length(messages, options)

    result = await judge(tmp_path / "run", job_on(samples, ScriptedModel(choices=choose)))
    assert (result.run_result.counts.done, result.run_result.counts.failed) == (2, 1)
    assert result.verdicts.n == 6
    with RunFolder.existing(tmp_path / "run") as run:
        (failed,) = run.records("failed")
    assert failed.error is not None
    assert (failed.id, failed.error.kind) == ("two", "ModelError")
    assert failed.error.message == "The server wants a key."
    mended = await judge(
        tmp_path / "run", job_on(samples, long_lover("scripted")), RunOptions(retry_failed=True)
    )
    assert (mended.run_result.counts.done, mended.verdicts.n) == (3, 9)
    assert mended.run_result.n_calls == 12


async def test_one_failed_comparison_of_several_is_an_outcome(samples: str, tmp_path: Path):
    def choose(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        if set(sides(messages)) == {"aaa", "bb"}:
            raise ModelError("It fell over.")
        return by_length(messages, options)

    result = await judge(tmp_path / "run", job_on(samples, ScriptedModel(choices=choose)))
    assert result.run_result.counts.done == 3
    assert result.verdicts.outcomes["failed"] == 1
    first = read(tmp_path / "run")[0]
    assert first.matchups[0].verdict.principle_verdicts[0].order_ab.reason == "It fell over."
    assert first.ranking == (0, 1, 2), "the other two connect all three"


async def test_a_server_that_fails_again_and_again_stops_the_run(tmp_path: Path):
    run = await sampled(tmp_path / "samples", {str(i): ["aa", "b"] for i in range(60)})
    n_calls = 0

    def choose(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        nonlocal n_calls
        n_calls += 1
        if n_calls > 1:
            raise ModelError("The server wants a key.")
        return (0.0, 0.0)

    with pytest.raises(ModelError, match="25 examples in a row failed"):
        await judge(tmp_path / "run", job_on(run, ScriptedModel(choices=choose)), RunOptions(4))
    with RunFolder.existing(tmp_path / "run") as folder:
        assert list(folder.records()) == []


async def test_groups_that_are_too_long_stop_nothing(tmp_path: Path):
    run = await sampled(tmp_path / "samples", {str(i): ["aa", "b"] for i in range(40)})

    def choose(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        if "Request" in messages[0].content and "Request 39?" not in messages[0].content:
            raise ContextLengthError("It is too long.")
        return by_length(messages, options)

    result = await judge(tmp_path / "run", job_on(run, ScriptedModel(choices=choose)))
    assert (result.run_result.counts.done, result.run_result.counts.failed) == (1, 39)


async def test_log_probabilities_are_probed_and_the_answer_is_part_of_the_recipe(
    samples: str, tmp_path: Path
):
    def refusing(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        raise NoLogprobs("It drops them.")

    words = ScriptedModel(lambda m, s: "A", choices=refusing, name="judge")
    said = Console(file=io.StringIO())
    job = job_on(samples, words)
    result = await run_judging(tmp_path / "run", job, console=said)
    assert result.verdicts.outcomes == Counter({"inconsistent": 9})
    shown = said.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert (
        "judge gives no usable log-probabilities; its verdicts are read from what it writes"
        in shown
    )
    assert "in both orders, 1 sample each" in shown
    with RunFolder.existing(tmp_path / "run") as run:
        assert [each.reads_logprobs for each in run_config_as(run, JudgeRunConfig).judges] == [
            False
        ]
    await run_judging(tmp_path / "part", job, RunOptions(limit=1), console=said)
    with pytest.raises(JournalError, match="other settings"):
        await judge(tmp_path / "part", job_on(samples, long_lover()))
    with pytest.raises(NoLogprobs, match="were asked for"):
        await judge(tmp_path / "other", replace(job, settings=JudgeSettings(verdicts="logprobs")))
    assert not (tmp_path / "other").exists()


class Gone(ScriptedModel):
    """A model whose server is down."""

    async def check(self) -> None:
        raise ModelError("Cannot reach it.")


@pytest.mark.parametrize("verdicts", ["auto", "parsed", "logprobs"])
async def test_a_finished_run_given_again_needs_no_server(
    verdicts: VerdictSource, samples: str, tmp_path: Path
):
    settings, folder = JudgeSettings(verdicts=verdicts), tmp_path / "run"
    in_words = ScriptedModel(lambda m, s: "A", name="judge")
    judging = in_words if verdicts == "parsed" else long_lover()
    first = await judge(folder, job_on(samples, judging, settings))
    again = await judge(folder, job_on(samples, Gone(name="judge"), settings))
    assert (again.run_result.n_calls, again.verdicts) == (0, first.verdicts)
    other = JudgeSettings(verdicts="logprobs" if verdicts == "parsed" else "parsed")
    with pytest.raises(JournalError, match="other settings"):
        await judge(folder, job_on(samples, Gone(name="judge"), other))


async def test_an_unfinished_run_needs_its_server(samples: str, tmp_path: Path):
    await judge(tmp_path / "run", job_on(samples, long_lover()), RunOptions(limit=2))
    gone = job_on(samples, Gone(name="judge"))
    assert (await judge(tmp_path / "run", gone, RunOptions(limit=2))).run_result.counts.done == 2
    with pytest.raises(ModelError, match="Cannot reach it"):
        await judge(tmp_path / "run", gone)


async def test_a_judge_of_its_own_responses_is_said(samples: str, tmp_path: Path):
    said = io.StringIO()
    for name in ("judge", "actor"):
        job = job_on(samples, long_lover(name))
        await run_judging(tmp_path / name, job, console=Console(file=said))
        assert ("actor judges its own responses" in said.getvalue()) == (name == "actor")


async def test_a_jury_is_asked_and_kept(samples: str, tmp_path: Path):
    first, second = long_lover("first"), ScriptedModel(choices=lambda m, o: (0.0, 0.0), name="next")
    job = job_on(samples, first)
    job = replace(job, judges=(*job.judges, RoleModel.of(second)))
    await judge(tmp_path / "run", job)
    matchup = read(tmp_path / "run")[0].matchups[0]
    assert [each.judge for each in matchup.verdict.principle_verdicts] == ["first"] * 2 + [
        "next"
    ] * 2
    with RunFolder.existing(tmp_path / "run") as run:
        recipe = run_config_as(run, JudgeRunConfig)
    assert [each.model for each in recipe.judges] == ["first", "next"]


async def test_pairings_save_contests(tmp_path: Path):
    run = await sampled(tmp_path / "samples", {"one": ["aaaa", "bbb", "cc", "d"]})
    for pairing, n in (("all", 6), ("swiss", 4), ("best-worst", 4)):
        job = replace(job_on(run, long_lover()), pairing=pairing)
        result = await judge(tmp_path / pairing, job)
        assert result.verdicts.n == n


async def test_the_folder_tells_what_decided_it(samples: str, tmp_path: Path):
    settings = JudgeSettings(rationale=True, tie_margin=0.02, principles=1)
    model = ScriptedModel(lambda m, s: "Both.", choices=by_length, name="judge")
    await judge(tmp_path / "run", job_on(samples, model, settings))
    with RunFolder.existing(tmp_path / "run") as run:
        recipe = run_config_as(run, JudgeRunConfig)
    assert recipe.settings == settings.model_copy(update={"compose": "vote"})
    assert (recipe.source.files, recipe.source.column) == (("samples",), "samples")
    (judge_,) = recipe.judges
    assert (judge_.model, judge_.temperature, judge_.reads_logprobs) == ("judge", 0.0, True)
    assert judge_.templates.hash == load_templates("chat").hash
    assert load_constitution(tmp_path / "run" / "constitution.yaml").hash == TWO.hash


async def test_only_what_decides_results_makes_another_recipe(samples: str, tmp_path: Path):
    job = job_on(samples, long_lover())
    await judge(tmp_path / "run", job)
    await judge(tmp_path / "run", job, RunOptions(2))
    others = (
        replace(job, settings=JudgeSettings(verdicts="logprobs")),
        replace(job, settings=JudgeSettings(min_mass=0.2)),
        replace(job, seed=1),
        replace(job, pairing="swiss"),
        replace(job, settings=JudgeSettings(negated=True)),
        replace(job, constitution=load_constitution("testbed")),
        replace(job, judges=(RoleModel.of(long_lover("other"), Sampling(0.0)),)),
        replace(job, settings=JudgeSettings(verdicts="parsed")),
    )
    for other in others:
        with pytest.raises(JournalError, match="other settings"):
            await judge(tmp_path / "run", other)


@pytest.mark.parametrize(("settings", "said"), [
    (JudgeSettings(tags=("nothing",)), "a tag of nothing"),
    (JudgeSettings(few_shots=1), "has examples"),
    (JudgeSettings(clamp=(0.7, 0.9)), "must hold one half"),
    (JudgeSettings(samples=2), "is read once"),
])  # fmt: skip
async def test_a_plan_that_cannot_be_followed_leaves_no_folder(
    samples: str, tmp_path: Path, settings: JudgeSettings, said: str
):
    with pytest.raises(UsageError, match=said):
        await judge(tmp_path / "run", job_on(samples, long_lover(), settings))
    assert not (tmp_path / "run").exists()


async def test_a_run_that_is_judged_is_no_source(samples: str, tmp_path: Path):
    await judge(tmp_path / "run", job_on(samples, long_lover()))
    with pytest.raises(SourceError, match="is a run of `cai judge`"):
        await judge(tmp_path / "again", job_on(str(tmp_path / "run"), long_lover()))


async def test_a_group_gets_its_own_principles_and_resuming_draws_the_same(
    samples: str, tmp_path: Path
):
    settings = JudgeSettings(principles=1)
    await judge(tmp_path / "parts", job_on(samples, long_lover(), settings), RunOptions(limit=1))
    await judge(tmp_path / "parts", job_on(samples, long_lover(), settings))
    await judge(tmp_path / "whole", job_on(samples, long_lover(), settings))
    assert bodies(tmp_path / "parts") == bodies(tmp_path / "whole")
