"""What is asked of an evaluation."""

from dataclasses import dataclass

from cai.constitution.schema import Constitution
from cai.errors import UsageError
from cai.evaluation.policies.matchups import Meeting
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings


@dataclass(frozen=True, slots=True)
class EvaluationJudge:
    """Who judges by what, and how; several judges are a jury."""

    judges: tuple[RoleModel, ...]
    constitution: Constitution
    settings: JudgeSettings = JudgeSettings()


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """How policies are compared.

    `k` responses of each model to every prompt, the first meeting the other's first and so on.
    `checks` are constitutions whose principles the judges check each response by. With an
    `error_rate` prompts are judged until every pair is decided, and the share of decisions that are
    wrong stays under it whenever that is. `half_width` is that of the interval of a win rate that
    the advice on sample size is for.
    """

    k: int = 1
    meeting: Meeting = "all"
    checks: tuple[Constitution, ...] = ()
    error_rate: float | None = None
    half_width: float = 0.05
    seed: int = 0

    def check(self, judging: EvaluationJudge | None) -> None:
        """Finds out before a call whether the plan can be followed.

        Raises:
            UsageError: It cannot; the message says why.
        """
        if self.checks and judging is None:
            names = ", ".join(each.name for each in self.checks)
            raise UsageError(
                f"Responses are to be checked by {names}, and there is no judge: name one."
            )
        if self.error_rate is not None and judging is None:
            raise UsageError("To stop when every pair is decided, there must be a judge: name one.")
        if self.error_rate is not None and not 0 < self.error_rate <= 0.5:
            raise UsageError(
                f"An error rate of {self.error_rate:g} cannot be kept. Give one above 0 and at "
                "most 0.5, such as 0.05."
            )
        names = [each.name for each in self.checks]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"The constitution {name!r} is to be checked twice. Name it once.")
