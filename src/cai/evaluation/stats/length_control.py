"""A logistic regression on one number, with targets anywhere in [0, 1]: Newton's method.

What a win rate would be if both responses were of equal length.

A logistic regression of the outcome on the logarithm of the length ratio, read off where the ratio
is 1, as Lee et al. 2023, arXiv:2309.00267, do (their policy's 71 % became 59 %). A tie is half a
win. The interval draws prompts again and takes one step of Newton's method from the fit to all of
them in place of a whole fit, which needs nothing of a prompt but sums.

A curve on one number is a model: what else differs between long and short responses is in it too.
"""

from dataclasses import dataclass

import numpy as np

from cai.evaluation.stats.bootstrap import (
    Estimate,
    Figure,
    Floats,
    Integers,
    bootstrap,
    sums_by_unit,
)

_RIDGE = 1e-9  # a row; keeps the step finite, moves nothing that can be seen
_MOST_STEPS = 50
_NEAR = 1e-10


@dataclass(frozen=True, slots=True)
class Curve:
    """σ(intercept + slope · x), the one most likely to give the targets."""

    intercept: float
    slope: float

    def at(self, x: Floats) -> Floats:
        return sigmoid(self.intercept + self.slope * x)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(−x)), for any x."""
    return 0.5 * (1 + np.tanh(logits / 2))


def is_separable(x: Floats, targets: Floats) -> bool:
    """Whether one value of x parts all wins from all losses, so that no curve is the best.

    A target between 0 and 1 is part of a win and part of a loss.
    """
    won, lost = x[targets > 0], x[targets < 1]
    if not len(won) or not len(lost):
        return True
    return bool(lost.max() <= won.min() or won.max() <= lost.min())


def fit_curve(x: Floats, targets: Floats) -> Curve | None:
    """The maximum of the likelihood; None where there is none, or x does not vary.

    Each target counts as so much of a win and the rest of a loss.
    """
    scale = float(np.sqrt((x**2).mean())) if len(x) else 0.0
    if scale == 0 or np.ptp(x) < 1e-12 or is_separable(x, targets):
        return None
    rows = np.column_stack((np.ones(len(x)), x / scale))
    weights = np.zeros(2)
    for _ in range(_MOST_STEPS):
        step = _step(rows, targets, weights)
        weights = weights + step
        if float(np.abs(step).max()) < _NEAR:
            return Curve(float(weights[0]), float(weights[1]) / scale)
    return None


def _step(rows: Floats, targets: Floats, weights: Floats) -> Floats:
    """Newton's step, halved until the likelihood grows."""
    p = sigmoid(rows @ weights)
    slope = rows.T @ (targets - p)
    curvature = (rows * (p * (1 - p))[:, None]).T @ rows + _RIDGE * len(rows) * np.eye(2)
    step = np.linalg.solve(curvature, slope).astype(np.float64)
    before = _likelihood(rows, targets, weights)
    while float(np.abs(step).max()) > _NEAR and (
        _likelihood(rows, targets, weights + step) < before - 1e-12 * abs(before)
    ):
        step = step / 2
    return step


def _likelihood(rows: Floats, targets: Floats, weights: Floats) -> float:
    logits = rows @ weights
    return float((targets * logits - np.logaddexp(0, logits)).sum())


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
