"""Figures with 95 % intervals, by resampling whole prompts.

The bootstrap of Efron 1979, Annals of Statistics 7, over clusters: what is drawn again with
replacement are the prompts, each with all its pairs, since pairs of one prompt are not independent.
`bca` makes the interval of what is drawn. Where all pairs are of one prompt its pairs are drawn,
and the interval holds for that prompt alone. Numpy is imported above: only what evaluates imports
this file.

The interval that resampled figures give: bias-corrected, accelerated, and widened for few units.

BCa of Efron 1987, Journal of the American Statistical Association 82, which is right where a figure
is skewed, as a share near 1 is. For n units the normal quantile gives way to that of Student's t on
n − 1 degrees times √(n / (n − 1)), the expanded percentile of Hesterberg 2015, The American
Statistician 69: plain percentiles are too narrow by as much.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cai.types import Prompt, content_hash

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


Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Figure: TypeAlias = Callable[[Floats], Floats]
Interval: TypeAlias = tuple[float, float]

N_RESAMPLES = 2000

_CELLS = 200_000  # of one block of resamples: what a processor keeps at hand
_MOST_KINDS = 4000
_NOISE = 1e-9  # resamples that differ by less are the same


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over `n` items and its 95 % interval.

    The interval is None where resampling cannot tell: one pair alone, or all prompts alike.
    """

    value: float
    n: int
    low: float | None = None
    high: float | None = None


def unit_of(prompt: Prompt) -> int:
    """A number of 48 bits that is the same for every pair of the same conversation.

    The ids of a file of pairs often tell pairs of one prompt apart; its words do not.
    """
    turns = prompt.messages
    return int(content_hash(*(part for turn in turns for part in (turn.role, turn.content))), 16)


def share_estimate(won: Floats, n: Floats, units: Integers, seed: int) -> Estimate | None:
    """The sum of `won` over the sum of `n`, in [0, 1]; None where there is nothing to share.

    Rows of the same unit are drawn together. A share of exactly 0 or 1 would have no interval by
    resampling; it gets the exact bounds of Clopper and Pearson 1934, Biometrika 26, for as many
    draws as there are units.
    """
    total = float(n.sum())
    if total <= 0:
        return None
    value = float(won.sum()) / total
    kept = n > 0
    sums = sums_by_unit(units[kept], np.column_stack((won[kept], n[kept])))
    if value in (0.0, 1.0):
        bound = ((1 - LEVEL) / 2) ** (1 / len(sums))
        low, high = (0.0, 1 - bound) if value == 0 else (bound, 1.0)
        return Estimate(value, round(total), low, high)
    return _with_interval(value, round(total), bootstrap(sums, _share, seed))


def kappa_estimate(confusion: Floats, units: Integers, seed: int) -> Estimate | None:
    """Cohen's kappa of two raters over all rows; None where chance alone would agree always.

    Each row is one pair's k × k table of counts, flattened: usually a single 1.
    """
    sums = sums_by_unit(units, confusion)
    value = float(kappa(sums.sum(axis=0, keepdims=True))[0])
    if np.isnan(value):
        return None
    n = round(float(confusion.sum()))
    return _with_interval(value, n, bootstrap(sums, kappa, seed))


def kappa(tables: Floats) -> Floats:
    """Cohen's kappa of each row, a flattened k × k table; nan where chance agreement is 1.

    Cohen 1960, Educational and Psychological Measurement 20: (p_o − p_e) / (1 − p_e).
    """
    k = round(tables.shape[1] ** 0.5)
    cube = tables.reshape(-1, k, k)
    n = cube.sum(axis=(1, 2))
    observed = np.trace(cube, axis1=1, axis2=2) / np.maximum(n, 1)
    expected = (cube.sum(axis=2) * cube.sum(axis=1)).sum(axis=1) / np.maximum(n, 1) ** 2
    spread = 1 - expected
    is_defined = (n > 0) & (spread > 1e-12)
    return np.where(is_defined, (observed - expected) / np.where(is_defined, spread, 1), np.nan)


