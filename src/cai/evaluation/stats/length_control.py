"""The win rate that a policy would have if both responses were of equal length.

A logistic regression of the outcome on the logarithm of the length ratio, read off where the ratio
is 1, as Lee et al. 2023, arXiv:2309.00267, do (their policy's 71 % became 59 %); Dubois et al.
2024, arXiv:2404.04475, control AlpacaEval's win rate by a regression too, with more terms. A tie is
half a win.

A curve on one number is a model: what else differs between long and short responses is in it too.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from cai.evaluation.stats.bootstrap import (
    Estimate,
    Floats,
    Integers,
    Statistic,
    bootstrap_interval,
    sums_by_unit,
)

MIN_PROMPTS = 20


@dataclass(frozen=True, slots=True)
class LogisticCurve:
    """σ(intercept + slope · x)."""

    intercept: float
    slope: float

    def at(self, x: Floats) -> Floats:
        return expit(self.intercept + self.slope * x)


def length_controlled_win_rate(
    units: Integers, points: Floats, lengths: Floats, seed: int
) -> Estimate | None:
    """The first policy's win rate at equal length in [0, 1], with its interval by prompt.

    `units` and `points` have shape (n,), with points 1 for a win, 0 for a loss and ½ for a tie;
    `lengths` has shape (n, 2), in characters. None where it cannot be told: fewer than
    `MIN_PROMPTS` prompts, no length that varies, equal length outside of what was seen (one policy
    always longer), or outcomes that are all alike or that length alone decides.

    Example:
        rng = np.random.default_rng(0)
        lengths = rng.integers(200, 800, size=(40, 2)).astype(float)
        points = (rng.random(40) < 0.6).astype(float)
        print(length_controlled_win_rate(np.arange(40), points, lengths, seed=0))
    """
    x = np.log((lengths[:, 0] + 1) / (lengths[:, 1] + 1))
    if len(np.unique(units)) < MIN_PROMPTS or not x.min() <= 0 <= x.max():
        return None
    curve = fit_logistic_curve(x, points)
    if curve is None:
        return None
    terms = sums_by_unit(units, _newton_terms(curve, x, points))
    interval = bootstrap_interval(terms, _one_step_rate(curve), seed)
    return Estimate(float(expit(curve.intercept)), len(points), *(interval or (None, None)))


def fit_logistic_curve(x: Floats, targets: Floats) -> LogisticCurve | None:
    """The maximum-likelihood curve for targets in [0, 1]; None where there is none.

    There is none where x does not vary or the targets are separable. A target between 0 and 1
    counts as so much of a win and the rest of a loss.
    """
    if not len(x) or np.ptp(x) < 1e-12 or is_separable(x, targets):
        return None
    # A binomial GLM takes fractions as they are (Papke and Wooldridge 1996, Journal of Applied
    # Econometrics 11); `Logit` and scikit-learn's classifier take whole classes only. Convergence
    # is judged by the parameters: the deviance grows with n, and so does its rounding error.
    model = GLM(targets, np.column_stack((np.ones(len(x)), x)), family=Binomial())
    with warnings.catch_warnings():
        # It warns of separation, which is excluded above, wherever the curve goes through every
        # target; fractions allow that, as nothing but ties does.
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        fitted = model.fit(tol=1e-10, rtol=1e-10, tol_criterion="params")
    if not fitted.converged:
        return None
    return LogisticCurve(*map(float, fitted.params))


def is_separable(x: Floats, targets: Floats) -> bool:
    """Whether one value of x parts all wins from all losses, so that no curve is the best.

    A target between 0 and 1 is part of a win and part of a loss. Albert and Anderson 1984,
    Biometrika 71: this is when a maximum of the likelihood does not exist.
    """
    won, lost = x[targets > 0], x[targets < 1]
    if not len(won) or not len(lost):
        return True
    return bool(lost.max() <= won.min() or won.max() <= lost.min())


def _newton_terms(curve: LogisticCurve, x: Floats, points: Floats) -> Floats:
    """Each match's gradient of the log-likelihood (2) and Fisher information (3): shape (n, 5)."""
    p = curve.at(x)
    residual, variance = points - p, p * (1 - p)
    return np.column_stack((residual, residual * x, variance, variance * x, variance * x**2))


def _one_step_rate(curve: LogisticCurve) -> Statistic:
    """The win rate at equal length of each row of sums: one Newton step from `curve`."""
    # A resample is so near to the whole that one step suffices (a test compares with whole fits),
    # and a step needs only sums of a prompt: 2,000 calls of a library would need its rows.

    def rates(sums: Floats) -> Floats:
        residual, residual_x, variance, variance_x, variance_xx = sums.T
        determinant = variance * variance_xx - variance_x**2
        # singular where all drawn prompts have one length ratio: not defined
        is_regular = determinant > 1e-12 * np.maximum(variance * variance_xx, 1e-300)
        step = variance_xx * residual - variance_x * residual_x
        step = step / np.where(is_regular, determinant, 1)
        return np.where(is_regular, expit(curve.intercept + step), np.nan)

    return rates
