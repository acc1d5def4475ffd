"""The interval that resampled figures give: bias-corrected, accelerated, and widened for few units.

BCa of Efron 1987, Journal of the American Statistical Association 82, which is right where a figure
is skewed, as a share near 1 is. For n units the normal quantile gives way to that of Student's t on
n − 1 degrees times √(n / (n − 1)), the expanded percentile of Hesterberg 2015, The American
Statistician 69: plain percentiles are too narrow by as much.
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95

_NORMAL = NormalDist()
_LEAST = 1e-4  # no quantile of 2,000 resamples further out means anything
_MOST_BIAS = 1.0  # standard errors; more of it comes of too few distinct resamples
_MOST_SKEW = 0.2


def bca_interval(
    value: float,
    resampled: NDArray[np.float64],
    left_out: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> tuple[float, float]:
    """The 95 % interval around `value`, from `resampled` figures.

    `left_out` are the figures without one unit each, `counts` for how many units each stands.
    Neither array has a nan.
    """
    z = expanded_quantile(int(counts.sum()))
    bias, skew = _bias(value, resampled), _skew(left_out, counts)
    low, high = (
        100 * min(max(_NORMAL.cdf(_shifted(bias, skew, each)), _LEAST), 1 - _LEAST)
        for each in (-z, z)
    )
    found = np.percentile(resampled, [low, high])
    return float(found[0]), float(found[1])


def expanded_quantile(n: int) -> float:
    """√(n / (n − 1)) times the 97.5 % quantile of t on n − 1 degrees, from 1.96 upward.

    The quantile is the series of Cornish and Fisher to the third order, whose error is below 0.01
    from five degrees on.
    """
    z, v = _NORMAL.inv_cdf((1 + LEVEL) / 2), max(n - 1, 1)
    series = (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )
    return series * ((v + 1) / v) ** 0.5


def _bias(value: float, resampled: NDArray[np.float64]) -> float:
    """The normal quantile of the share of resamples below the figure; equal ones count half."""
    near = 1e-12 * max(1.0, abs(value))
    below = float((resampled < value - near).mean())
    equal = float((np.abs(resampled - value) <= near).mean())
    share = min(max(below + equal / 2, _LEAST), 1 - _LEAST)
    return min(max(_NORMAL.inv_cdf(share), -_MOST_BIAS), _MOST_BIAS)


def _skew(left_out: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """The acceleration: a sixth of the skewness of what each unit does to the figure."""
    pulls = np.average(left_out, weights=counts) - left_out
    spread = float((counts * pulls**2).sum())
    if spread <= 0:
        return 0.0
    skew = float((counts * pulls**3).sum()) / (6 * spread**1.5)
    return min(max(skew, -_MOST_SKEW), _MOST_SKEW)


def _shifted(bias: float, skew: float, z: float) -> float:
    return bias + (bias + z) / max(1 - skew * (bias + z), 0.1)
