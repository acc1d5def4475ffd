"""Judging over a data set: pairs from files, samples, or revisions against originals.

Whether judges are read by log-probabilities or by what they write, found out before a run.

Some servers drop log-probabilities without a word, and some models think before they answer, so
that the first token is no letter. One small question to each judge tells.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from cai.constitution.schema import Constitution, Principle
from cai.data.source import ItemSource, SourceSummary
from cai.engine.calls import retrying
from cai.errors import ModelError, NoLogprobs, UsageError
from cai.methods.judging.pairwise import Judge, JudgePlan
from cai.methods.judging.ranking import Bench, Judged, Pairing, judge_group
from cai.methods.judging.requests import LETTERS, judge_turns, questions_of
from cai.methods.judging.verdict import Comparison, Group
from cai.methods.judging.verdict import Outcome as VerdictOutcome
from cai.methods.roles import Speaker, candidates
from cai.models.base import ChoiceModel, Usage
from cai.runs.config import (
    JudgeRecipe,
    described_constitution,
    described_judge,
    described_source,
)
from cai.runs.job import Job, Outcome, Through, error_of, opened, run_job
from cai.runs.options import Pace
from cai.types import Conversation, user_prompt

Verdicts = Literal["auto", "logprobs", "parsed"]
"""Log-probabilities where there are any, log-probabilities or an error, or words."""

Asking = tuple[Conversation, Sequence[str]]
"""The turns of a question and the options of its answer."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A first question of the method, and how the method reads a judge that answers in words."""

    question: Callable[[Speaker], Asking]
    in_words: str


async def read_judges(
    speakers: Sequence[Speaker], verdicts: Verdicts, trial: Trial, console: Console
) -> tuple[Judge, ...]:
    """The judges, each read as asked for. One that gives no log-probabilities is said loudly.

    Raises:
        UsageError: Two judges are the same model, or there is none.
        NoLogprobs: Log-probabilities are asked for and a judge gives none.
        ModelError: A judge cannot be asked.
    """
    names = [speaker.model.name for speaker in speakers]
    if len(set(names)) < len(names) or not names:
        raise UsageError(
            f"The judges are: {', '.join(names) or 'none'}. Name at least one, and each once."
        )
    return tuple([await _read(each, verdicts, trial, console) for each in speakers])


def warn(console: Console, text: str) -> None:
    """Prints a line that is not overlooked."""
    console.print(
        f"WARNING: {text}",
        style="bold yellow",
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
    )


async def _read(speaker: Speaker, verdicts: Verdicts, trial: Trial, console: Console) -> Judge:
    if verdicts == "parsed":
        return Judge(speaker, reads_logprobs=False)
    reason = await _refusal(speaker, trial)
    if reason is None:
        return Judge(speaker, reads_logprobs=True)
    if verdicts == "logprobs":
        raise NoLogprobs(f"{reason} Log-probabilities were asked for: ask for auto or parsed.")
    warn(
        console,
        f"{speaker.model.name} gives no log-probabilities; {trial.in_words}. The reason: {reason}",
    )
    return Judge(speaker, reads_logprobs=False)


async def _refusal(speaker: Speaker, trial: Trial) -> str | None:
    """Why the model gives no log-probabilities of the options; None where it does."""
    model = retrying(speaker.model)
    if not isinstance(model, ChoiceModel):
        return f"{model.name} is of a kind that has none."
    turns, options = trial.question(speaker)
    try:
        await model.choose(speaker.templates.request(turns), options)
    except NoLogprobs as error:
        return str(error)
    return None


@dataclass(frozen=True, slots=True)
class JudgeJob:
    """All that decides the result of a judging run; several `judges` are a jury."""

    source: ItemSource[Group]
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

    run: Outcome[SourceSummary]
    verdicts: VerdictTally


async def run_judging(
    folder: Path, job: JudgeJob, pace: Pace = Pace(), *, console: Console
) -> JudgeOutcome:
    """Judges every group of the source, into the run folder; as `cai.runs.revise.run_revision`.

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
    checked = job.source.check()
    summary = checked.summary
    tally = VerdictTally()
    async with opened([judge.model for judge in job.judges]):
        judges = await read_judges(job.judges, job.verdicts, _trial(job), console)
        job.plan.check(judges, job.constitution)
        _warn_of_own(judges, summary, console)
        run = Job(
            recipe=_recipe(job, judges, summary),
            constitution=job.constitution,
            source=summary,
            n_items=summary.n_items,
            items=checked.items,
            body=Judged,
            prepare=lambda through: _judging(job, judges, through),
            is_flagged=_has_unreadable,
            note=tally.add,
        )
        return JudgeOutcome(await run_job(folder, run, pace, console), tally)


def first_question(judge: Speaker, principle: Principle) -> Asking:
    """A question of the kind that will follow, on two greetings; for `cai.runs.judge`."""
    comparison = Comparison(user_prompt("Hello."), "Hello.", "Good day.")
    return judge_turns(judge.templates, next(questions_of(principle)), comparison), LETTERS


def asked_through(judges: Sequence[Judge], through: Through, role: str) -> tuple[Judge, ...]:
    """The judges with their models as the run asks them in that role."""
    return tuple(
        replace(judge, speaker=replace(judge.speaker, model=through(judge.speaker.model, role)))
        for judge in judges
    )


def _warn_of_own(judges: tuple[Judge, ...], summary: SourceSummary, console: Console) -> None:
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


def _recipe(job: JudgeJob, judges: tuple[Judge, ...], summary: SourceSummary) -> JudgeRecipe:
    return JudgeRecipe(
        source=described_source(summary),
        constitution=described_constitution(job.constitution),
        judges=tuple(described_judge(judge) for judge in judges),
        plan=job.plan,
        pairing=job.pairing,
        seed=job.seed,
    )
