"""Whether probabilities mean what they say: the calibration curve, ECE and the Brier score.

`p_a` is the judge's probability that response A is better, `is_a` whether people say so; pairs that
people call even have no place here.

The temperature at which a judge's probabilities agree best with labels of people.

Temperature scaling, Guo et al. 2017, arXiv:1706.04599, §4.2: one number T for all pairs, and
σ(logit(p) / T) in place of p. It changes no verdict, only how sure the judge is.

Numbers over two series: how often they agree, and how they move together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from cai.errors import EvaluationError
from cai.evaluation.stats.bootstrap import Floats, Integers

N_BINS = 10

_EDGE = 1e-9  # 0.3 is 3 × 0.1 but for rounding: it belongs to the bin that begins there


@dataclass(frozen=True, slots=True)
class Bin:
    """The pairs with `low` ≤ p_a < `high` (the last bin holds 1 too); never an empty one."""

    low: float
    high: float
    n: int
    mean_p_a: float
    share_a: float

    @property
    def bounds(self) -> tuple[float, float]:
        """The 95 % interval of the share, of Wilson 1927, Journal of the ASA 22."""
        z2 = 1.96**2 / self.n
        middle = (self.share_a + z2 / 2) / (1 + z2)
        half = (self.share_a * (1 - self.share_a) * z2 + z2 * z2 / 4) ** 0.5 / (1 + z2)
        # rounding must not put the share outside of its own interval
        return max(0.0, min(middle - half, self.share_a)), min(
            1.0, max(middle + half, self.share_a)
        )


def calibration_curve(p_a: Floats, is_a: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Ten bins of equal width over p_a, without the empty ones."""
    places = np.clip(np.floor(p_a * N_BINS + _EDGE), 0, N_BINS - 1)
    bins: list[Bin] = []
    for place in range(N_BINS):
        inside = places == place
        n = int(inside.sum())
        if n:
            mean, share = float(p_a[inside].mean()), float(is_a[inside].mean())
            bins.append(Bin(place / N_BINS, (place + 1) / N_BINS, n, mean, share))
    return tuple(bins)


def ece(p_a: Floats, is_a: NDArray[np.bool_]) -> float | None:
    """The expected calibration error of the side that the judge favours, in [0, 1].

    Naeini et al. 2015 and Guo et al. 2017, arXiv:1706.04599, §2: the confidence is max(p, 1 − p),
    in ten bins of equal width over [1/2, 1]; the mean over pairs of |share right − mean confidence|
    of their bin. An even probability is right by one half. Exchanging the two responses of any pair
    changes nothing, so this form is the headline.
    """
    confidence = np.maximum(p_a, 1 - p_a)
    right = np.where(np.abs(p_a - 0.5) <= _EDGE, 0.5, (p_a > 0.5) == is_a)
    return _gap(confidence, right, 2 * confidence - 1)


def ece_by_side(p_a: Floats, is_a: NDArray[np.bool_]) -> float | None:
    """The same of p_a against the label a, in ten bins over [0, 1]: the curve's own error.

    It also grows where a judge leans towards A or B as such.
    """
    return _gap(p_a, is_a.astype(np.float64), p_a)


def brier(p_a: Floats, is_a: NDArray[np.bool_]) -> float | None:
    """The mean of (p_a − label)² in [0, 1]; always saying one half gives 1/4."""
    return float(np.mean((p_a - is_a) ** 2)) if len(p_a) else None


def _gap(said: Floats, came: Floats, place: Floats) -> float | None:
    """`place` in [0, 1] says the bin."""
    if not len(said):
        return None
    bins = np.clip(np.floor(place * N_BINS + _EDGE), 0, N_BINS - 1).astype(np.int64)
    gaps = np.bincount(bins, came - said, N_BINS)
    return float(np.abs(gaps).sum() / len(said))


LOWEST, HIGHEST = 0.02, 50.0
_P_FLOOR = 1e-6
_ROUNDS = 80


def fit_temperature(p_a: Sequence[float], is_a: Sequence[bool]) -> float:
    """The T in [0.02, 50] of the least cross-entropy against the labels.

    `p_a` are probabilities that response A is better, `is_a` whether people say so. Found by golden
    section: the loss is convex in 1/T.

    Raises:
        EvaluationError: There are no pairs, or no probability that differs from one half.
    """
    logits = [_logit(p) for p in p_a]
    if not any(abs(logit) > _P_FLOOR for logit in logits):
        raise EvaluationError(
            "No temperature can be fitted: there is no pair on which the judge favours a side. "
            "Give labelled pairs that it can tell apart."
        )

    def loss(inverse: float) -> float:
        return sum(
            _softplus(-inverse * logit if right else inverse * logit)
            for logit, right in zip(logits, is_a, strict=True)
        )

    low, high = 1 / HIGHEST, 1 / LOWEST
    golden = (5**0.5 - 1) / 2
    for _ in range(_ROUNDS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return 2 / (low + high)


def tempered(probability: float, temperature: float) -> float:
    """σ(logit(p) / T) in [0, 1]; certainties stay what they are."""
    if temperature == 1 or probability in (0.0, 1.0):
        return probability
    return logistic(log(probability / (1 - probability)) / temperature)


def logistic(logit: float) -> float:
    """1 / (1 + exp(−x)) in [0, 1], for any x."""
    return 1 / (1 + exp(-logit)) if logit >= 0 else exp(logit) / (1 + exp(logit))


def _logit(p: float) -> float:
    bounded = min(max(p, _P_FLOOR), 1 - _P_FLOOR)
    return log(bounded / (1 - bounded))


def _softplus(x: float) -> float:
    """log(1 + exp(x))."""
    return max(x, 0.0) + log(1 + exp(-abs(x)))


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
