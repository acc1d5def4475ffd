"""From answers, verdicts and checks to an evaluation's figures."""

from dataclasses import dataclass, replace
from pathlib import Path

from cai.arena.accounts import Accounts
from cai.arena.adherence import Adherence
from cai.arena.answers import Answers, Prompts
from cai.arena.entrants import Entrant
from cai.arena.plan import EvaluationPlan, Judging
from cai.arena.remarks import remarks
from cai.arena.stopping import Judged
from cai.evaluation.policy_report import Evaluation, PolicyFigures
from cai.evaluation.ratings import Rating, ratings


@dataclass(frozen=True, slots=True)
class Findings:
    """What was asked of an evaluation, and what came back; `judged` is None without contests."""

    entrants: tuple[Entrant, ...]
    prompts: tuple[Prompts, ...]
    plan: EvaluationPlan
    judging: Judging | None
    answers: Answers
    judged: Judged | None
    checked: Adherence

    def evaluation(self, accounts: Accounts) -> Evaluation:
        judging, judged = self.judging, self.judged
        return Evaluation(
            prompts=tuple(Path(file).name for each in self.prompts for file in each.source.files),
            n_prompts=len(self.answers.asked),
            judges=tuple(each.model.name for each in judging.judges) if judging else (),
            constitution=judging.constitution.name if judging else "",
            policies=tuple(map(self._policy, self.entrants)),
            win_rates=judged.win_rates if judged else (),
            ratings=self._ratings(),
            n_calls=accounts.n_calls,
            cost_usd=accounts.cost_usd,
            remarks=tuple(remarks(self.answers, judging, judged, self.plan, accounts)),
            n_failed=accounts.n_failed,
            by_kind=judged.by_kind if judged else {},
        )

    def _ratings(self) -> tuple[Rating, ...]:
        """None where no match could be read; without intervals where judging stopped by itself."""
        if self.judged is None:
            return ()
        names = tuple(each.name for each in self.entrants)
        found = ratings(self.judged.matches, names, names[0], self.plan.seed)
        if not any(each.n for each in found):
            return ()
        if self.judged.undecided is not None:
            return tuple(replace(each, low=None, high=None) for each in found)
        return found

    def _policy(self, entrant: Entrant) -> PolicyFigures:
        found = self.answers.conduct(entrant.name, self.plan.seed)
        return PolicyFigures(
            entrant.name,
            entrant.source,
            found[0].n,
            found,
            self.checked.of(entrant.name, self.plan.seed),
            self.checked.n_unscored[entrant.name],
        )
