"""Numbers over two series: how often they agree, and how they move together."""

from dataclasses import dataclass

import numpy as np

from cai.evaluation.bootstrap import Floats, Integers

NO_SIDE = 2
"""The category beside side a (0) and side b (1): people or judge prefer none."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two series with gaps, over the `n` places where both have a value."""

    n: int
    agreement: float | None


def accuracy_points(labels: Integers, verdicts: Integers) -> Floats:
    """How right each verdict is: 1 for the side of the label, 1/2 for none, 0 for the other side.

    A judge that names no side counts as one that tosses a coin; RewardBench, Lambert et al. 2024,
    arXiv:2403.13787, counts a tie so.
    """
    return np.where(verdicts == NO_SIDE, 0.5, (verdicts == labels).astype(np.float64))


def confusion_rows(labels: Integers, verdicts: Integers) -> Floats:
    """For each pair its 3 × 3 table of label and verdict, flattened: a single 1."""
    rows = np.zeros((len(labels), 9))
    rows[np.arange(len(labels)), 3 * labels + verdicts] = 1
    return rows


def percent_agreement(x: Floats, y: Floats) -> Overlap:
    """The share of equal values where neither is nan; None where there is no overlap."""
    both = ~(np.isnan(x) | np.isnan(y))
    n = int(both.sum())
    return Overlap(n, float((x[both] == y[both]).mean()) if n else None)


def pearson(x: Floats, y: Floats) -> float | None:
    """Pearson's correlation in [−1, 1]; None for fewer than three pairs or a constant series."""
    if len(x) < 3:
        return None
    dx, dy = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((dx @ dx) * (dy @ dy)))
    if np.ptp(x) < 1e-12 or np.ptp(y) < 1e-12 or spread == 0:
        return None
    return min(1.0, max(-1.0, float(dx @ dy) / spread))


def spearman(x: Floats, y: Floats) -> float | None:
    """Spearman's rank correlation in [−1, 1], equal values at their mean rank; as `pearson`."""
    return pearson(ranks(x), ranks(y))


def ranks(values: Floats) -> Floats:
    """The rank of each value from 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[places].astype(np.float64)
