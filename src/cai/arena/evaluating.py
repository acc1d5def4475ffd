"""An evaluation from its policies to its figures, in a folder that goes on where it stopped.

responses/NAME/        what each model answered
contests/              the judge's verdicts on every two responses
adherence/NAME/        the judge's checks by each constitution
evaluation.json        all figures
estimate.json          what it will take, from an estimate until the evaluation is done
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from cai.arena.accounts import Accounts
from cai.arena.adherence import Adherence, adherence_of
from cai.arena.answers import Prompts
from cai.arena.entrants import Entrant
from cai.arena.estimating import FILE as ESTIMATE_FILE
from cai.arena.findings import Findings
from cai.arena.gathering import Gathering
from cai.arena.growth import is_same_request
from cai.arena.plan import EvaluationPlan, Judging
from cai.arena.steps import ADHERENCE, CONTESTS, Steps, check_request
from cai.arena.stopping import Judged, judge_all, judge_until_decided
from cai.evaluation.kept import keep
from cai.evaluation.policy_report import FILE, Evaluation
from cai.jobs.pace import Pace


async def evaluate_policies(
    entrants: Sequence[Entrant],
    prompts: Sequence[Prompts],
    judging: Judging | None,
    plan: EvaluationPlan,
    out: Path,
    pace: Pace = Pace(),
    *,
    console: Console,
) -> Evaluation:
    """The policies' figures, also written to `evaluation.json` in the folder.

    Models are sampled on the prompts; runs and files are read. Where there is a judge, every two
    policies that meet are compared prompt by prompt, in both orders; without one only the texts are
    looked at. The first policy is the anchor of the ratings. A limit is one on the prompts.

    Raises:
        UsageError: The plan cannot be followed, or there are too few policies to compare.
        EvaluationError: The policies have no prompt in common, or there is nothing to judge.
        CaiError: As the jobs.
    """
    check_request(entrants, judging, plan, pace)
    if pace.update and out.is_dir():  # figures of the request before would outlive what they are of
        (out / FILE).unlink(missing_ok=True)
    accounts = Accounts(pace)
    gathering = Gathering(tuple(prompts), plan.k, plan.seed, out, console)
    answers = await gathering.gather(entrants, accounts)
    judged: Judged | None = None
    checked = Adherence(answers)
    if judging is not None:
        accounts.pace = replace(accounts.pace, limit=None)  # it was one of prompts
        steps = Steps(answers, judging, plan, out, console)
        judged = await _contests(steps, accounts) if steps.has_contests else None
        checked = await _checks(steps, accounts)
    findings = Findings(tuple(entrants), tuple(prompts), plan, judging, answers, judged, checked)
    found = findings.evaluation(accounts)
    keep(out / FILE, found)
    (out / ESTIMATE_FILE).unlink(missing_ok=True)
    return found


async def _contests(steps: Steps, accounts: Accounts) -> Judged:
    contests = steps.contests()
    job, folder = steps.judge_job(contests), steps.folder(CONTESTS)
    is_update = accounts.pace.update
    accounts.pace = replace(accounts.pace, update=is_update or is_same_request(folder, job))
    rate = steps.plan.error_rate
    if rate is None:
        judged = await judge_all(contests, job, folder, accounts, steps.console)
    else:
        judged = await judge_until_decided(contests, job, rate, folder, accounts, steps.console)
    accounts.pace = replace(accounts.pace, update=is_update)
    return judged


async def _checks(steps: Steps, accounts: Accounts) -> Adherence:
    folders: dict[str, Path] = {}
    for name, job in steps.score_jobs():
        folder = steps.out / ADHERENCE / name
        is_update = accounts.pace.update or is_same_request(folder, job)
        pace = replace(accounts.pace, update=is_update)
        folders[name] = await steps.check(name, job, accounts, pace)
    return adherence_of(steps.answers, folders)
