"""A policy's responses to the prompts of a suite, and what judges say of them: durable runs.

The responses are a run of `cai sample` in the policy's folder. The second turns of MT-Bench are
another one below it, `second`: each goes on from the policy's own first answer, and one without an
answer is not asked. What judges say of a run is a run of `cai score` below that, `judged`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cai.arena.accounts import Accounts
from cai.constitution.schema import Constitution
from cai.engine.storage.run_folder import RunFolder
from cai.errors import EvaluationError
from cai.jobs.pace import WHOLE, Pace
from cai.jobs.probing import Verdicts
from cai.jobs.prompt_source import PromptSource
from cai.jobs.response_source import ResponseSource
from cai.jobs.sampling import SampleJob, run_sampling
from cai.jobs.scoring import ScoreJob, run_scoring
from cai.judging.scoring import Scored, ScoreKind, ScorePlan
from cai.records.bodies import read_done
from cai.sampling import Samples
from cai.speaker import Speaker
from cai.suites.files import SuiteFile
from cai.suites.kinds import Kind
from cai.suites.open_prompts import OpenPrompt, source_of
from cai.types import Message, as_dicts, derive_seed

SECOND = "second"
JUDGED = "judged"


@dataclass(frozen=True, slots=True)
class SuiteJudging:
    """Who judges the responses to open prompts, and by which principles.

    They mark answers of MT-Bench from 1 to 10, and say of others whether each principle is kept,
    whatever kind of score the plan names.
    """

    constitution: Constitution
    judges: tuple[Speaker, ...]
    plan: ScorePlan = ScorePlan()
    verdicts: Verdicts = "auto"

    def job(self, folder: Path, kind: ScoreKind, seed: int) -> ScoreJob:
        """The scoring of the responses in that folder."""
        plan = replace(self.plan, kind=kind)
        source = ResponseSource((str(folder),))
        return ScoreJob(source, self.constitution, self.judges, plan, self.verdicts, seed)


@dataclass(frozen=True, slots=True)
class OpenJob:
    """All that decides a policy's responses and what is said of them."""

    suite: SuiteFile
    prompts: Mapping[str, OpenPrompt]
    policy: Speaker
    judging: SuiteJudging | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TurnFound:
    """The responses of one turn by id of prompt, what judges say of them, and how many failed.

    `scored` is None where nobody was asked; it lacks what no judge could be asked about.
    """

    number: int
    texts: Mapping[str, str]
    scored: Mapping[str, Scored] | None
    n_failed: int


def score_kind(kind: Kind) -> ScoreKind:
    """How responses to a suite are judged: helpful answers by a mark, others by a check."""
    return "mark" if kind == "mt-bench" else "check"


async def run_open(
    folder: Path, job: OpenJob, accounts: Accounts, console: Console
) -> tuple[TurnFound, ...]:
    """The responses to the first turns, and to the second ones where there are any.

    Raises:
        JournalError: The folder is a run of another recipe, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
    """
    turns = _Turns(job, accounts, console)
    first = await turns.one(folder, 1, source_of(job.suite), accounts.pace)
    if not any(each.second for each in job.prompts.values()):
        return (first,)
    written = _write_second(folder / f"{SECOND}.jsonl", job.prompts, first.texts)
    if written is None:
        return (first,)
    return first, await turns.one(folder / SECOND, 2, written, _following(accounts.pace))


@dataclass(frozen=True, slots=True)
class _Turns:
    """A job, and where it is told what it took."""

    job: OpenJob
    accounts: Accounts
    console: Console

    async def one(self, folder: Path, number: int, source: PromptSource, pace: Pace) -> TurnFound:
        """The responses of a turn, into the folder, and what judges say of them."""
        job, seed = self.job, derive_seed(self.job.seed, "turn", number)
        sampling = SampleJob(source, (job.policy,), k=1, seed=seed)
        outcome = await run_sampling(folder, sampling, pace, console=self.console)
        self.accounts.add(outcome)
        texts = dict(_texts(folder))
        scored = None
        if job.judging is not None and any(text.strip() for text in texts.values()):
            scoring = job.judging.job(folder, score_kind(job.suite.kind), seed)
            scored = await self._scored(folder / JUDGED, scoring)
        return TurnFound(number, texts, scored, outcome.counts.failed)

    async def _scored(self, folder: Path, job: ScoreJob) -> Mapping[str, Scored]:
        pace = _following(self.accounts.pace)
        self.accounts.add((await run_scoring(folder, job, pace, console=self.console)).run)
        with RunFolder.existing(folder) as run:
            return {body.prompt.id: body for _, body in read_done(run, Scored)}


def _following(pace: Pace) -> Pace:
    """The pace of a step over all that the step before it left.

    Where that has become more since, the step's recipe is another one: its run is brought up to
    date, and the journal answers what was asked before.
    """
    return replace(pace, update=True, limit=None, sample=None, whole=None, part=WHOLE)


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    with RunFolder.existing(folder) as run:
        for _, body in read_done(run, Samples):
            [sample] = body.samples
            yield body.prompt.id, sample.completion.text


def _write_second(
    path: Path, prompts: Mapping[str, OpenPrompt], first: Mapping[str, str]
) -> PromptSource | None:
    """The second prompts as a file, each behind the first answer; None where there is no answer.

    Raises:
        EvaluationError: The file cannot be written.
    """
    rows: list[dict[str, object]] = []
    for id, each in prompts.items():
        answer = first.get(id, "")
        if each.second and answer.strip():
            turns = (Message("assistant", answer), Message("user", each.second))
            rows.append({"id": id, "messages": as_dicts((*each.prompt.messages, *turns))})
    if not rows:
        return None
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        part.replace(path)
    except OSError as error:
        raise EvaluationError(
            f"{path}: cannot be written ({error.strerror}). Free space, or name another folder."
        ) from error
    return PromptSource((str(path),), column="messages", id_column="id")
