"""All figures and caveats of an evaluation of policies, stored as `evaluation.json`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cai.evaluation.judge.self_preference import model_relation
from cai.evaluation.policies.judging import Adherence, MatchupResults
from cai.evaluation.policies.matchups import READABLE
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import Policy
from cai.evaluation.policies.ratings import Rating, ratings
from cai.evaluation.policies.responses import PolicyResponses, Prompts
from cai.evaluation.policies.text_metrics import Conduct
from cai.evaluation.policies.win_rates import WinRate, points, readable
from cai.evaluation.spending import Spending
from cai.evaluation.stats.bootstrap import Estimate
from cai.evaluation.stats.sample_size import describe_sample_size, observed_variance

FILE = "evaluation.json"


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """One policy: the source of its responses, their text metrics, and how they fare in checks.

    `adherence` is the judge's mean probability in [0, 1] that a response meets a principle, by kind
    of prompts and by `constitution/principle`; under the constitution's name alone, the weighted
    mean over its principles. Empty without checks. `n_unscored` checks could not be read.
    """

    name: str
    source: str
    n_responses: int
    conduct: tuple[Conduct, ...]
    adherence: Mapping[str, Mapping[str, Estimate]]
    n_unscored: int


@dataclass(frozen=True, slots=True)
class Suite:
    """A standard suite: its metrics in words, and each policy's figures by metric.

    `differences` are those of the last policy less the first, over the prompts that both answered;
    empty for a single policy. `n` counts the prompts that have a figure.
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

    `judges` and `constitution` are empty without judging. `n_failed` examples, of any step, are in
    no figure. `caveats` are plain sentences, the most important first. `by_kind` has the win rates
    on the prompts of each kind, where kinds are given.
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


def evaluation_of(
    policies: Sequence[Policy],
    prompts: Sequence[Prompts],
    plan: EvaluationPlan,
    judging: EvaluationJudge | None,
    *,
    responses: PolicyResponses,
    matchups: MatchupResults | None,
    adherence: Adherence,
    spending: Spending,
) -> Evaluation:
    """All figures of the finished steps; `matchups` is None where no policies were compared."""
    described: list[PolicyFigures] = []
    for policy in policies:
        conduct = responses.conduct(policy.name, plan.seed)
        described.append(
            PolicyFigures(
                policy.name,
                policy.source,
                n_responses=conduct[0].n,
                conduct=conduct,
                adherence=adherence.of(policy.name, plan.seed),
                n_unscored=adherence.n_unscored[policy.name],
            )
        )
    return Evaluation(
        prompts=tuple(Path(file).name for each in prompts for file in each.source.files),
        n_prompts=len(responses.prompts),
        judges=tuple(each.model.name for each in judging.judges) if judging else (),
        constitution=judging.constitution.name if judging else "",
        policies=tuple(described),
        win_rates=matchups.win_rates if matchups else (),
        ratings=_ratings(policies, matchups, plan.seed) if matchups else (),
        n_calls=spending.n_calls,
        cost_usd=spending.cost_usd,
        caveats=tuple(_caveats(responses, judging, matchups, plan, spending)),
        n_failed=spending.n_failed,
        by_kind=matchups.by_kind if matchups else {},
    )


def _ratings(policies: Sequence[Policy], matchups: MatchupResults, seed: int) -> tuple[Rating, ...]:
    names = tuple(each.name for each in policies)
    rated = ratings(matchups.matches, names, names[0], seed)
    if not any(each.n for each in rated):
        return ()
    # Bootstrap intervals hold for a number of prompts fixed beforehand, and this one depends on
    # the verdicts: they would be too narrow.
    if matchups.undecided is not None:
        return tuple(replace(each, low=None, high=None) for each in rated)
    return rated


