"""How the verdicts under several principles become one probability that response A is better.

A plain mean over principles is too modest: most principles are silent on most pairs, and each of
these pulls the mean towards one half. By `vote` each principle speaks for A, for B or not at all,
with probabilities from the mixture of its log-odds (`cai.methods.judging.mixture`), and

    p = P(Σ w·z > 0) + ½·P(Σ w·z = 0),  z = 1 for A, −1 for B, 0 silent,

over the principles of the highest tier that do not cancel out. By `product` the log-odds of the
same principles are added, by `mean` their probabilities are averaged, as in Bai et al. 2022,
arXiv:2212.08073, §4.1. Composing reads verdicts that are there and asks nothing.

Example:
    composer = Composer.fitted(all_principle_verdicts)  # of a whole run, without any label
    verdict = composer.verdict(principle_verdicts)  # of one pair
    print(verdict.p_a, verdict.p_tie, [(each.principle_id, each.for_a) for each in verdict.votes])
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import groupby
from typing import NamedTuple

from cai.constitution.schema import Compose
from cai.methods.judging.mixture import Mixture, fit_mixture
from cai.methods.judging.verdict import Outcome, PrincipleVerdict, Verdict, Vote, side

ASSUMED_ACCURACY = 0.8
"""How often a written verdict on which both orders agree is taken to be right, without any test.

About that of the judges in Lee et al. 2023, arXiv:2309.00267, table 1."""

# How near to 0 and 1 a probability may be: the log-odds of the one are 13.8, and those of a silent
# principle in a product at most 3.9.
_CERTAINTY, _SPEAKING = 1e-6, 0.02
# What the accuracy of all tests together counts for beside the tests of a principle.
_PRIOR_TESTS = 4


class Question(NamedTuple):
    """Whom a mixture is about: one question of one principle to one judge."""

    judge: str
    principle_id: str
    criterion_id: str = ""


class PassCount(NamedTuple):
    """How many of a principle's own tests a judge passed."""

    n_passed: int
    n: int


@dataclass(frozen=True, slots=True)
class Composer:
    """A rule with what it knows of the judges: all that decides how verdicts are composed.

    `mixtures` are those of the questions that enough pairs were asked under; of others, the weaker
    of the two orders counts. `tests` are the results of the constitution's own tests by judge and
    principle. `tie_margin` is that of the settings.
    """

    rule: Compose = "vote"
    mixtures: Mapping[Question, Mixture] = field(default_factory=dict[Question, Mixture])
    tests: Mapping[tuple[str, str], PassCount] = field(
        default_factory=dict[tuple[str, str], PassCount]
    )
    tie_margin: float = 0.0

    @classmethod
    def fitted(
        cls,
        pairs: Iterable[Sequence[PrincipleVerdict]],
        rule: Compose = "vote",
        *,
        tests: Mapping[tuple[str, str], PassCount] | None = None,
        tie_margin: float = 0.0,
    ) -> "Composer":
        """With the mixtures of all questions that these pairs are many enough for."""
        log_odds: dict[Question, list[float]] = defaultdict(list)
        half_differences: dict[Question, list[float]] = defaultdict(list)
        for verdicts in pairs:
            for each in verdicts:
                both = _both_log_odds(each)
                if both is not None and not each.is_negated and not _is_written(each):
                    log_odds[question_of(each)].append(sum(both) / 2)
                    half_differences[question_of(each)].append((both[0] - both[1]) / 2)
        found = {
            each: fit_mixture(values, half_differences[each]) for each, values in log_odds.items()
        }
        mixtures = {question: mixture for question, mixture in found.items() if mixture}
        return cls(rule, mixtures, tests or {}, tie_margin)

    @property
    def calibration(self) -> str:
        """What the probabilities rest on, in words."""
        if self.rule == "mean" or not self.mixtures:
            return "none"
        return "mixtures and tests" if self.tests else "mixtures"

    def verdict(self, principle_verdicts: Sequence[PrincipleVerdict]) -> Verdict:
        """All principle verdicts of one comparison as one verdict.

        It rests on the readable ones, which must carry at least half of the weight; else its
        outcome is the unreadable one that weighs most. It is inconsistent where every readable one
        is. Reversed questions check a judge and have no vote, but in a mean.
        """
        every = tuple(principle_verdicts)
        plain = [each for each in every if not each.is_negated]
        asked = every if self.rule == "mean" else plain or every
        readable = [each for each in asked if each.p_a is not None]
        total = sum(each.weight for each in asked)
        votes = tuple(self._vote(each) for each in readable)
        if not readable or sum(each.weight for each in readable) < total / 2:
            return Verdict(_main_cause(asked), None, every, votes)
        p_tie = None
        if self.rule == "vote":
            p_a, p_tie = vote(votes)
        elif self.rule == "product":
            p_a = _expit(sum(each.weight * _log_odds(each.p_a, _SPEAKING) for each in votes))
        else:
            p_a = _mean(readable)
        if all(each.outcome == "inconsistent" for each in readable):
            return Verdict("inconsistent", p_a, every, votes, p_tie)
        return Verdict(side(p_a, self.tie_margin), p_a, every, votes, p_tie)

    def _vote(self, verdict: PrincipleVerdict) -> Vote:
        """How likely a readable verdict speaks for either response."""
        if self.rule == "mean":
            assert verdict.p_a is not None
            for_a, for_b = _sides(verdict.p_a)
        else:
            for_a, for_b = self._accurate(verdict, *self._read(verdict))
        return Vote(verdict.judge, verdict.principle_id, verdict.weight, verdict.tier, for_a, for_b)

    def _read(self, verdict: PrincipleVerdict) -> tuple[float, float]:
        both = _both_log_odds(verdict)
        assert both is not None
        # Orders that favour different responses cancel out; else the weaker one counts.
        weaker = min(both, key=abs) if both[0] * both[1] > 0 else 0.0
        if _is_written(verdict):
            return float(weaker > 0), float(weaker < 0)
        mixture = self.mixtures.get(question_of(verdict))
        if mixture is not None:
            return mixture.posterior(sum(both) / 2)
        return _sides(_expit(weaker))

    def _accurate(
        self, verdict: PrincipleVerdict, for_a: float, for_b: float
    ) -> tuple[float, float]:
        """The same, as far as the judge was right in the tests of the principle.

        A judge that is wrong more often than right is turned around.
        """
        accuracy = self._accuracy(verdict)
        return (
            accuracy * for_a + (1 - accuracy) * for_b,
            accuracy * for_b + (1 - accuracy) * for_a,
        )

    def _accuracy(self, verdict: PrincipleVerdict) -> float:
        of_judge = [each for (judge, _), each in self.tests.items() if judge == verdict.judge]
        if not of_judge:
            return ASSUMED_ACCURACY if _is_written(verdict) else 1.0
        overall = (sum(each.n_passed for each in of_judge) + 1) / (
            sum(each.n for each in of_judge) + 2
        )
        own = self.tests.get((verdict.judge, verdict.principle_id), PassCount(0, 0))
        return (own.n_passed + _PRIOR_TESTS * overall) / (own.n + _PRIOR_TESTS)


