"""An evaluation from its policies to its figures, in a folder that goes on where it stopped.

responses/NAME/        what each model answered
contests/              the judge's verdicts on every two responses
adherence/NAME/        the judge's checks by each constitution
evaluation.json        all figures
"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cai.arena.accounts import Accounts
from cai.arena.adherence import Adherence, Checked, adherence_of
from cai.arena.answers import Answers, Gathering, Prompts
from cai.arena.contests import Contests, meetings
from cai.arena.entrants import Entrant
from cai.arena.findings import Findings
from cai.arena.plan import EvaluationPlan, Judging
from cai.arena.stopping import Judged, judge_all, judge_until_decided
from cai.errors import UsageError
from cai.evaluation.kept import keep
from cai.evaluation.policy_report import FILE, Evaluation
from cai.jobs.judging import JudgeJob
from cai.jobs.pace import Pace
from cai.jobs.scoring import ScoreJob, run_scoring
from cai.judging.scoring import ScorePlan


async def evaluate(
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
    looked at. The first policy is the anchor of the ratings.

    Raises:
        UsageError: The plan cannot be followed, or there are too few policies to compare.
        EvaluationError: The policies have no prompt in common, or there is nothing to judge.
        CaiError: As the jobs.
    """
    plan.check(judging)
    if judging is not None and len(entrants) < 2 and not plan.checks:
        raise UsageError(
            f"There is one policy, {entrants[0].name}, and nothing to compare it with. Name "
            "another with -p, or constitutions to check its responses by with --check."
        )
    accounts = Accounts(pace)
    gathering = Gathering(tuple(prompts), plan.k, plan.seed, out, console)
    answers = await gathering.gather(entrants, accounts)
    judged: Judged | None = None
    if judging is not None and len(entrants) > 1:
        judged = await _contests(answers, judging, plan, out / "contests", accounts, console)
    checked = await _checks(answers, judging, plan, out / "adherence", accounts, console)
    findings = Findings(tuple(entrants), tuple(prompts), plan, judging, answers, judged, checked)
    found = findings.evaluation(accounts)
    keep(out / FILE, found)
    return found


async def _contests(
    answers: Answers,
    judging: Judging,
    plan: EvaluationPlan,
    folder: Path,
    accounts: Accounts,
    console: Console,
) -> Judged:
    contests = Contests(answers, meetings(tuple(answers.by_policy), plan.meeting), plan.seed)
    job = JudgeJob(
        contests,
        judging.constitution,
        judging.judges,
        judging.plan,
        verdicts=judging.verdicts,
        seed=plan.seed,
    )
    console.print(f"[bold]contests[/bold] → {folder}", highlight=False)
    if plan.error_rate is None:
        return await judge_all(contests, job, folder, accounts, console)
    return await judge_until_decided(contests, job, plan.error_rate, folder, accounts, console)


async def _checks(
    answers: Answers,
    judging: Judging | None,
    plan: EvaluationPlan,
    folder: Path,
    accounts: Accounts,
    console: Console,
) -> Adherence:
    folders: dict[str, Path] = {}
    for constitution in plan.checks:
        assert judging is not None, "a plan with checks has a judge"
        place = folder / constitution.name
        console.print(f"[bold]adherence[/bold] to {constitution.name} → {place}", highlight=False)
        job = ScoreJob(
            Checked(answers),
            constitution,
            judging.judges,
            ScorePlan("check"),
            judging.verdicts,
            plan.seed,
        )
        accounts.add((await run_scoring(place, job, accounts.pace, console=console)).run)
        folders[constitution.name] = place
    return adherence_of(answers, folders)
