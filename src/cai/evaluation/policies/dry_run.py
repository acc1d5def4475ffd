"""What an evaluation will take: every step asked about a few prompts, and foretold for all.

Nothing that is asked here is asked again: the evaluation finds the answers in the same folders.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cai.errors import UsageError
from cai.evaluation.policies.judging import ADHERENCE, CONTESTS, Steps, check_request
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.responses import Gathering, PolicyResponses, Prompts
from cai.evaluation.results_file import save_results
from cai.runs.judge import run_judging
from cai.runs.options import RunOptions
from cai.runs.shared_budget import Accounts, Foretold

SAMPLE = 16
FILE = "estimate.json"


@dataclass(frozen=True, slots=True)
class Estimates:
    """What each step will take; without steps where nothing has to be asked."""

    steps: tuple[Foretold, ...] = ()


async def estimate(
    policies: Sequence[Policy],
    prompts: Sequence[Prompts],
    judging: EvaluationJudge | None,
    plan: EvaluationPlan,
    out: Path,
    run_options: RunOptions = RunOptions(),
    *,
    console: Console,
) -> Estimates:
    """What the evaluation will take, from `pace.sample` of its prompts, 16 where nothing is said.

    Where judging stops early it takes less.

    Raises:
        UsageError: As `evaluate_policies`; or the evaluation has begun.
        CaiError: As the jobs.
    """
    check_request(policies, judging, plan, run_options)
    _check_new(out)
    run_options = replace(run_options, sample=run_options.sample or SAMPLE)
    accounts = Accounts(run_options)
    answers = await Gathering(tuple(prompts), plan.k, plan.seed, out, console).gather(
        policies, accounts
    )
    if judging is not None:
        part, times = _part(policies, answers, run_options.sample or SAMPLE)
        save_results(
            out / FILE, Estimates()
        )  # before what it stands for, so that a kill leaves no doubt
        await _judge(Steps(part, judging, plan, out, console), times, accounts)
    found = Estimates(tuple(accounts.foretold))
    save_results(out / FILE, found)
    return found


def is_estimate(out: Path) -> bool:
    """Whether what the judge said in that folder is about a sample alone, or may be."""
    return (out / FILE).is_file()


def _check_new(out: Path) -> None:
    begun = [name for name in (CONTESTS, ADHERENCE) if (out / name).exists()]
    if begun and not is_estimate(out):
        raise UsageError(
            f"{out}: holds an evaluation that has begun, so there is nothing to foretell. The "
            "same command without --dry-run goes on; to estimate another, name another folder."
        )


def _part(
    policies: Sequence[Policy], answers: PolicyResponses, n: int
) -> tuple[PolicyResponses, float]:
    """The answers to at most `n` prompts spread over all, and how many times that all are.

    Models were asked only some of the prompts, which stand for those that they were not.
    """
    sampled = [len(answers.by_policy[each.name]) for each in policies if each.role_model]
    times = (len(answers.asked) + answers.n_passed_over) / max(sampled) if sampled else 1.0
    run_options, n_asked = RunOptions(sample=n), len(answers.asked)
    kept = {
        unit: asked
        for index, (unit, asked) in enumerate(answers.asked.items())
        if run_options.is_sampled(index, n_asked)
    }
    return replace(answers, asked=kept), times * n_asked / len(kept)


async def _judge(steps: Steps, times: float, accounts: Accounts) -> None:
    if steps.has_contests:
        matchups = steps.matchups()
        run_options = _pace(accounts, matchups.check().summary.n_items, times)
        job, folder = steps.judge_job(matchups), steps.folder(CONTESTS)
        outcome = (await run_judging(folder, job, run_options, console=steps.console)).run
        accounts.add(outcome, CONTESTS)
    for name, job in steps.score_jobs():
        run_options = _pace(accounts, job.source.check().summary.n_items, times)
        await steps.check(name, job, accounts, run_options)


def _pace(accounts: Accounts, n: int, times: float) -> RunOptions:
    """All of these, foretold for so many times more; an earlier sample may have been another."""
    return replace(accounts.run_options, sample=n, whole=round(n * times), update=True, limit=None)
