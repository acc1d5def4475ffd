"""Which pairs a judge's log-odds under one principle speak about, found without any label.

Most principles have nothing to say of most pairs. Under one principle the log-odds of a run's pairs
are therefore a mixture: a narrow part around 0, of pairs on which the principle is silent, and two
parts at −μ and μ, of pairs on which it speaks for the one response or for the other. The fit is by
expectation and maximisation (Dempster, Laird and Rubin 1977, JRSS B 39); its posterior says how
likely the principle speaks, and for whom.

Example:
    fitted = fit_mixture(log_odds, half_differences)
    for_a, for_b = fitted.posterior(2.5)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

MIN_PAIRS = 40
"""Pairs below which no mixture is fitted: to fewer than that, a fit is mostly its prior."""

_STEPS = 150
# The prior is worth so many pairs: silent as often as most principles are, and as wide as the two
# orders of a pair differ anyway.
_PRIOR_PAIRS, _PRIOR_SILENT = 20.0, 0.6
_LEAST_WIDTH = 0.1  # log-odds: a judge without any order noise has a width too
_TO_DEVIATION = 1.4826  # from a median absolute deviation to the deviation of a normal distribution


@dataclass(frozen=True, slots=True)
class Mixture:
    """The fit of one judge under one principle to `n` pairs; widths and the centre in log-odds.

    `silent` in [0, 1] is the share of pairs on which the principle is silent: these spread by
    `silent_width` around 0, the others by `speaking_width` around −`centre` and `centre`.
    """

    n: int
    silent: float
    silent_width: float
    centre: float
    speaking_width: float

    def posterior(self, log_odds: float) -> tuple[float, float]:
        """How likely the principle speaks for A, and for B; the rest to 1 is that it is silent."""
        speaking = (1 - self.silent) / 2
        logs = (
            _log_density(log_odds, self.silent_width, self.silent),
            _log_density(log_odds - self.centre, self.speaking_width, speaking),
            _log_density(log_odds + self.centre, self.speaking_width, speaking),
        )
        highest = max(logs)
        silent, for_a, for_b = (math.exp(each - highest) for each in logs)
        total = silent + for_a + for_b
        return for_a / total, for_b / total


def _log_density(distance: float, width: float, share: float) -> float:
    """Of a normal distribution, but for a constant that all parts have."""
    return math.log(max(share, 1e-300) / width) - 0.5 * (distance / width) ** 2


def fit_mixture(log_odds: Sequence[float], half_differences: Sequence[float]) -> Mixture | None:
    """The mixture of these pairs; None for fewer than `MIN_PAIRS`.

    `log_odds` are the means of both orders, `half_differences` half of what they differ by. The
    result is the same whatever the order of the pairs, to the last digits.
    """
    if len(log_odds) < MIN_PAIRS:
        return None
    import numpy as np  # heavy

    # Sorted: the sum of floats in another order is another sum.
    pairs = np.sort(np.abs(np.asarray(log_odds, np.float64)))
    differences = np.asarray(half_differences, np.float64)
    deviations = np.abs(differences - np.median(differences))
    noise = max(_TO_DEVIATION * float(np.median(deviations)), _LEAST_WIDTH)
    n, squares = len(pairs), pairs**2
    silent, width = _PRIOR_SILENT, noise
    centre = max(float(np.quantile(pairs, 0.9)), 2 * noise)
    spread = max(centre / 2, noise)
    for _ in range(_STEPS):
        # The mixture is symmetric, so a pair and its mirror image count alike: all are turned to
        # the positive side, where `towards` is the part on the same side and `away` the other.
        logs = np.stack(
            [
                np.log(silent / width) - squares / (2 * width**2),
                np.log((1 - silent) / (2 * spread)) - (pairs - centre) ** 2 / (2 * spread**2),
                np.log((1 - silent) / (2 * spread)) - (pairs + centre) ** 2 / (2 * spread**2),
            ]
        )
        parts = np.exp(logs - logs.max(axis=0))
        still, towards, away = parts / parts.sum(axis=0)
        n_silent, n_speaking = float(still.sum()), float((towards + away).sum())
        silent = (n_silent + _PRIOR_PAIRS * _PRIOR_SILENT) / (n + _PRIOR_PAIRS)
        variance = (float(still @ squares) + _PRIOR_PAIRS * noise**2) / (n_silent + _PRIOR_PAIRS)
        width = math.sqrt(variance)
        if n_speaking > 0:
            centre = float((towards - away) @ pairs) / n_speaking
            centre = max(centre, width)
            around = float(towards @ (pairs - centre) ** 2 + away @ (pairs + centre) ** 2)
            spread = math.sqrt(around / n_speaking)
        centre, spread = max(centre, width), max(spread, width)
    return Mixture(n, silent, width, centre, spread)
