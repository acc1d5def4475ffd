"""The settings of an evaluation: who judges, and how policies are compared."""

from dataclasses import dataclass

from cai.constitution.schema import Constitution
from cai.errors import UsageError
from cai.evaluation.policies.matchups import Meeting
from cai.methods.roles import RoleModel
from cai.methods.settings import JudgeSettings


@dataclass(frozen=True, slots=True)
class EvaluationJudge:
    """The judges, their constitution and settings; several judges are an ensemble."""

    judges: tuple[RoleModel, ...]
    constitution: Constitution
    settings: JudgeSettings = JudgeSettings()


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """How policies are compared.

    `k` responses of each model to every prompt, the first compared with the other's first and so
    on. `checks` are constitutions whose principles each response is checked against. With an
    `error_rate` in (0, 0.5] prompts are judged until every pair is decided, and at most that share
    of decisions is wrong. `half_width` is the interval that the advice on sample size aims at.
    """

    k: int = 1
    meeting: Meeting = "all"
    checks: tuple[Constitution, ...] = ()
    error_rate: float | None = None
    half_width: float = 0.05
    seed: int = 0

    def check(self, judging: EvaluationJudge | None) -> None:
        """Checks the plan before any call.

        Raises:
            UsageError: Checks or an error rate without a judge, an error rate outside (0, 0.5], or
                a constitution that is checked twice.
        """
        names = [each.name for each in self.checks]
        if names and judging is None:
            raise UsageError(
                f"Responses are to be checked by {', '.join(names)} without a judge: name one."
            )
        if self.error_rate is not None and judging is None:
            raise UsageError("Stopping when every pair is decided needs a judge: name one.")
        if self.error_rate is not None and not 0 < self.error_rate <= 0.5:
            raise UsageError(
                f"An error rate of {self.error_rate:g} is not possible. Give one above 0 and at "
                "most 0.5, such as 0.05."
            )
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"The constitution {name!r} is to be checked twice. Name it once.")
