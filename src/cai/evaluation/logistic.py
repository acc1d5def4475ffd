"""A logistic regression on one number, with targets anywhere in [0, 1]: Newton's method."""

from dataclasses import dataclass

import numpy as np

from cai.evaluation.bootstrap import Floats

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
