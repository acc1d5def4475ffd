"""The influence of each principle of a constitution on verdicts, and how principles correlate.

Which decide, which never do, which are redundant and which contradict each other. A principle's
`p_a` in a verdict is that of its votes: the weighted mean over its criteria and all judges.
"""

import itertools
from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cai.evaluation.stats.calibration import pearson
from cai.methods.judging.composition import Composer
from cai.methods.judging.verdict import Verdict

# With fewer verdicts than these a principle or pair is not classified.
ENOUGH = 30

_EVEN = 1e-9  # probabilities and weights are equal but for rounding


@dataclass(frozen=True, slots=True)
class Influence:
    """A principle that could be read in `n` verdicts, and not in `n_unread`.

    `margin` is the mean of |p_a − ½|, None where it was never read; `pull` its share of all
    principles' weighted margins, in [0, 1]. Without it, `n_changed` of the `n_shared` verdicts that
    also rest on other principles would have another outcome.
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
        """The share of shared verdicts that would change without it; None without any."""
        return self.n_changed / self.n_shared if self.n_shared else None


@dataclass(frozen=True, slots=True)
class PrinciplePair:
    """Two principles over the `n` verdicts in which both were read.

    `n_sided` of these have both principles favouring a side, the same one in the share `agreement`;
    `correlation` is Pearson's of their p_a.
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
        # Either measure alone is enough, and contradiction is checked first: few verdicts with a
        # side may agree by chance while the probabilities clearly do not.
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
    """A principle's p_a in each verdict, nan where it has none, and its counts."""

    p_a: "array[float]" = field(default_factory=lambda: array("d"))
    pull: float = 0.0
    n_unread: int = 0
    n_shared: int = 0
    n_changed: int = 0


@dataclass(slots=True)
class PrincipleTally:
    """Counts verdict by verdict, at eight bytes a principle each."""

    composer: Composer
    columns: dict[str, _Column] = field(default_factory=dict[str, _Column])
    n_verdicts: int = 0

    def add(self, verdict: Verdict) -> None:
        weights: dict[str, float] = defaultdict(float)
        for each in verdict.votes:
            weights[each.principle_id] += each.weight
        by_principle = verdict.by_principle
        for id in dict.fromkeys(each.principle_id for each in verdict.principle_verdicts):
            column = self.columns.setdefault(id, _Column())
            p_a = by_principle.get(id)
            if p_a is None:
                column.n_unread += 1
                continue
            self._pad(column)
            column.p_a.append(p_a)
            column.pull += abs(p_a - 0.5) * weights[id]
            if len(by_principle) > 1:
                rest = [each for each in verdict.principle_verdicts if each.principle_id != id]
                column.n_shared += 1
                column.n_changed += self.composer.verdict(rest).outcome != verdict.outcome
        self.n_verdicts += 1

    def _pad(self, column: _Column) -> None:
        """Adds a nan for each verdict that the principle had no part in."""
        column.p_a.extend(itertools.repeat(float("nan"), self.n_verdicts - len(column.p_a)))

    def report(self) -> Principles:
        total = sum(column.pull for column in self.columns.values())
        influences: list[Influence] = []
        for id, column in self.columns.items():
            self._pad(column)
            # Padded first, so that every column has a place for every verdict and pairs line up.
            p_a = np.array(column.p_a)
            p_a = p_a[~np.isnan(p_a)]
            influences.append(
                Influence(
                    id,
                    len(p_a),
                    n_unread=column.n_unread,
                    margin=float(np.abs(p_a - 0.5).mean()) if len(p_a) else None,
                    pull=column.pull / total if total > 0 else 0.0,
                    n_shared=column.n_shared,
                    n_changed=column.n_changed,
                )
            )
        influences.sort(key=lambda each: (-(each.decides or 0), -each.pull, each.principle_id))
        pairs: list[PrinciplePair] = []
        for (first, x), (second, y) in itertools.combinations(self.columns.items(), 2):
            p, q = np.frombuffer(x.p_a), np.frombuffer(y.p_a)
            both = ~(np.isnan(p) | np.isnan(q))
            if both.any():
                p, q = p[both], q[both]
                is_sided = (np.abs(p - 0.5) > _EVEN) & (np.abs(q - 0.5) > _EVEN)
                same = ((p > 0.5) == (q > 0.5))[is_sided]
                pairs.append(
                    PrinciplePair(
                        first,
                        second,
                        n=len(p),
                        n_sided=len(same),
                        agreement=float(same.mean()) if len(same) else None,
                        correlation=pearson(p, q),
                    )
                )
        return Principles(tuple(influences), tuple(pairs))
