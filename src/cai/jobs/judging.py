"""Judging over a data set: pairs from files, samples, or revisions against originals."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from rich.console import Console

from cai.constitution.schema import Constitution, Principle
from cai.drawing import candidates
from cai.errors import ModelError
from cai.jobs.described import described_constitution, described_judge
from cai.jobs.failing import error_of
from cai.jobs.groups import GroupSummary
from cai.jobs.pace import Pace
from cai.jobs.probing import Asking, Trial, Verdicts, read_judges, warn
from cai.jobs.running import Job, Outcome, Through, opened, run_job
from cai.judging.asking import LETTERS, judge_turns, questions_of
from cai.judging.comparisons import Comparison, Group
from cai.judging.judge import Judge, JudgePlan
from cai.judging.ranking import Bench, Judged, Pairing, judge_group
from cai.judging.verdicts import Outcome as VerdictOutcome
from cai.models.protocol import Usage
from cai.records.recipes import JudgeRecipe
from cai.speaker import Speaker
from cai.types import user_prompt


class Groups(Protocol):
    """Where groups come from; `cai.jobs.groups` has those of files and runs."""

    def check(self) -> GroupSummary:
        """What there is, after a pass over all of it."""
        ...

    def items(self) -> Iterator[tuple[str, Group]]:
        """The groups, each with an id that no other has."""
        ...


@dataclass(frozen=True, slots=True)
class JudgeJob:
    """All that decides the result of a judging run; several `judges` are a jury."""

    source: Groups
    constitution: Constitution
    judges: tuple[Speaker, ...]
    plan: JudgePlan = JudgePlan()
    pairing: Pairing = "all"
    verdicts: Verdicts = "auto"
    seed: int = 0


@dataclass(slots=True)
class VerdictTally:
    """What the comparisons of a run folder came to; the outcomes add up to `n`.

    Of `n_both` questions both orders could be read, and in `n_flips` of these they favour different
    responses. `usage` has the tokens of all that is in the folder.
    """

    n: int = 0
    outcomes: Counter[VerdictOutcome] = field(default_factory=Counter[VerdictOutcome])
    n_both: int = 0
    n_flips: int = 0
    n_labelled: int = 0
    usage: Usage = Usage()
    _margins: float = 0.0
    _n_margins: int = 0

    def add(self, judged: Judged) -> None:
        self.n_labelled += judged.group.label is not None
        self.usage += judged.usage
        for contest in judged.contests:
            verdict = contest.verdict
            self.n += 1
            self.outcomes[verdict.outcome] += 1
            if verdict.margin is not None:
                self._margins += verdict.margin
                self._n_margins += 1
            flips = [each.is_flip for each in verdict.judgements if each.is_flip is not None]
            self.n_both += len(flips)
            self.n_flips += sum(flips)

    @property
    def mean_margin(self) -> float | None:
        """How far from even the readable verdicts are, in [0, 1/2]; None where none is."""
        return self._margins / self._n_margins if self._n_margins else None


@dataclass(frozen=True, slots=True)
class JudgeOutcome:
    """How the run went, and what its verdicts are."""

    run: Outcome[GroupSummary]
    verdicts: VerdictTally


async def run_judging(
    folder: Path, job: JudgeJob, pace: Pace = Pace(), *, console: Console
) -> JudgeOutcome:
    """Judges every group of the source, into the run folder; as `cai.jobs.revision.run_revision`.

    A group of which every comparison failed becomes a failed record; all other outcomes are kept as
    what they are. Judges that give no log-probabilities, and those that judge their own responses,
    are said on the console before the first comparison.

    Raises:
        UsageError: The plan does not fit the judges or the constitution.
        SourceError: A source cannot be read, a row is bad, or there is nothing to judge.
        JournalError: A folder is a run of another recipe, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
    """
    job.plan.check((), job.constitution)
    summary = job.source.check()
    tally = VerdictTally()
    async with opened([judge.model for judge in job.judges]):
        judges = await read_judges(job.judges, job.verdicts, _trial(job), console)
        job.plan.check(judges, job.constitution)
        _warn_of_own(judges, summary, console)
        run = Job(
            recipe=_recipe(job, judges, summary),
            constitution=job.constitution,
            source=summary,
            n_items=summary.n_groups,
            items=job.source.items,
            body=Judged,
            prepare=lambda through: _judging(job, judges, through),
            is_flagged=_has_unreadable,
            note=tally.add,
        )
        return JudgeOutcome(await run_job(folder, run, pace, console), tally)


def first_question(judge: Speaker, principle: Principle) -> Asking:
    """A question of the kind that will follow, on two greetings; for `cai.jobs.probing`."""
    comparison = Comparison(user_prompt("Hello."), "Hello.", "Good day.")
    return judge_turns(judge.templates, next(questions_of(principle)), comparison), LETTERS


def asked_through(judges: Sequence[Judge], through: Through, role: str) -> tuple[Judge, ...]:
    """The judges with their models as the run asks them in that role."""
    return tuple(
        replace(judge, speaker=replace(judge.speaker, model=through(judge.speaker.model, role)))
        for judge in judges
    )


def _warn_of_own(judges: tuple[Judge, ...], summary: GroupSummary, console: Console) -> None:
    for name in sorted({judge.name for judge in judges} & summary.models):
        warn(
            console,
            f"{name} judges its own responses, which judges tend to prefer. Take another judge, or "
            "see how much it prefers them: cai audit.",
        )


def _trial(job: JudgeJob) -> Trial:
    first, n = candidates(job.constitution, job.plan.tags)[0], job.plan.samples
    samples = f"{n} sample{'' if n == 1 else 's'}"
    in_words = f"its verdicts are read from what it writes, in both orders, {samples} each"
    return Trial(lambda judge: first_question(judge, first), in_words)


def _judging(
    job: JudgeJob, judges: tuple[Judge, ...], through: Through
) -> Callable[[Group], Awaitable[Judged]]:
    bench = Bench(asked_through(judges, through, "judge"), job.constitution, job.plan)

    async def judge(group: Group) -> Judged:
        judged = await judge_group(bench, group, job.pairing, job.seed)
        if all(contest.verdict.outcome == "failed" for contest in judged.contests):
            raise _failure(judged)
        return judged

    return judge


def _failure(judged: Judged) -> ModelError:
    """The first failed call's error; that of a request too long is the group's own fault."""
    failed = [
        reading
        for contest in judged.contests
        for judgement in contest.verdict.judgements
        for reading in (judgement.there, judgement.back)
        if reading.outcome == "failed"
    ]
    return error_of([(each.error, each.reason) for each in failed])


def _has_unreadable(judged: Judged) -> bool:
    return any(each.verdict.p_a is None for each in judged.contests)


def _recipe(job: JudgeJob, judges: tuple[Judge, ...], summary: GroupSummary) -> JudgeRecipe:
    return JudgeRecipe(
        source=summary.described,
        constitution=described_constitution(job.constitution),
        judges=tuple(described_judge(judge) for judge in judges),
        plan=job.plan,
        pairing=job.pairing,
        seed=job.seed,
    )
