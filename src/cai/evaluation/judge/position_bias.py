"""Position bias: what changes when the two responses swap places (Zheng et al. 2023, §3.3).

Also the consistency of negated questions: of "which response follows the principle better" and
"which violates it more". The probability of a negated question is inverted when it is read, so
both should favour the same response.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cai.evaluation.stats.bootstrap import Estimate, GrowingColumns, share_estimate
from cai.methods.judging.verdict import PrincipleVerdict, side


@dataclass(frozen=True, slots=True)
class Positions:
    """The effect of the order, where both orders could be read.

    `flips` is the share of questions whose orders favour different responses; of those `n_flips`,
    `n_to_first` named the first place both times and the others the second. `verdict_flips` is the
    share of whole verdicts that would differ by the order alone. `first_share` is the mean
    probability of the first place's letter, 1/2 without a bias. None where no question was read in
    both orders.
    """

    flips: Estimate | None
    n_flips: int
    n_to_first: int
    verdict_flips: Estimate | None
    first_share: float | None

    @property
    def to_first_share(self) -> float | None:
        """Of the flips, the share that favours the first place, in [0, 1]."""
        return self.n_to_first / self.n_flips if self.n_flips else None


@dataclass(slots=True)
class PositionTally:
    """Counts verdict by verdict, each with its questions."""

    columns: GrowingColumns = field(
        default_factory=lambda: GrowingColumns(units="q", flips="l", read="l", verdict_flips="b")
    )
    n_to_first: int = 0
    first_sum: float = 0.0

    def add(self, unit: int, principle_verdicts: Sequence[PrincipleVerdict]) -> None:
        n_flips = n_read = 0
        ab_sum = ba_sum = weights = 0.0
        for each in principle_verdicts:
            order_ab, order_ba = each.order_ab.p_a, each.order_ba.p_a
            if order_ab is None or order_ba is None:
                continue
            n_read += 1
            ab_sum += order_ab * each.weight
            ba_sum += order_ba * each.weight
            weights += each.weight
            # The first letter has p_a in order AB and 1 − p_a in order BA. A negated question names
            # the worse response, so there its letter is the other one.
            first = (order_ab + 1 - order_ba) / 2
            self.first_sum += 1 - first if each.is_negated else first
            if each.is_flip:
                n_flips += 1
                self.n_to_first += (order_ab > 0.5) != each.is_negated
        if n_read:
            # What the whole verdict would be by each order alone: flips of single questions may
            # cancel out in it.
            sides = {side(ab_sum / weights), side(ba_sum / weights)}
            self.columns.add(unit, n_flips, n_read, sides == {"a", "b"})

    def report(self, seed: int) -> Positions:
        units, whole = self.columns.integers("units"), self.columns.floats("verdict_flips")
        flips, read = self.columns.floats("flips"), self.columns.floats("read")
        n_read = read.sum()
        return Positions(
            share_estimate(flips, read, units, seed),
            int(flips.sum()),
            self.n_to_first,
            share_estimate(whole, np.ones(len(whole)), units, seed),
            float(self.first_sum / n_read) if n_read else None,
        )


@dataclass(frozen=True, slots=True)
class Negations:
    """Of `n` questions read both plainly and negated, those whose two answers contradict."""

    n: int = 0
    n_contradictions: int = 0

    def __add__(self, other: "Negations") -> "Negations":
        return Negations(self.n + other.n, self.n_contradictions + other.n_contradictions)

    @property
    def rate(self) -> float | None:
        return self.n_contradictions / self.n if self.n else None


def negations_of(principle_verdicts: Iterable[PrincipleVerdict]) -> Negations:
    """Those of one verdict. An even answer does not contradict any other."""
    by_question: dict[tuple[str, str, str], dict[bool, float]] = {}
    for each in principle_verdicts:
        if each.p_a is not None:
            question = (each.judge, each.principle_id, each.criterion_id)
            by_question.setdefault(question, {})[each.is_negated] = each.p_a
    both = [(found[False], found[True]) for found in by_question.values() if len(found) == 2]
    return Negations(len(both), sum({side(p), side(q)} == {"a", "b"} for p, q in both))
