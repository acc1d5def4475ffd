"""Whether a judge's probabilities mean what they say, and how it agrees with labels of people.

The calibration curve, the expected calibration error (Naeini et al. 2015, AAAI; Guo et al. 2017,
arXiv:1706.04599), the Brier score, and temperature scaling; then accuracy, and the correlation of
two series.

`p_a` is the judge's probability that response A is better, `is_a` whether people say so; pairs that
people call even have no place in calibration.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import root_scalar
from scipy.special import expit, logit

from cai.errors import EvaluationError
from cai.evaluation.stats.bootstrap import (
    LEVEL,
    Floats,
    Integers,
    Interval,
    expanded_quantile,
)

N_BINS = 10
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.02, 50.0
# The category beside side a (0) and side b (1): people or judge prefer none.
NO_SIDE = 2

_EDGE = 1e-9  # 0.3 is 3 × 0.1 but for rounding: it belongs to the bin that begins there
_FLOOR_DRAWS = 200
_CERTAINTY = 1e-6  # how near to 0 or 1 a probability may be to have a logit


@dataclass(frozen=True, slots=True)
class Bin:
    """The pairs with `low` ≤ p_a < `high` (the last bin holds 1 too); never an empty one."""

    low: float
    high: float
    n: int
    mean_p_a: float
    share_a: float

    @property
    def bounds(self) -> Interval:
        """The 95 % interval of the share, of Wilson 1927, Journal of the ASA 22."""
        interval = stats.binomtest(round(self.share_a * self.n), self.n).proportion_ci(
            LEVEL, "wilson"
        )
        # rounding must not put the share outside of its own interval
        return min(float(interval.low), self.share_a), max(float(interval.high), self.share_a)


def calibration_curve(p_a: Floats, is_a: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Ten bins of equal width over p_a, without the empty ones.

    Example:
        p_a, is_a = np.array([0.9, 0.8, 0.2]), np.array([True, True, False])
        for each in calibration_curve(p_a, is_a):
            print(f"{each.low:.1f} to {each.high:.1f}: {each.share_a:.0%} of {each.n}")
    """
    # `sklearn.calibration.calibration_curve` closes its bins above (0.3 is in the bin that ends
    # there) and does not return the pairs in a bin, without which no interval can be drawn.
    places = _bin_index(p_a)
    bins: list[Bin] = []
    for place in np.unique(places).tolist():
        inside = places == place
        mean, share = float(p_a[inside].mean()), float(is_a[inside].mean())
        bins.append(Bin(place / N_BINS, (place + 1) / N_BINS, int(inside.sum()), mean, share))
    return tuple(bins)


def ece(p_a: Floats, is_a: NDArray[np.bool_]) -> float | None:
    """The expected calibration error of the side that the judge favours, in [0, 1].

    Guo et al. 2017, §2: the confidence is max(p, 1 − p), in ten bins of equal width over [1/2, 1];
    the mean over pairs of |share right − mean confidence| of their bin. An even probability is
    half right. None without pairs.
    """
    # Swapping the two responses of any pair changes nothing, so this form is reported first.
    confidence = np.maximum(p_a, 1 - p_a)
    right = np.where(np.abs(p_a - 0.5) <= _EDGE, 0.5, (p_a > 0.5) == is_a)
    return _calibration_error(confidence, right, _bin_index(2 * confidence - 1))


def ece_floor(p_a: Floats) -> float | None:
    """The mean calibration error, in [0, 1], that luck alone gives to these probabilities.

    Labels are drawn from the very probabilities, so that these are right; with few pairs in a bin
    the error is not 0 all the same. None without pairs.
    """
    rng = np.random.default_rng(0)
    found = [ece(p_a, rng.random(len(p_a)) < p_a) for _ in range(_FLOOR_DRAWS)]
    errors = [each for each in found if each is not None]
    return float(np.mean(errors)) if errors else None


def ece_by_side(p_a: Floats, is_a: NDArray[np.bool_]) -> float | None:
    """The same of p_a against the label a, in ten bins over [0, 1]: the curve's own error.

    It also grows where a judge leans towards A or B as such.
    """
    return _calibration_error(p_a, is_a.astype(np.float64), _bin_index(p_a))


def brier(p_a: Floats, is_a: NDArray[np.bool_]) -> float | None:
    """The mean of (p_a − label)² in [0, 1] (Brier 1950); always saying one half gives 1/4."""
    return float(np.mean((p_a - is_a) ** 2)) if len(p_a) else None


def _bin_index(shares: Floats) -> Integers:
    """The bin of each number in [0, 1]: 0 to `N_BINS` − 1."""
    return np.clip(np.floor(shares * N_BINS + _EDGE), 0, N_BINS - 1).astype(np.int64)


