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
from cai.evaluation.policies.results import Suite
from cai.evaluation.suites.files import CHOSEN, SuiteFile
from cai.evaluation.suites.multiple_choice import (
    CHOICE_MEASURES,
    ChoiceJob,
    read_questions,
    run_choices,
)
from cai.evaluation.suites.open_ended import (
    RESPONSE_MEASURES,
    OpenJob,
    OpenPrompt,
    SuiteJudging,
    read_open_prompts,
    response_figures,
    run_open,
)
from cai.evaluation.suites.shares import PromptShares
from cai.methods.judging.multiple_choice import Question
from cai.methods.roles import RoleModel
from cai.methods.settings import VerdictSource
from cai.runs.judges import warn
from cai.runs.shared_budget import Accounts
from cai.types import content_hash

FOLDER = "suites"
FILE = "suites.json"
"""In the folder of the suites, where `SuitesFound` is kept."""


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A policy under the name by which its figures are told."""

    name: str
    role_model: RoleModel


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """How suites are put to policies.

    Without `judging` the responses to open prompts are counted by their texts alone. `verdicts`
    says how the choices of policies are read: from log-probabilities, from what they write, or
    from what there is.
    """

    judging: SuiteJudging | None = None
    verdicts: VerdictSource = "auto"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SuitesFound:
    """What suites found of policies, and what it took; the cost is None where a price is not known.

    `n_failed` are examples that failed.
    """

    policies: Mapping[str, str]
    judges: tuple[str, ...]
    constitution: str
    suites: tuple[Suite, ...]
    n_calls: int
    n_failed: int
    cost_usd: float | None


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


async def run_suites(
    suites: Sequence[SuiteFile],
    policies: Sequence[NamedPolicy],
    plan: SuitePlan,
    out: Path,
    accounts: Accounts,
    console: Console,
) -> tuple[Suite, ...]:
    """Every suite with the figures of every policy, in the order in which they are given.

    The first start of a run keeps to the limit and the sample of the pace; the runs that follow
    from it, of second turns and of judges, are over all that it left.

    Raises:
        UsageError: Two policies have one name.
        SourceError: A file cannot be read, or a row of it is bad.
        NoLogprobs: Log-probabilities are asked for, and a policy gives none.
        JournalError: A folder is a run with other settings, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
        RunStopped: A cap is reached.
    """
    _check_policies(policies)
    _warn_of_own(policies, plan, console)
    found: list[Suite] = []
    for read in [_Read.of(suite) for suite in suites]:
        shares: dict[str, PromptShares] = {}
        for policy in policies:
            folder = out / FOLDER / read.suite.name / folder_name(policy.name)
            shares[policy.name] = await _figures(
                folder, read, policy=policy, plan=plan, accounts=accounts, console=console
            )
        found.append(_suite(read, shares))
    return tuple(found)


def check_suites(suites: Sequence[SuiteFile]) -> None:
    """Reads every file to the end, before a model is opened.

    Raises:
        SourceError: A file cannot be read, or a row of it is bad.
    """
    for suite in suites:
        _Read.of(suite)


def folder_name(policy: str) -> str:
    """The name as one of a folder; where that changes it, with six digits of its hash."""
    plain = re.sub(r"[^\w.-]+", "-", policy).strip(".-")
    return plain if plain == policy else f"{plain}-{content_hash(policy)[:6]}".lstrip("-")


async def _figures(
    folder: Path,
    read: _Read,
    policy: NamedPolicy,
    plan: SuitePlan,
    accounts: Accounts,
    console: Console,
) -> PromptShares:
    folder.parent.mkdir(parents=True, exist_ok=True)
    suite, role_model = read.suite, policy.role_model
    if suite.kind in CHOSEN:
        choices = ChoiceJob(suite, read.questions, role_model, plan.verdicts, plan.seed)
        return await run_choices(folder, choices, accounts, console)
    job = OpenJob(suite, read.prompts, role_model, plan.judging, plan.seed)
    turns = await run_open(folder, job, accounts, console)
    return response_figures(suite.kind, read.prompts, turns)


def _suite(read: _Read, shares: Mapping[str, PromptShares]) -> Suite:
    suite = read.suite
    known = CHOICE_MEASURES if suite.kind in CHOSEN else RESPONSE_MEASURES
    figures = {policy: each.estimates() for policy, each in shares.items()}
    names = dict.fromkeys(name for each in figures.values() for name in each)
    every = list(shares.values())
    return Suite(
        suite.name,
        suite.kind,
        measures={name: known[name] for name in names if name in known},
        n=max(each.n_prompts for each in every),
        found=figures,
        differences=every[-1].less(every[0]) if len(every) > 1 else {},
    )


def _check_policies(policies: Sequence[NamedPolicy]) -> None:
    names = Counter(each.name for each in policies)
    twice = next((name for name, n in names.items() if n > 1), None)
    if twice is not None:
        raise UsageError(f"Two policies are named {twice!r}. Give each a name of its own.")


def _warn_of_own(policies: Sequence[NamedPolicy], plan: SuitePlan, console: Console) -> None:
    """Says loudly where a judge is a policy itself."""
    judges = {each.model.name for each in plan.judging.judges} if plan.judging else set[str]()
    for policy in policies:
        if policy.role_model.model.name in judges:
            warn(
                console,
                f"{policy.name} judges its own responses, which judges tend to prefer. Take "
                "another judge.",
            )
