"""What an evaluation of policies finds: all its figures, as `evaluation.json` keeps them.

From answers, verdicts and checks to an evaluation's figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cai.evaluation.policies.caveats import caveats
from cai.evaluation.policies.judging import Adherence, MatchupResults
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.ratings import Rating, ratings
from cai.evaluation.policies.responses import PolicyResponses, Prompts
from cai.evaluation.policies.text_metrics import Conduct
from cai.evaluation.policies.win_rates import WinRate
from cai.evaluation.stats.bootstrap import Estimate
from cai.runs.shared_budget import Accounts

FILE = "evaluation.json"


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """One policy: where its responses came from, and what they are like.

    `adherence` is the judge's mean probability in [0, 1] that a response keeps a principle, by kind
    of prompts and by `constitution/principle`; under the constitution's name alone, the weighted
    mean over its principles. Empty where it was not asked for. `n_unscored` are checks that could
    not be read.
    """

    name: str
    source: str
    n_responses: int
    conduct: tuple[Conduct, ...]
    adherence: Mapping[str, Mapping[str, Estimate]]
    n_unscored: int


@dataclass(frozen=True, slots=True)
class Suite:
    """A standard suite: what is measured there, in words, and each policy's figures by name.

    `differences` are those of the last policy less the first, over the prompts that both answered;
    empty where there is one policy alone. `n` counts the prompts that have a figure.
    """

    name: str
    kind: str
    measures: Mapping[str, str]
    n: int
    found: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Estimate] = field(default_factory=dict[str, Estimate])


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Policies on the same prompts; the first of them is the anchor of the ratings.

    `judges` and `constitution` say who judged by what; empty where nobody did. `n_failed` examples,
    of any step, are in no figure. `caveats` are plain sentences that a reader must know, the most
    important first. `by_kind` has the win rates on the prompts of each kind, where they are given
    in kinds.
    """

    prompts: tuple[str, ...]
    n_prompts: int
    judges: tuple[str, ...]
    constitution: str
    policies: tuple[PolicyFigures, ...]
    win_rates: tuple[WinRate, ...]
    ratings: tuple[Rating, ...]
    n_calls: int
    cost_usd: float | None
    caveats: tuple[str, ...]
    n_failed: int = 0
    by_kind: Mapping[str, tuple[WinRate, ...]] = field(
        default_factory=dict[str, tuple[WinRate, ...]]
    )


@dataclass(frozen=True, slots=True)
class EvaluationFindings:
    """What was asked of an evaluation, and what came back; `judged` is None without matchups."""

    policies: tuple[Policy, ...]
    prompts: tuple[Prompts, ...]
    plan: EvaluationPlan
    judging: EvaluationJudge | None
    answers: PolicyResponses
    judged: MatchupResults | None
    checked: Adherence

    def evaluation(self, accounts: Accounts) -> Evaluation:
        judging, judged = self.judging, self.judged
        return Evaluation(
            prompts=tuple(Path(file).name for each in self.prompts for file in each.source.files),
            n_prompts=len(self.answers.asked),
            judges=tuple(each.model.name for each in judging.judges) if judging else (),
            constitution=judging.constitution.name if judging else "",
            policies=tuple(map(self._policy, self.policies)),
            win_rates=judged.win_rates if judged else (),
            ratings=self._ratings(),
            n_calls=accounts.n_calls,
            cost_usd=accounts.cost_usd,
            caveats=tuple(caveats(self.answers, judging, judged, self.plan, accounts)),
            n_failed=accounts.n_failed,
            by_kind=judged.by_kind if judged else {},
        )

    def _ratings(self) -> tuple[Rating, ...]:
        """None where no match could be read; without intervals where judging stopped by itself."""
        if self.judged is None:
            return ()
        names = tuple(each.name for each in self.policies)
        found = ratings(self.judged.matches, names, names[0], self.plan.seed)
        if not any(each.n for each in found):
            return ()
        if self.judged.undecided is not None:
            return tuple(replace(each, low=None, high=None) for each in found)
        return found

    def _policy(self, policy: Policy) -> PolicyFigures:
        found = self.answers.conduct(policy.name, self.plan.seed)
        return PolicyFigures(
            policy.name,
            policy.source,
            n_responses=found[0].n,
            conduct=found,
            adherence=self.checked.of(policy.name, self.plan.seed),
            n_unscored=self.checked.n_unscored[policy.name],
        )
