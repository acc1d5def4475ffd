"""Standard suites put to policies: every suite to every policy, each a durable run of its own.

The runs lie in OUT/suites/SUITE/POLICY. All files are read to the end before a model is asked, so
that a broken row is said first; the same call goes on after an interruption, and asks nothing
twice.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cai.errors import UsageError
from cai.evaluation.bootstrap import Estimate
from cai.evaluation.policy_report import Suite
from cai.jobs.pace import Pace
from cai.jobs.probing import Verdicts
from cai.judging.multiple_choice import Question
from cai.speaker import Speaker
from cai.suites import choice_figures, response_figures
from cai.suites.answering import ChoiceJob, run_choices
from cai.suites.files import SuiteFile
from cai.suites.kinds import CHOSEN
from cai.suites.open_prompts import OpenPrompt, read_open_prompts
from cai.suites.questions import read_questions
from cai.suites.responding import OpenJob, SuiteJudging, run_open
from cai.types import content_hash

FOLDER = "suites"


@dataclass(frozen=True, slots=True)
class Entrant:
    """A policy under the name by which its figures are told."""

    name: str
    speaker: Speaker


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """How suites are put to policies.

    Without `judging` the responses to open prompts are counted by their texts alone. `verdicts`
    says how the choices of policies are read: from log-probabilities, from what they write, or
    from what there is.
    """

    judging: SuiteJudging | None = None
    verdicts: Verdicts = "auto"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Read:
    """A suite, and what stands in its file: questions, or open prompts by id."""

    suite: SuiteFile
    questions: tuple[Question, ...]
    prompts: Mapping[str, OpenPrompt]

    @classmethod
    def of(cls, suite: SuiteFile) -> "_Read":
        if suite.kind in CHOSEN:
            return cls(suite, read_questions(suite), {})
        return cls(suite, (), read_open_prompts(suite))

    @property
    def n(self) -> int:
        return len(self.questions) + len(self.prompts)


async def run_suites(
    suites: Sequence[SuiteFile],
    policies: Sequence[Entrant],
    plan: SuitePlan,
    out: Path,
    pace: Pace,
    console: Console,
) -> tuple[Suite, ...]:
    """Every suite with the figures of every policy, in the order in which they are given.

    Raises:
        UsageError: There is no suite or no policy, or two policies have one name.
        SourceError: A file cannot be read, or a row of it is bad.
        NoLogprobs: Log-probabilities are asked for, and a policy gives none.
        JournalError: A folder is a run of another recipe, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
        RunStopped: A cap is reached.
    """
    _check(suites, policies)
    found: list[Suite] = []
    for read in [_Read.of(suite) for suite in suites]:
        figures: dict[str, Mapping[str, Estimate]] = {}
        for policy in policies:
            folder = out / FOLDER / read.suite.name / folder_name(policy.name)
            figures[policy.name] = await _figures(folder, read, policy, plan, pace, console)
        found.append(
            Suite(read.suite.name, read.suite.kind, _measures(read, figures), read.n, figures)
        )
    return tuple(found)


def folder_name(policy: str) -> str:
    """The name as one of a folder; where that changes it, with six digits of its hash."""
    plain = re.sub(r"[^\w.-]+", "-", policy).strip(".-")
    return plain if plain == policy else f"{plain}-{content_hash(policy)[:6]}".lstrip("-")


async def _figures(
    folder: Path, read: _Read, policy: Entrant, plan: SuitePlan, pace: Pace, console: Console
) -> Mapping[str, Estimate]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    suite, speaker = read.suite, policy.speaker
    if suite.kind in CHOSEN:
        choices = ChoiceJob(suite, read.questions, speaker, plan.verdicts, plan.seed)
        return await run_choices(folder, choices, pace, console)
    job = OpenJob(suite, read.prompts, speaker, plan.judging, plan.seed)
    turns = await run_open(folder, job, pace, console)
    return response_figures.response_figures(suite.kind, read.prompts, turns)


def _measures(read: _Read, figures: Mapping[str, Mapping[str, Estimate]]) -> Mapping[str, str]:
    """What each figure is that a policy has, in their order."""
    known = choice_figures.MEASURES if read.suite.kind in CHOSEN else response_figures.MEASURES
    names = dict.fromkeys(name for each in figures.values() for name in each)
    return {name: known[name] for name in names if name in known}


def _check(suites: Sequence[SuiteFile], policies: Sequence[Entrant]) -> None:
    if not suites or not policies:
        raise UsageError(
            f"{len(suites)} suites and {len(policies)} policies are given. Give at least one each."
        )
    names = Counter(each.name for each in policies)
    twice = next((name for name, n in names.items() if n > 1), None)
    if twice is not None:
        raise UsageError(f"Two policies are named {twice!r}. Give each a name of its own.")
