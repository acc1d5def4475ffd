"""What a win rate would be if both responses were of equal length.

A logistic regression of the outcome on the logarithm of the length ratio, read off where the ratio
is 1, as Lee et al. 2023, arXiv:2309.00267, do (their policy's 71 % became 59 %). A tie is half a
win. The interval draws prompts again and takes one step of Newton's method from the fit to all of
them in place of a whole fit, which needs nothing of a prompt but sums.

A curve on one number is a model: what else differs between long and short responses is in it too.
"""

import numpy as np

from cai.evaluation.bootstrap import Estimate, Figure, Floats, Integers, bootstrap, sums_by_unit
from cai.evaluation.logistic import Curve, fit_curve, sigmoid

LEAST_PROMPTS = 20


def length_controlled(
    units: Integers, points: Floats, lengths: Floats, seed: int
) -> Estimate | None:
    """The first policy's win rate at equal length in [0, 1], with its interval by prompt.

    `lengths` has shape (n, 2). None where it cannot be told: fewer than `LEAST_PROMPTS` prompts, no
    length that varies, equal length outside of what was seen (one policy always longer), or
    outcomes that are all alike or that length alone decides.
    """
    x = np.log((lengths[:, 0] + 1) / (lengths[:, 1] + 1))
    if len(np.unique(units)) < LEAST_PROMPTS or not x.min() <= 0 <= x.max():
        return None
    curve = fit_curve(x, points)
    if curve is None:
        return None
    value = float(sigmoid(np.array(curve.intercept)))
    interval = bootstrap(sums_by_unit(units, _score(curve, x, points)), _refit(curve), seed)
    return Estimate(value, len(points), *(interval or (None, None)))


def _score(curve: Curve, x: Floats, points: Floats) -> Floats:
    """Of each match, the slope of the log-likelihood in both weights, and its three curvatures."""
    p = curve.at(x)
    left, spread = points - p, p * (1 - p)
    return np.column_stack((left, left * x, spread, spread * x, spread * x**2))


def _refit(curve: Curve) -> Figure:
    """The win rate at equal length of each row of sums, one step from this curve."""

    def rates(sums: Floats) -> Floats:
        left, left_x, spread, spread_x, spread_xx = sums.T
        determinant = spread * spread_xx - spread_x**2
        is_told = determinant > 1e-12 * np.maximum(spread * spread_xx, 1e-300)
        step = (spread_xx * left - spread_x * left_x) / np.where(is_told, determinant, 1)
        return np.where(is_told, sigmoid(curve.intercept + step), np.nan)

    return rates
