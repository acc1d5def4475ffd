"""Ratings of several policies from their matches, on the scale of Elo."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rating:
    """A policy's rating in points of Elo above the anchor, with its 95 % interval.

    400 points are odds of ten to one. The anchor has 0 and no interval. `value` is None where no
    chain of matches connects the policy with the anchor.
    """

    policy: str
    n: int
    value: float | None
    low: float | None = None
    high: float | None = None
