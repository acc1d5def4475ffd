"""What a judge is asked once the responses are there: contests, and checks by constitutions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from cai.arena.accounts import Accounts
from cai.arena.adherence import Checked
from cai.arena.answers import Answers
from cai.arena.contests import Contests, meetings
from cai.arena.entrants import Entrant
from cai.arena.plan import EvaluationPlan, Judging
from cai.errors import UsageError
from cai.jobs.judging import JudgeJob
from cai.jobs.pace import WHOLE, Pace
from cai.jobs.scoring import ScoreJob, run_scoring
from cai.judging.scoring import ScorePlan

CONTESTS = "contests"
ADHERENCE = "adherence"


@dataclass(frozen=True, slots=True)
class Steps:
    """The judge's work on the answers, into folders of `out`."""

    answers: Answers
    judging: Judging
    plan: EvaluationPlan
    out: Path
    console: Console

    @property
    def has_contests(self) -> bool:
        return len(self.answers.by_policy) > 1

    def contests(self) -> Contests:
        pairs = meetings(tuple(self.answers.by_policy), self.plan.meeting)
        return Contests(self.answers, pairs, self.plan.seed)

    def judge_job(self, contests: Contests) -> JudgeJob:
        judging = self.judging
        return JudgeJob(
            contests,
            judging.constitution,
            judging.judges,
            judging.plan,
            verdicts=judging.verdicts,
            seed=self.plan.seed,
        )

    def score_jobs(self) -> Iterator[tuple[str, ScoreJob]]:
        """By the name of the constitution that is checked by."""
        judging, seed = self.judging, self.plan.seed
        for constitution in self.plan.checks:
            yield (
                constitution.name,
                ScoreJob(
                    Checked(self.answers),
                    constitution,
                    judging.judges,
                    ScorePlan("check"),
                    judging.verdicts,
                    seed,
                ),
            )

    def folder(self, *names: str) -> Path:
        """A folder of the evaluation, told to whoever watches."""
        folder = self.out.joinpath(*names)
        line = f"[bold]{names[0]}[/bold] → {escape(str(folder))}"
        self.console.print(line, highlight=False, soft_wrap=True)
        return folder

    async def check(self, name: str, job: ScoreJob, accounts: Accounts, pace: Pace) -> Path:
        """The folder of the checks by that constitution, done."""
        folder = self.folder(ADHERENCE, name)
        outcome = (await run_scoring(folder, job, pace, console=self.console)).run
        accounts.add(outcome, f"adherence to {name}")
        return folder


def check_request(
    entrants: Sequence[Entrant], judging: Judging | None, plan: EvaluationPlan, pace: Pace
) -> None:
    """Finds out before a call whether an evaluation can be made.

    Raises:
        UsageError: It cannot; the message says why.
    """
    plan.check(judging)
    if not entrants:
        raise UsageError("There is no policy to evaluate. Name one or several.")
    if judging is not None and len(entrants) < 2 and not plan.checks:
        raise UsageError(
            f"There is one policy, {entrants[0].name}, and nothing to compare it with. Name "
            "another with -p, or constitutions to check its responses by with --check."
        )
    if pace.part != WHOLE:
        raise UsageError(
            "An evaluation compares all responses in one place and cannot be done in parts. Leave "
            "--part out; sample each part with `cai sample` where several machines are needed."
        )
