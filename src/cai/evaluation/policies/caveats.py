"""What a reader of an evaluation must know beside its figures, in plain sentences."""

from collections.abc import Iterator

import numpy as np

from cai.evaluation.judge.self_preference import kinship
from cai.evaluation.policies.judging import MatchupResults
from cai.evaluation.policies.matchups import READABLE, Matches
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.responses import PolicyResponses
from cai.evaluation.policies.win_rates import WinRate, points, readable
from cai.evaluation.stats.sample_size import describe_sample_size, observed_variance
from cai.runs.shared_budget import Accounts


def caveats(
    answers: PolicyResponses,
    judging: EvaluationJudge | None,
    judged: MatchupResults | None,
    plan: EvaluationPlan,
    accounts: Accounts,
) -> Iterator[str]:
    """The most important first."""
    if judging is not None:
        yield from own_judges(answers, judging)
    for rate in judged.win_rates if judged else ():
        yield from _of_rate(rate)
    if judged is not None and judged.undecided is not None:
        yield from _of_stopping(judged, answers, plan)
    if answers.n_passed_over:
        n, n_all = answers.n_passed_over, answers.n_passed_over + len(answers.asked)
        yield f"Prompts that not every policy answered are left out: {n} of {n_all}."
    if accounts.n_failed:
        yield (
            f"Examples that failed and are in no figure: {accounts.n_failed}. The same command "
            "with --retry-failed asks for them again."
        )
    if judging is None:
        yield "Nobody judged: these figures are of the texts, and say nothing of better or worse."
    elif judged is not None and judged.undecided is None:
        yield from _of_size(judged.matches, plan.half_width)


def own_judges(answers: PolicyResponses, judging: EvaluationJudge) -> Iterator[str]:
    """A sentence for each judge that is one of the policies, or of the family of one."""
    for judge in judging.judges:
        name = judge.model.name
        for policy, models in answers.models.items():
            kin = {kinship(name, model) for model in models}
            if "same" in kin:
                yield (
                    f"The judge {name} is the policy {policy}: it may prefer its own words, so do "
                    "not rest on these win rates alone. Name another judge, or see `cai audit`."
                )
            elif "family" in kin:
                yield f"The judge {name} is of the same family as the policy {policy}."


def _of_size(matches: Matches, half_width: float) -> Iterator[str]:
    """About the pair whose rate is least sure."""
    variances: list[tuple[float, int]] = []
    for first, second in matches.pairs:
        table = readable(matches.of(second, first))
        variance = observed_variance(points(table), table.units) if len(table) else None
        if variance:
            variances.append((variance, len(np.unique(table.units))))
    if variances:
        variance, n_prompts = max(variances)
        yield describe_sample_size(n_prompts, variance, half_width)


def _of_rate(rate: WinRate) -> Iterator[str]:
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
    if raw and level and abs(raw.value - level.value) > 0.05:
        side = "for" if raw.value > level.value else "against"
        yield (
            f"{who}: the win rate is {raw.value:.1%}, and {level.value:.1%} at equal length: "
            f"length speaks {side} {rate.policy}, whose response is the longer one in "
            f"{rate.longer or 0:.0%} of matches."
        )


def _of_stopping(
    judged: MatchupResults, answers: PolicyResponses, plan: EvaluationPlan
) -> Iterator[str]:
    n = len(answers.asked)
    rate = f"{plan.error_rate:g}"
    if judged.undecided:
        pairs = ", ".join(f"{first} and {second}" for first, second in judged.undecided)
        yield (
            f"After all {n} prompts it is not decided at an error rate of {rate} between {pairs}: "
            "they may be equal, or more prompts are needed."
        )
    else:
        yield (
            f"Judging stopped after {judged.n_prompts} of {n} prompts, when every pair was decided "
            f"at an error rate of {rate} for all together."
        )
    yield (
        "Since judging was to stop by itself, the intervals of win rates are wider ones that hold "
        "whenever it stops; other figures of matchups have none that would, so none is given."
    )
