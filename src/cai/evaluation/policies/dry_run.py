"""An estimate of an evaluation: every step runs on a few prompts and is extrapolated to all.

The runs are those of the evaluation itself, in the same folders, so it reuses all their responses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cai.errors import UsageError
from cai.evaluation.policies.judging import ADHERENCE, MATCHUPS, JudgingSteps, check_request
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.responses import PolicyResponses, Prompts, ResponseCollector
from cai.evaluation.results_file import save_results
from cai.evaluation.spending import Spending, StepEstimate
from cai.runs.judge import run_judging
from cai.runs.options import RunOptions

SAMPLE = 16
FILE = "estimate.json"


@dataclass(frozen=True, slots=True)
class Estimates:
    """The estimate of each step; no steps where no model has to be called."""

    steps: tuple[StepEstimate, ...] = ()


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
    """The calls, tokens and cost of the evaluation, from `run_options.sample` prompts (default 16).

    An upper limit where judging may stop early.

    Raises:
        UsageError: As `evaluate_policies`; or the folder has an evaluation with verdicts.
        CaiError: As the jobs.
    """
    check_request(policies, judging, plan, run_options)
    is_started = any((out / name).exists() for name in (MATCHUPS, ADHERENCE))
    if is_started and not (out / FILE).is_file():
        raise UsageError(
            f"{out}: holds an evaluation that has started, so there is nothing to estimate. The "
            "same command without --dry-run goes on; to estimate another, name another folder."
        )
    n = run_options.sample or SAMPLE
    spending = Spending(replace(run_options, sample=n))
    collector = ResponseCollector(tuple(prompts), plan.k, plan.seed, out, console)
    responses = await collector.collect(policies, spending)
    if judging is not None:
        sample, factor = _sampled(policies, responses, n)
        # The file marks the verdicts in this folder as those of a sample. It is written before
        # the first of them, so that a run killed in between is not taken for an evaluation.
        save_results(out / FILE, Estimates())
        await _estimate_judging(JudgingSteps(sample, judging, plan, out, console), factor, spending)
    estimates = Estimates(tuple(spending.step_estimates))
    save_results(out / FILE, estimates)
    return estimates


def _sampled(
    policies: Sequence[Policy], responses: PolicyResponses, n: int
) -> tuple[PolicyResponses, float]:
    """The responses to at most `n` prompts spread over all, and how many times more there are."""
    # Models answered only a sample, so the common prompts are themselves only a share of all.
    sampled = [len(responses.by_policy[each.name]) for each in policies if each.role_model]
    n_prompts = len(responses.prompts)
    factor = (n_prompts + responses.n_left_out) / max(sampled) if sampled else 1.0
    run_options = RunOptions(sample=n)
    prompts = {
        unit: prompt
        for index, (unit, prompt) in enumerate(responses.prompts.items())
        if run_options.is_sampled(index, n_prompts)
    }
    return replace(responses, prompts=prompts), factor * n_prompts / len(prompts)


async def _estimate_judging(steps: JudgingSteps, factor: float, spending: Spending) -> None:
    def options_for(n: int) -> RunOptions:
        # All of this sample, extrapolated by the factor. An update, since the sample of an earlier
        # estimate in this folder may have been of other prompts.
        options = spending.run_options
        return replace(options, sample=n, whole=round(n * factor), update=True, limit=None)

    if steps.has_matchups:
        matchups = steps.matchups()
        options = options_for(matchups.check().summary.n_items)
        job, folder = steps.judge_job(matchups), steps.announce(MATCHUPS)
        result = (await run_judging(folder, job, options, console=steps.console)).run_result
        spending.add(result, MATCHUPS)
    for name, job in steps.score_jobs():
        await steps.check(name, job, spending, options_for(job.source.check().summary.n_items))