def _calibration_error(predicted: Floats, observed: Floats, bins: Integers) -> float | None:
    if not len(predicted):
        return None
    # n_b · |mean observed − mean predicted| of a bin is |the sum of the differences|
    gaps = np.bincount(bins, observed - predicted, N_BINS)
    return float(np.abs(gaps).sum() / len(predicted))


def fit_temperature(p_a: Sequence[float], is_a: Sequence[bool]) -> float:
    """The temperature T in [0.02, 50] of the least cross-entropy against the labels.

    Temperature scaling, Guo et al. 2017, §4.2: σ(logit(p) / T) in place of p, with one T for all
    pairs. It changes no verdict, only how sure the judge is. A judge that is always right has its T
    at the lower end, one that is no better than chance at the upper one.

    Raises:
        EvaluationError: There are no pairs, or no probability that differs from one half.

    Example:
        fit_temperature([0.9] * 4, [True, True, True, False])  # log 9 / log 3 = 2
    """
    logits = logit(np.clip(np.asarray(p_a, np.float64), _CERTAINTY, 1 - _CERTAINTY))
    if not (np.abs(logits) > _CERTAINTY).any():
        raise EvaluationError(
            "No temperature can be fitted: there is no pair on which the judge favours a side. "
            "Give labelled pairs that it can tell apart."
        )
    right_by = np.where(np.asarray(is_a, np.bool_), logits, -logits)  # log-odds for the label

    # The loss, Σ log(1 + exp(−β · right_by)), is convex in β = 1/T, so the root of its derivative
    # is the minimum. A root is found to all digits; a minimum, flat at its bottom, to half of them.
    def slope(inverse: float) -> float:
        return -float(right_by @ expit(-inverse * right_by))

    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    if slope(low) >= 0:
        return MAX_TEMPERATURE
    if slope(high) <= 0:
        return MIN_TEMPERATURE
    return 1 / float(root_scalar(slope, bracket=(low, high), xtol=1e-12).root)


def temperature_interval(
    p_a: Floats, is_a: NDArray[np.bool_], units: Integers, temperature: float
) -> Interval | None:
    """The 95 % interval of a fitted temperature, over the prompts; None of one prompt alone.

    On the logarithm, by the sandwich of Liang and Zeger 1986, Biometrika 73, whose clusters are the
    pairs of a prompt.
    """
    _, places = np.unique(units, return_inverse=True)
    n = int(places.max()) + 1
    if n < 2:
        return None
    logits = logit(np.clip(p_a, _CERTAINTY, 1 - _CERTAINTY))
    right_by = np.where(is_a, logits, -logits)
    wrong = expit(-right_by / temperature)
    scores = np.bincount(places, right_by * wrong)
    information = float((right_by**2 * wrong * (1 - wrong)).sum())
    # of 1/T relative to 1/T, which is that of log T
    error = math.sqrt(float((scores**2).sum())) / information * temperature
    factor = math.exp(expanded_quantile(n) * error)
    return temperature / factor, temperature * factor


def apply_temperature(probability: float, temperature: float) -> float:
    """σ(logit(p) / T) in [0, 1]; certainties stay what they are."""
    if temperature == 1:
        return probability  # to the last digit
    return float(expit(logit(probability) / temperature))


def accuracy_points(labels: Integers, verdicts: Integers) -> Floats:
    """The credit of each verdict: 1 for the label's side, 1/2 for none, 0 for the other side."""
    # A judge that names no side counts as one that tosses a coin, as a tie does in RewardBench,
    # Lambert et al. 2024, arXiv:2403.13787.
    return np.where(verdicts == NO_SIDE, 0.5, (verdicts == labels).astype(np.float64))


def confusion_rows(labels: Integers, verdicts: Integers) -> Floats:
    """For each pair its 3 × 3 table of label and verdict, flattened: a single 1; shape (n, 9)."""
    return np.eye(9)[3 * labels + verdicts]


def pearson(x: Floats, y: Floats) -> float | None:
    """Pearson's correlation in [−1, 1]; None for fewer than three pairs or a constant series."""
    if len(x) < 3 or _is_constant(x) or _is_constant(y):
        return None
    return float(stats.pearsonr(x, y).statistic)


def spearman(x: Floats, y: Floats) -> float | None:
    """Spearman's rank correlation in [−1, 1], equal values at their mean rank; as `pearson`."""
    return pearson(stats.rankdata(x), stats.rankdata(y))


def _is_constant(series: Floats) -> bool:
    # But for rounding: scipy would warn, and correlate what rounding left.
    return bool(np.ptp(series) < 1e-12 * max(1.0, float(np.abs(series).max())))
