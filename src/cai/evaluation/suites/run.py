"""Standard suites of policies: every suite for every policy, each a resumable run of its own.

The runs are in OUT/suites/SUITE/POLICY. All files are read to the end before a model is called, so
that a bad row is reported first; the same call resumes after an interruption.

Example:
    policies = [Policy("embedded", "embedded", RoleModel.of(open_model("embedded")))]
    suites = open_suites(["xstest.csv"])
    [found] = await run_suites(suites, policies, SuitePlan(), out, spending, console)
    print(found.found["embedded"]["refused safe"])
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cai.errors import UsageError
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.results import Suite
from cai.evaluation.spending import Spending
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
from cai.methods.judging.multiple_choice import ChoiceQuestion
from cai.methods.roles import RoleModel
from cai.methods.settings import VerdictSource
from cai.runs.warning import warn
from cai.types import content_hash

# The folder of the suites, and in it the file of the `SuiteResults`.
FOLDER = "suites"
FILE = "suites.json"


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """The settings of all suites.

    Without `judging` the responses to open prompts are measured by their texts alone. `verdicts`
    is how choices are read: from log-probabilities, from written replies, or as available.
    """

    judging: SuiteJudging | None = None
    verdicts: VerdictSource = "auto"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SuiteResults:
    """The figures of all suites, and their cost, None if a price is unknown.

    `policies` are the sources by name; `n_failed` examples failed.
    """

    policies: Mapping[str, str]
    judges: tuple[str, ...]
    constitution: str
    suites: tuple[Suite, ...]
    n_calls: int
    n_failed: int
    cost_usd: float | None


async def run_suites(
    suites: Sequence[SuiteFile],
    policies: Sequence[Policy],
    plan: SuitePlan,
    out: Path,
    spending: Spending,
    console: Console,
) -> tuple[Suite, ...]:
    """Every suite with the figures of every policy, in the given order.

    The limit and sample of the run options apply to the first prompts of a suite; runs of second
    turns and of judges cover all responses to these.

    Raises:
        UsageError: Two policies have one name, or one is not a model.
        SourceError: A file cannot be read, or a row of it is bad.
        NoLogprobs: Log-probabilities are required, and a policy gives none.
        JournalError: A folder is a run with other settings, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
        RunStopped: A cap is reached.
    """
    models = _checked_models(policies)
    judges = {each.model.name for each in plan.judging.judges} if plan.judging else set[str]()
    for policy, role_model in models.items():
        if role_model.model.name in judges:
            warn(
                console,
                f"{policy} judges its own responses, which judges tend to prefer. Use another "
                "judge.",
            )
    # A list: all files are read before the first call, so that a bad row costs nothing.
    found: list[Suite] = []
    for suite, rows in [(suite, _read(suite)) for suite in suites]:
        shares: dict[str, PromptShares] = {}
        for policy, role_model in models.items():
            folder = out / FOLDER / suite.name / folder_name(policy)
            folder.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(rows, tuple):
                job = ChoiceJob(suite, rows, role_model, plan.verdicts, plan.seed)
                shares[policy] = await run_choices(folder, job, spending, console)
            else:
                open_job = OpenJob(suite, rows, role_model, plan.judging, plan.seed)
                turns = await run_open(folder, open_job, spending, console)
                shares[policy] = response_figures(suite.kind, rows, turns)
        found.append(_suite_of(suite, shares))
    return tuple(found)


def check_suites(suites: Sequence[SuiteFile]) -> None:
    """Reads every file to the end, before a model is opened.

    Raises:
        SourceError: A file cannot be read, or a row of it is bad.
    """
    for suite in suites:
        _read(suite)


def _read(suite: SuiteFile) -> tuple[ChoiceQuestion, ...] | Mapping[str, OpenPrompt]:
    """The content of the file: questions with a choice of answers, or open prompts by id."""
    return read_questions(suite) if suite.kind in CHOSEN else read_open_prompts(suite)


def folder_name(policy: str) -> str:
    """The name as one of a folder; if that changes it, with six digits of its hash."""
    # Without the hash, hf:a/b and hf/a:b would share a folder.
    plain = re.sub(r"[^\w.-]+", "-", policy).strip(".-")
    return plain if plain == policy else f"{plain}-{content_hash(policy)[:6]}".lstrip("-")


def _checked_models(policies: Sequence[Policy]) -> dict[str, RoleModel]:
    models: dict[str, RoleModel] = {}
    for each in policies:
        if each.role_model is None:
            raise UsageError(
                f"{each.source}: is a run or a file of responses, and a suite asks its own "
                "questions. Name a model."
            )
        if each.name in models:
            raise UsageError(f"Two policies are named {each.name!r}. Give each its own name.")
        models[each.name] = each.role_model
    return models


def _suite_of(suite: SuiteFile, shares: Mapping[str, PromptShares]) -> Suite:
    measures = CHOICE_MEASURES if suite.kind in CHOSEN else RESPONSE_MEASURES
    figures = {policy: each.estimates() for policy, each in shares.items()}
    names = dict.fromkeys(name for each in figures.values() for name in each)
    every = list(shares.values())
    return Suite(
        suite.name,
        suite.kind,
        # figures of a category or a principle have no words of their own
        measures={name: measures[name] for name in names if name in measures},
        n=max(each.n_prompts for each in every),
        found=figures,
        differences=every[-1].less(every[0]) if len(every) > 1 else {},
    )
