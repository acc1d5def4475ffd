"""How many prompts a win rate takes: for an interval as narrow as asked, or to see a difference.

Normal approximation: the rate over n prompts has the variance `spread` / n, and 95 % of the time is
within 1.96 deviations. A difference is seen where the interval leaves one half out, which happens
in 80 % of evaluations when it is 1.96 + 0.84 deviations (Cohen 1988, Statistical Power Analysis).
"""

import math
from statistics import NormalDist

import numpy as np

from cai.errors import EvaluationError
from cai.evaluation.stats.bootstrap import Floats, Integers, sums_by_unit

LEAST = 10
"""Prompts below which the approximation says nothing."""

_Z = NormalDist().inv_cdf(0.975)


def planned_spread(tie_share: float = 0.0) -> float:
    """The variance of a prompt's result before there are any, with one match a prompt.

    The greatest there is, at a rate of one half: ¼ of the matches that are no ties.
    """
    if not 0 <= tie_share < 1:
        raise EvaluationError(
            f"A share of ties of {tie_share} cannot be planned with: give one from 0 to below 1."
        )
    return (1 - tie_share) / 4


def seen_spread(points: Floats, units: Integers) -> float | None:
    """The variance of a prompt's result as it was seen; None for fewer than two prompts.

    n times the variance of the rate over n prompts, linearised, each with all its matches: prompts
    with more of them weigh more, and several matches of a prompt make it smaller.
    """
    sums = sums_by_unit(units, np.column_stack((points, np.ones(len(points)))))
    n = len(np.unique(units))
    if n < 2:
        return None
    won, played = sums[:, 0], sums[:, 1]
    left = (won - played * won.sum() / played.sum()) / played.mean()
    return float(left @ left) / (n - 1)


def prompts_for(half_width: float, spread: float) -> int:
    """How many prompts make the 95 % interval reach `half_width` to either side; at least ten.

    Raises:
        EvaluationError: The half width is not between 0 and one half.
    """
    if not 0 < half_width < 0.5:
        raise EvaluationError(
            f"An interval of ±{half_width} cannot be had for a win rate: "
            "give a half width above 0 and below 0.5, such as 0.03 for 3 points."
        )
    return max(LEAST, math.ceil(_Z**2 * spread / half_width**2 - 1e-9))


def half_width(n_prompts: int, spread: float) -> float:
    """How far the 95 % interval reaches to either side, at most one half."""
    return min(0.5, _Z * math.sqrt(spread / n_prompts))


def smallest_difference(n_prompts: int, spread: float, power: float = 0.8) -> float:
    """The least distance from one half that is seen with this power; one half at most."""
    z = _Z + NormalDist().inv_cdf(power)
    return min(0.5, z * math.sqrt(spread / n_prompts))


def advice(n_prompts: int, spread: float, asked: float) -> str:
    """In words: what so many prompts give, and how many an interval of ± `asked` takes.

    Raises:
        EvaluationError: As `prompts_for`, or there are no prompts.
    """
    if n_prompts < 1:
        raise EvaluationError(
            "No prompts, no interval: a number of prompts from 1 on is needed for advice."
        )
    needed, more = prompts_for(asked, spread), prompts_for(asked, spread) - n_prompts
    rest = (
        f"±{_points(asked)} points take about {needed:,}, {more:,} more"
        if more > 0
        else f"that is within the ±{_points(asked)} asked for"
    )
    return (
        f"{n_prompts:,} prompts give a win rate to ±{_points(half_width(n_prompts, spread))} "
        f"points; {rest}. A policy less than "
        f"{_points(smallest_difference(n_prompts, spread))} points from 50% would be called "
        "no different more often than once in five."
    )


def _points(share: float) -> str:
    return f"{100 * share:.1f}"
