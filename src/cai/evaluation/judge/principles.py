"""How the principles of a constitution work together in verdicts.

Which decide, which never do, which say the same as another and which say the opposite. What a
principle says in a verdict is its `p_a` over both orders, its criteria and all judges.
"""

import itertools
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cai.evaluation.stats.bootstrap import Floats
from cai.evaluation.stats.calibration import pearson, percent_agreement
from cai.methods.judging.verdict import Outcome, PrincipleVerdict, Verdict, side, verdict_of

ENOUGH = 30
"""Fewer verdicts than these say nothing about principles."""

_EVEN = 1e-9
_ABSENT = float("nan")  # inside these arrays alone


@dataclass(frozen=True, slots=True)
class Influence:
    """A principle that was read in `n` verdicts, and asked without an answer in `n_unread`.

    `margin` is the mean of |p_a − ½|, None where it was never read; `pull` the share of all
    principles' weighted margins that is its own, in [0, 1]. Without it, `n_changed` of the
    `n_shared` verdicts that also rest on other principles would have another outcome.
    """

    principle_id: str
    n: int
    n_unread: int
    margin: float | None
    pull: float
    n_shared: int
    n_changed: int

    @property
    def decides(self) -> float | None:
        """The share of verdicts that would be other without it; None where it is always alone."""
        return self.n_changed / self.n_shared if self.n_shared else None


@dataclass(frozen=True, slots=True)
class PrinciplePair:
    """Two principles over the `n` verdicts in which both were read.

    `agreement` is the share of the `n_sided` in which both favour a side that they favour the same
    one; `correlation` is Pearson's of their p_a.
    """

    first: str
    second: str
    n: int
    n_sided: int
    agreement: float | None
    correlation: float | None

    @property
    def relation(self) -> Literal["redundant", "contradicting"] | None:
        """Above a correlation of 0.95 or 98 % agreement, or below −0.3 or 35 %; None between."""
        r = self.correlation if self.n >= ENOUGH else None
        agreement = self.agreement if self.n_sided >= ENOUGH else None
        if (r is not None and r < -0.3) or (agreement is not None and agreement < 0.35):
            return "contradicting"
        if (r is not None and r > 0.95) or (agreement is not None and agreement >= 0.98):
            return "redundant"
        return None


@dataclass(frozen=True, slots=True)
class Principles:
    """Every principle, the most decisive first, and every two that were read together."""

    influences: tuple[Influence, ...]
    pairs: tuple[PrinciplePair, ...]

    @property
    def never_decide(self) -> tuple[str, ...]:
        """Those without which no verdict of at least 30 would be another."""
        return tuple(
            each.principle_id
            for each in self.influences
            if each.n_shared >= ENOUGH and each.n_changed == 0
        )

    def related(self, relation: Literal["redundant", "contradicting"]) -> tuple[PrinciplePair, ...]:
        return tuple(each for each in self.pairs if each.relation == relation)


@dataclass(slots=True)
class _Column:
    """A principle's p_a in each verdict, and its counts."""

    p_a: "array[float]" = field(default_factory=lambda: array("d"))
    pull: float = 0.0
    n_unread: int = 0
    n_shared: int = 0
    n_changed: int = 0


@dataclass(slots=True)
class PrincipleTally:
    """Takes one verdict after the other; eight bytes a principle each."""

    tie_margin: float
    columns: dict[str, _Column] = field(default_factory=dict[str, _Column])
    n_verdicts: int = 0

    def add(self, verdict: Verdict) -> None:
        parts: dict[str, _Part] = {}
        for each in verdict.principle_verdicts:
            parts.setdefault(each.principle_id, _Part()).add(each)
        whole = _Part()
        for part in parts.values():
            whole.absorb(part)
        for id, part in parts.items():
            column = self.columns.setdefault(id, _Column())
            if part.read == 0:
                column.n_unread += 1
                continue
            self._pad(column)
            column.p_a.append(part.sum / part.read)
            column.pull += abs(part.sum - part.read / 2)
            if whole.read > part.read:
                column.n_shared += 1
                without = _outcome_without(verdict, id, whole, part, self.tie_margin)
                column.n_changed += without != verdict.outcome
        self.n_verdicts += 1

    def _pad(self, column: _Column) -> None:
        column.p_a.extend(itertools.repeat(_ABSENT, self.n_verdicts - len(column.p_a)))

    def report(self) -> Principles:
        for column in self.columns.values():
            self._pad(column)
        total = sum(column.pull for column in self.columns.values())
        found = [_influence(id, column, total) for id, column in self.columns.items()]
        found.sort(key=lambda each: (-(each.decides or 0), -each.pull, each.principle_id))
        return Principles(tuple(found), tuple(self._pairs()))

    def _pairs(self) -> Iterator[PrinciplePair]:
        for (first, x), (second, y) in itertools.combinations(self.columns.items(), 2):
            p, q = np.frombuffer(x.p_a), np.frombuffer(y.p_a)
            both = ~(np.isnan(p) | np.isnan(q))
            n = int(both.sum())
            if n:
                p, q = p[both], q[both]
                sides = percent_agreement(_sides(p), _sides(q))
                yield PrinciplePair(
                    first,
                    second,
                    n=n,
                    n_sided=sides.n,
                    agreement=sides.agreement,
                    correlation=pearson(p, q),
                )


@dataclass(slots=True)
class _Part:
    """The sums of some judgements of a verdict: p_a by weight, weight read, weight, sides."""

    sum: float = 0.0
    read: float = 0.0
    total: float = 0.0
    n_consistent: int = 0

    def add(self, principle_verdict: PrincipleVerdict) -> None:
        self.total += principle_verdict.weight
        if principle_verdict.p_a is not None:
            self.sum += principle_verdict.p_a * principle_verdict.weight
            self.read += principle_verdict.weight
            self.n_consistent += principle_verdict.outcome != "inconsistent"

    def absorb(self, other: "_Part") -> None:
        self.sum += other.sum
        self.read += other.read
        self.total += other.total
        self.n_consistent += other.n_consistent


def _outcome_without(
    verdict: Verdict, id: str, whole: _Part, part: _Part, tie_margin: float
) -> Outcome:
    """What `verdict_of` makes of the other principles, from sums where they leave no doubt."""
    read, total = whole.read - part.read, whole.total - part.total
    if read < total / 2 + _EVEN * whole.total:
        rest = [each for each in verdict.principle_verdicts if each.principle_id != id]
        return verdict_of(rest, tie_margin).outcome
    if whole.n_consistent == part.n_consistent:
        return "inconsistent"
    return side((whole.sum - part.sum) / read, tie_margin)


def _influence(id: str, column: _Column, total: float) -> Influence:
    p_a = np.array(column.p_a)
    p_a = p_a[~np.isnan(p_a)]
    return Influence(
        id,
        len(p_a),
        n_unread=column.n_unread,
        margin=float(np.abs(p_a - 0.5).mean()) if len(p_a) else None,
        pull=column.pull / total if total > 0 else 0.0,
        n_shared=column.n_shared,
        n_changed=column.n_changed,
    )


def _sides(p_a: Floats) -> Floats:
    """1 for A, −1 for B, nan for neither."""
    return np.where(np.abs(p_a - 0.5) <= _EVEN, np.nan, np.sign(p_a - 0.5))