def bootstrap(
    sums: Floats, figure: Figure, seed: int, n_resamples: int = N_RESAMPLES
) -> Interval | None:
    """The 95 % interval of a figure of summed rows, each row a unit's sums; see `bootstrap_all`."""
    return bootstrap_all(sums, lambda rows: figure(rows)[:, None], seed, n_resamples)[0]


def bootstrap_all(
    sums: Floats, figures: Figure, seed: int, n_resamples: int = N_RESAMPLES
) -> tuple[Interval | None, ...]:
    """The 95 % intervals of several figures of the same resamples.

    `figures` takes rows of sums and gives a row of figures for each. Resamples in which a figure is
    not defined, nan, are left out for it. None where all resamples agree, or most are undefined.
    """
    rng = np.random.default_rng(seed)
    kinds, kind_of, counts = _kinds(sums, rng)
    total = counts.astype(np.float64) @ kinds
    values = figures(total[None, :])[0]
    if len(kinds) < 2:
        return (None,) * len(values)
    left_out = figures(total - kinds)
    found: list[Floats] = []
    block = max(1, _CELLS // max(len(kind_of), sums.shape[1]))
    for start in range(0, n_resamples, block):
        drawn = _draws(rng, kind_of, counts, min(block, n_resamples - start))
        found.append(figures(drawn.astype(np.float64) @ kinds))
    resampled = np.concatenate(found)
    return tuple(
        _interval(float(value), resampled[:, place], left_out[:, place], counts)
        for place, value in enumerate(values)
    )


def _kinds(sums: Floats, rng: np.random.Generator) -> tuple[Floats, Integers, Integers]:
    """Units with equal rows are one kind: the kinds, the kind of each unit, and their counts.

    Thousands of kinds are thrown together at random into as many groups as are quick to draw; a
    group then takes the place of a unit, and the variance is the same but for chance.
    """
    kinds, kind_of, counts = np.unique(sums, axis=0, return_inverse=True, return_counts=True)
    if len(kinds) > _MOST_KINDS:
        groups = rng.permutation(len(sums)) % _MOST_KINDS
        return _kinds(sums_by_unit(groups, sums), rng)
    return kinds, kind_of, counts


def _draws(rng: np.random.Generator, kind_of: Integers, counts: Integers, size: int) -> Integers:
    """How often each kind comes in each of `size` resamples, of shape (size, kinds).

    A multinomial draw, quick for few kinds, or counting drawn units, quick for many.
    """
    n, n_kinds = len(kind_of), len(counts)
    if n > 8 * n_kinds:
        return rng.multinomial(n, counts / n, size=size)
    drawn = kind_of[rng.integers(n, size=(size, n), dtype=np.int32)]
    cells = drawn + n_kinds * np.arange(size)[:, None]
    return np.bincount(cells.ravel(), minlength=size * n_kinds).reshape(size, n_kinds)


def _interval(
    value: float, resampled: Floats, left_out: Floats, counts: Integers
) -> Interval | None:
    is_left = ~np.isnan(left_out)
    n_resamples, resampled = len(resampled), resampled[~np.isnan(resampled)]
    if np.isnan(value) or len(resampled) < n_resamples / 2 or not is_left.any():
        return None
    if np.ptp(resampled) <= _NOISE * max(1.0, abs(value)):
        return None
    return bca_interval(value, resampled, left_out[is_left], counts[is_left])


def sums_by_unit(units: Integers, rows: Floats) -> Floats:
    """The rows of each unit added up; one row a unit. Of one unit alone, its rows."""
    distinct, places = np.unique(units, return_inverse=True)
    if len(distinct) == 1:
        return rows
    return np.column_stack(
        [np.bincount(places, column, len(distinct)) for column in rows.T]
    ).astype(np.float64)


def _share(sums: Floats) -> Floats:
    return sums[:, 0] / sums[:, 1]


def _with_interval(value: float, n: int, interval: Interval | None) -> Estimate:
    return Estimate(value, n) if interval is None else Estimate(value, n, *interval)
