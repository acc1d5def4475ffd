"""How many prompts a win rate takes: for an interval as narrow as asked, or to detect a difference.

Normal approximation: the rate over n prompts has the variance v / n, where v is the variance of
one prompt's result, and is within 1.96 standard errors 95 % of the time. A difference from one half
is detected where the interval excludes it, which happens with a power of 80 % when the difference
is 1.96 + 0.84 standard errors (Cohen 1988, Statistical Power Analysis).
"""

import math
from statistics import NormalDist

import numpy as np

from cai.errors import EvaluationError
from cai.evaluation.stats.bootstrap import Floats, Integers, sums_by_unit

# Prompts below which the approximation says nothing.
MIN_PROMPTS = 10

# `statsmodels.stats.power` and `statsmodels.stats.proportion` take a proportion and so the variance
# p (1 − p), which ties and several matches a prompt make too large. The formulas are theirs
# otherwise, as tests check.
_Z = NormalDist().inv_cdf(0.975)


def planned_variance(tie_share: float = 0.0) -> float:
    """The variance of a prompt's result to plan with before there are any, in (0, ¼].

    The largest there is, at a rate of one half and one match a prompt: ¼ of the matches that are
    not ties.

    Raises:
        EvaluationError: The share of ties is not in [0, 1).
    """
    if not 0 <= tie_share < 1:
        raise EvaluationError(
            f"A share of ties of {tie_share} cannot be planned with: give one from 0 to below 1."
        )
    return (1 - tie_share) / 4


def observed_variance(points: Floats, units: Integers) -> float | None:
    """The variance of a prompt's result as it was observed; None for fewer than two prompts.

    n times the variance of the rate over n prompts.
    """
    # Linearised as a ratio (Cochran 1977, Sampling Techniques, ch. 6), each prompt with all its
    # matches: prompts with more of them weigh more, and several make the variance smaller.
    sums = sums_by_unit(units, np.column_stack((points, np.ones(len(points)))))
    n = len(np.unique(units))
    if n < 2:
        return None
    won, played = sums[:, 0], sums[:, 1]
    # Residuals of a ratio add up to 0, so no mean is taken off. With one match a prompt this is the
    # sample variance.
    residuals = (won - played * won.sum() / played.sum()) / played.mean()
    return float(residuals @ residuals) / (n - 1)


def required_prompts(half_width: float, variance: float) -> int:
    """How many prompts make the 95 % interval reach `half_width` to either side; at least ten.

    Raises:
        EvaluationError: The half width is not between 0 and one half.

    Example:
        required_prompts(0.03, planned_variance(tie_share=0.2))  # ±3 points: 854 prompts
    """
    if not 0 < half_width < 0.5:
        raise EvaluationError(
            f"An interval of ±{half_width} is impossible for a win rate: "
            "give a half width above 0 and below 0.5, such as 0.03 for 3 points."
        )
    # without the last term, rounding turns an exact whole number into one more
    return max(MIN_PROMPTS, math.ceil(_Z**2 * variance / half_width**2 - 1e-9))


def half_width(n_prompts: int, variance: float) -> float:
    """How far the 95 % interval reaches to either side, at most one half."""
    return min(0.5, _Z * math.sqrt(variance / n_prompts))


def minimum_detectable_difference(n_prompts: int, variance: float, power: float = 0.8) -> float:
    """The smallest distance from one half that is detected with this power; one half at most."""
    # the chance to be beyond the far limit, 10⁻⁶ at this power, is left out
    z = _Z + NormalDist().inv_cdf(power)
    return min(0.5, z * math.sqrt(variance / n_prompts))


def describe_sample_size(n_prompts: int, variance: float, target: float) -> str:
    """In words: what so many prompts give, and how many an interval of ± `target` takes.

    Raises:
        EvaluationError: As `required_prompts`, or there are no prompts.
    """
    if n_prompts < 1:
        raise EvaluationError("No prompts, no interval: give a number of prompts from 1 on.")
    needed = required_prompts(target, variance)
    rest = (
        f"±{100 * target:.1f} points take about {needed:,}, {needed - n_prompts:,} more"
        if needed > n_prompts
        else f"that is within the ±{100 * target:.1f} asked for"
    )
    difference = minimum_detectable_difference(n_prompts, variance)
    return (
        f"{n_prompts:,} prompts give a win rate to ±{100 * half_width(n_prompts, variance):.1f} "
        f"points; {rest}. The smallest difference from 50% that is detected with a power of 80% "
        f"is {100 * difference:.1f} points."
    )