def _caveats(
    responses: PolicyResponses,
    judging: EvaluationJudge | None,
    matchups: MatchupResults | None,
    plan: EvaluationPlan,
    spending: Spending,
) -> Iterator[str]:
    """The most important first."""
    if judging is not None:
        yield from self_judging_caveats(responses, judging)
    for rate in matchups.win_rates if matchups else ():
        yield from _win_rate_caveats(rate)
    if matchups is not None and matchups.undecided is not None:
        yield from _stopping_caveats(matchups, len(responses.prompts), plan.error_rate or 0.0)
    if responses.n_left_out:
        n, n_all = responses.n_left_out, responses.n_left_out + len(responses.prompts)
        yield f"Prompts that not every policy answered are left out: {n} of {n_all}."
    if spending.n_failed:
        yield (
            f"Examples that failed and are in no figure: {spending.n_failed}. The same command "
            "with --retry-failed asks for them again."
        )
    if judging is None:
        yield "Nobody judged: these figures are of the texts, and say nothing of better or worse."
    elif matchups is not None and matchups.undecided is None:
        # One sentence about sample size, on the pair whose win rate is the least certain.
        variances: list[tuple[float, int]] = []
        for first, second in matchups.matches.pairs:
            table = readable(matchups.matches.of(second, first))
            variance = observed_variance(points(table), table.units) if len(table) else None
            if variance:
                variances.append((variance, len(np.unique(table.units))))
        if variances:
            variance, n_prompts = max(variances)
            yield describe_sample_size(n_prompts, variance, plan.half_width)


def self_judging_caveats(responses: PolicyResponses, judging: EvaluationJudge) -> Iterator[str]:
    """A sentence for each judge that is a policy itself, or of the same family as one."""
    for judge in judging.judges:
        name = judge.model.name
        for policy, models in responses.models.items():
            relations = {model_relation(name, model) for model in models}
            if "same" in relations:
                yield (
                    f"The judge {name} is the policy {policy}: it may prefer its own words, so do "
                    "not rest on these win rates alone. Name another judge, or see `cai audit`."
                )
            elif "family" in relations:
                yield f"The judge {name} is of the same family as the policy {policy}."


def _win_rate_caveats(rate: WinRate) -> Iterator[str]:
    who = f"{rate.policy} against {rate.opponent}"
    n_read = sum(rate.outcomes.get(each, 0) for each in READABLE)
    n_sided = rate.outcomes.get("a", 0) + rate.outcomes.get("b", 0)
    if not n_read:
        yield f"{who}: no verdict of {rate.n} could be read, so there is no win rate."
        return
    if not n_sided:
        yield f"{who}: all {n_read} readable matches are ties, so nobody is shown to be better."
    if n_read < rate.n:
        yield f"{who}: {rate.n - n_read} of {rate.n} matches could not be read and are left out."
    raw, level = rate.rate, rate.length_controlled
    # Smaller differences than five points are shown in the table, without a sentence.
    if raw and level and abs(raw.value - level.value) > 0.05:
        side = "for" if raw.value > level.value else "against"
        yield (
            f"{who}: the win rate is {raw.value:.1%}, and {level.value:.1%} at equal length: "
            f"length speaks {side} {rate.policy}, whose response is the longer one in "
            f"{rate.longer or 0:.0%} of matches."
        )


def _stopping_caveats(matchups: MatchupResults, n: int, error_rate: float) -> Iterator[str]:
    if matchups.undecided:
        pairs = ", ".join(f"{first} and {second}" for first, second in matchups.undecided)
        yield (
            f"After all {n} prompts it is not decided at an error rate of {error_rate:g} between "
            f"{pairs}: they may be equal, or more prompts are needed."
        )
    else:
        yield (
            f"Judging stopped after {matchups.n_prompts} of {n} prompts, when every pair was "
            f"decided at an error rate of {error_rate:g} for all together."
        )
    yield (
        "Since judging was to stop by itself, the intervals of win rates are wider ones that hold "
        "whenever it stops; other figures of matchups have none that would, so none is given."
    )
