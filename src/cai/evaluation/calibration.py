"""Whether probabilities mean what they say: the calibration curve, ECE and the Brier score.

`p_a` is the judge's probability that response A is better, `is_a` whether people say so; pairs that
people call even have no place here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cai.evaluation.bootstrap import Floats

N_BINS = 10

_EDGE = 1e-9  # 0.3 is 3 × 0.1 but for rounding: it belongs to the bin that begins there


@dataclass(frozen=True, slots=True)
class Bin:
    """The pairs with `low` ≤ p_a < `high` (the last bin holds 1 too); never an empty one."""

    low: float
    high: float
    n: int
    mean_p_a: float
    share_a: float

    @property
    def bounds(self) -> tuple[float, float]:
        """The 95 % interval of the share, of Wilson 1927, Journal of the ASA 22."""
        z2 = 1.96**2 / self.n
        middle = (self.share_a + z2 / 2) / (1 + z2)
        half = (self.share_a * (1 - self.share_a) * z2 + z2 * z2 / 4) ** 0.5 / (1 + z2)
        # rounding must not put the share outside of its own interval
        return max(0.0, min(middle - half, self.share_a)), min(
            1.0, max(middle + half, self.share_a)
        )


def calibration_curve(p_a: Floats, is_a: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Ten bins of equal width over p_a, without the empty ones."""
    places = np.clip(np.floor(p_a * N_BINS + _EDGE), 0, N_BINS - 1)
    bins: list[Bin] = []
    for place in range(N_BINS):
        inside = places == place
        n = int(inside.sum())
        if n:
            mean, share = float(p_a[inside].mean()), float(is_a[inside].mean())
            bins.append(Bin(place / N_BINS, (place + 1) / N_BINS, n, mean, share))
    return tuple(bins)


def ece(p_a: Floats, is_a: NDArray[np.bool_]) -> float | None:
    """The expected calibration error of the side that the judge favours, in [0, 1].

    Naeini et al. 2015 and Guo et al. 2017, arXiv:1706.04599, §2: the confidence is max(p, 1 − p),
    in ten bins of equal width over [1/2, 1]; the mean over pairs of |share right − mean confidence|
    of their bin. An even probability is right by one half. Exchanging the two responses of any pair
    changes nothing, so this form is the headline.
    """
    confidence = np.maximum(p_a, 1 - p_a)
    right = np.where(np.abs(p_a - 0.5) <= _EDGE, 0.5, (p_a > 0.5) == is_a)
    return _gap(confidence, right, 2 * confidence - 1)


def ece_by_side(p_a: Floats, is_a: NDArray[np.bool_]) -> float | None:
    """The same of p_a against the label a, in ten bins over [0, 1]: the curve's own error.

    It also grows where a judge leans towards A or B as such.
    """
    return _gap(p_a, is_a.astype(np.float64), p_a)


def brier(p_a: Floats, is_a: NDArray[np.bool_]) -> float | None:
    """The mean of (p_a − label)² in [0, 1]; always saying one half gives 1/4."""
    return float(np.mean((p_a - is_a) ** 2)) if len(p_a) else None


def _gap(said: Floats, came: Floats, place: Floats) -> float | None:
    """`place` in [0, 1] says the bin."""
    if not len(said):
        return None
    bins = np.clip(np.floor(place * N_BINS + _EDGE), 0, N_BINS - 1).astype(np.int64)
    gaps = np.bincount(bins, came - said, N_BINS)
    return float(np.abs(gaps).sum() / len(said))