def question_of(verdict: PrincipleVerdict) -> Question:
    return Question(verdict.judge, verdict.principle_id, verdict.criterion_id)


def vote(votes: Sequence[Vote]) -> tuple[float, float]:
    """The probability that A is better, and how likely nothing decides: silence, or a draw.

    A tier decides unless its votes cancel out; then the next lower one does.
    """
    ahead, open_so_far = 0.0, 1.0
    by_tier = sorted((each for each in votes if each.weight > 0), key=lambda each: -each.tier)
    for _, tier in groupby(by_tier, key=lambda each: each.tier):
        for_a, tied = _of_tier(list(tier))
        ahead += open_so_far * for_a
        open_so_far *= tied
    return min(ahead + open_so_far / 2, 1.0), min(open_so_far, 1.0)


def _of_tier(votes: Sequence[Vote]) -> tuple[float, float]:
    """P(Σ w·z > 0) and P(Σ w·z = 0) over the votes, by convolution."""
    sums = [1.0]  # the probability of each sum, from −total to total so far
    for each, unit in zip(votes, _units(tuple(each.weight for each in votes)), strict=True):
        added = [0.0] * (len(sums) + 2 * unit)
        for place, probability in enumerate(sums):
            added[place] += each.for_b * probability
            added[place + unit] += each.silent * probability
            added[place + 2 * unit] += each.for_a * probability
        sums = added
    middle = len(sums) // 2
    return sum(sums[middle + 1 :]), sums[middle]


_GRID = 200  # the most that weights without a small common measure add up to, in whole units


@cache
def _units(weights: tuple[float, ...]) -> tuple[int, ...]:
    """The weights as whole numbers: exact where they have a common measure, else on a grid."""
    exact = [Fraction(each).limit_denominator(60) for each in weights]
    least = math.lcm(*(each.denominator for each in exact))
    units = [int(each * least) for each in exact]
    shared = math.gcd(*units) or 1
    is_exact = all(
        math.isclose(each, weight, rel_tol=1e-9)
        for each, weight in zip(exact, weights, strict=True)
    )
    if is_exact and sum(units) // shared <= _GRID:
        return tuple(unit // shared for unit in units)
    total = sum(weights)
    return tuple(max(1, round(weight / total * _GRID)) for weight in weights)


def _both_log_odds(verdict: PrincipleVerdict) -> tuple[float, float] | None:
    """Of both orders, as asked and unclamped, that A is better; None where one is unreadable."""
    first, second = verdict.order_ab.p_a, verdict.order_ba.p_a
    if first is None or second is None:
        return None
    return _log_odds(first, _CERTAINTY), _log_odds(second, _CERTAINTY)


def _is_written(verdict: PrincipleVerdict) -> bool:
    """Whether an order was read from words."""
    return any(call.answers for call in verdict.calls)


def _sides(p_a: float) -> tuple[float, float]:
    """For A and for B, silent as far as the probability is near one half."""
    return max(2 * p_a - 1, 0.0), max(1 - 2 * p_a, 0.0)


def _mean(verdicts: Sequence[PrincipleVerdict]) -> float:
    total = sum(each.weight for each in verdicts)
    return sum(each.p_a * each.weight for each in verdicts if each.p_a is not None) / total


def _main_cause(verdicts: Sequence[PrincipleVerdict]) -> Outcome:
    """The unreadable outcome that weighs most; nothing was asked where there is none."""
    lost: dict[Outcome, float] = {"failed": 0.0}
    for each in verdicts:
        if each.p_a is None:
            lost[each.outcome] = lost.get(each.outcome, 0.0) + each.weight
    return max(lost, key=lambda outcome: lost[outcome])


def _log_odds(p: float, least: float) -> float:
    p = min(max(p, least), 1 - least)
    return math.log(p / (1 - p))


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else 1 - 1 / (1 + math.exp(value))
