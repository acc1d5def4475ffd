"""Estimates with 95 % confidence intervals, by resampling whole prompts.

The bootstrap of Efron 1979, Annals of Statistics 7, over clusters: prompts are drawn with
replacement, each with all its pairs, since pairs of one prompt are not independent. The limits are
bias-corrected and accelerated: BCa of Efron 1987, Journal of the American Statistical Association
82, which is right where a statistic is skewed, as a share near 1 is. For n clusters the normal
quantile is replaced by that of Student's t on n − 1 degrees of freedom times √(n / (n − 1)), the
expanded percentile of Hesterberg 2015, The American Statistician 69: plain percentiles are too
narrow by that factor.

Where all pairs are of one prompt its pairs are drawn, and the interval holds for that prompt alone.
`GrowingColumns` holds the values of a large evaluation until they are resampled.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

import itertools
import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cai.types import Prompt, content_hash

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
# From rows of sums, one row a resample, to one number a row (or one row of numbers).
Statistic: TypeAlias = Callable[[Floats], Floats]
Interval: TypeAlias = tuple[float, float]

LEVEL = 0.95
N_RESAMPLES = 2000

# `scipy.stats.bootstrap` has no clusters: it resamples single observations, calls the statistic on
# the rows of every resample, and does not expand the percentile. Here a statistic is a function of
# sums, so a resample is a vector of counts times a matrix. On unclustered data the two agree, which
# a test checks.

_BLOCK_CELLS = 200_000  # of the counts of one block of resamples: what a processor's cache holds
_MAX_DISTINCT = 4000
_FEW = 5  # units; below, there are at most 256 resamples
_TOLERANCE = 1e-9  # resamples that differ by less are the same
_MIN_TAIL = 1e-4  # no quantile of 2,000 resamples further out means anything
_MAX_BIAS = 1.0  # standard errors; a larger one comes of too few distinct resamples
_MAX_ACCELERATION = 0.2


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over `n` items and its 95 % confidence interval.

    The interval is None where resampling cannot tell: one pair alone, or all prompts alike.
    """

    value: float
    n: int
    low: float | None = None
    high: float | None = None


def unit_of(prompt: Prompt) -> int:
    """The sampling unit (cluster) of a prompt: 48 bits, the same for all its pairs."""
    # By content, since the ids of a file of pairs often differ between pairs of one prompt, which
    # would then count as independent and make the intervals too narrow.
    turns = prompt.messages
    return int(content_hash(*(part for turn in turns for part in (turn.role, turn.content))), 16)


def share_estimate(won: Floats, n: Floats, units: Integers, seed: int) -> Estimate | None:
    """The sum of `won` over the sum of `n`, in [0, 1]; None where `n` sums to nothing.

    All three arrays have one entry a row; rows of the same unit are resampled together.

    Example:
        won = np.array([1.0, 0.5, 0.0, 1.0])  # wins, with a tie as one half
        units = np.array([7, 7, 8, 9])  # four matches on three prompts
        estimate = share_estimate(won, np.ones(4), units, seed=0)
        assert estimate is not None
        print(estimate.value, estimate.low, estimate.high)
    """
    total = float(n.sum())
    if total <= 0:
        return None
    value = float(won.sum()) / total
    kept = n > 0
    sums = sums_by_unit(units[kept], np.column_stack((won[kept], n[kept])))
    if value in (0.0, 1.0):
        # All resamples of a share of exactly 0 or 1 are alike, so they give no interval. The exact
        # one of Clopper and Pearson 1934, Biometrika 26, counts a unit as one draw.
        exact = stats.binomtest(round(value) * len(sums), len(sums)).proportion_ci(LEVEL, "exact")
        return Estimate(value, round(total), float(exact.low), float(exact.high))
    interval = bootstrap_interval(sums, lambda rows: rows[:, 0] / rows[:, 1], seed)
    return Estimate(value, round(total), *(interval or (None, None)))


def wilson_estimate(n_true: int, n: int) -> Estimate:
    """The share of `n_true` among `n` independent items, with the interval of Wilson 1927.

    Journal of the American Statistical Association 22; defined at shares of 0 and 1 too.
    """
    interval = stats.binomtest(n_true, n).proportion_ci(LEVEL, "wilson")
    return Estimate(n_true / n, n, float(interval.low), float(interval.high))


def ratio_estimate(totals: Floats, weights: Floats, units: Integers, seed: int) -> Estimate:
    """The sum of the totals over that of the weights, over all rows; any number, unlike a share.

    The arrays are as those of `share_estimate`; the weights must not sum to 0.
    """
    sums = sums_by_unit(units, np.column_stack((totals, weights)))
    interval = bootstrap_interval(sums, lambda rows: rows[:, 0] / rows[:, 1], seed)
    value = float(totals.sum() / weights.sum())
    return Estimate(value, len(totals), *(interval or (None, None)))


def kappa_estimate(confusion: Floats, units: Integers, seed: int) -> Estimate | None:
    """Cohen's kappa of two raters over all rows; None where chance alone would agree always.

    `confusion` has shape (n, k²): each row is one pair's k × k table of counts, flattened, usually
    a single 1.
    """
    sums = sums_by_unit(units, confusion)
    value = float(cohens_kappa(sums.sum(axis=0, keepdims=True))[0])
    if np.isnan(value):
        return None
    interval = bootstrap_interval(sums, cohens_kappa, seed)
    return Estimate(value, round(float(confusion.sum())), *(interval or (None, None)))


def cohens_kappa(tables: Floats) -> Floats:
    """Cohen's kappa of each row, a flattened k × k table; nan where chance agreement is 1.

    Cohen 1960, Educational and Psychological Measurement 20: (p_o − p_e) / (1 − p_e).
    """
    # The libraries (`statsmodels.stats.inter_rater`, `sklearn.metrics`) take one table a call, and
    # raise or divide by zero where chance agreement is 1; a bootstrap needs thousands at once.
    k = round(tables.shape[1] ** 0.5)
    cube = tables.reshape(-1, k, k)
    n = cube.sum(axis=(1, 2))
    observed = np.trace(cube, axis1=1, axis2=2) / np.maximum(n, 1)
    expected = (cube.sum(axis=2) * cube.sum(axis=1)).sum(axis=1) / np.maximum(n, 1) ** 2
    room = 1 - expected
    is_defined = (n > 0) & (room > 1e-12)
    return np.where(is_defined, (observed - expected) / np.where(is_defined, room, 1), np.nan)


def bootstrap_interval(
    sums: Floats, statistic: Statistic, seed: int, n_resamples: int = N_RESAMPLES
) -> Interval | None:
    """The 95 % interval of a statistic of summed rows, each row a unit's sums.

    As `bootstrap_intervals`, for a statistic that gives one number a row.
    """
    return bootstrap_intervals(sums, lambda rows: statistic(rows)[:, None], seed, n_resamples)[0]


def bootstrap_intervals(
    sums: Floats, statistics: Statistic, seed: int, n_resamples: int = N_RESAMPLES
) -> tuple[Interval | None, ...]:
    """The 95 % intervals of several statistics of the same resamples.

    `sums` has shape (units, m); `statistics` takes sums of shape (r, m) and gives (r, statistics).
    Resamples in which a statistic is undefined (nan) are left out for it. An interval is None where
    all resamples agree, or most are undefined.
    """
    rng = np.random.default_rng(seed)
    distinct, row_of, counts = _distinct_rows(sums, rng)
    total = counts.astype(np.float64) @ distinct
    values = statistics(total[None, :])[0]
    if len(distinct) < 2:
        return (None,) * len(values)
    # Leaving out any unit with the same row gives the same value: one jackknife value a row.
    jackknife = statistics(total - distinct)
    drawn = _resamples(rng, distinct, row_of, counts, n_resamples)
    resampled = np.concatenate([statistics(rows) for rows in drawn])
    return tuple(
        _interval(float(value), resampled[:, column], jackknife[:, column], counts)
        for column, value in enumerate(values)
    )


def resampled_shares(sums: Floats, conditions: Statistic, seed: int) -> Floats:
    """The share of resamples in which each condition holds, over those of `bootstrap_intervals`.

    `conditions` takes sums of shape (r, m) and gives (r, conditions) of 0 and 1.
    """
    rng = np.random.default_rng(seed)
    drawn = _resamples(rng, *_distinct_rows(sums, rng), N_RESAMPLES)
    return np.concatenate([conditions(rows) for rows in drawn]).mean(axis=0)


def sums_by_unit(units: Integers, rows: Floats) -> Floats:
    """The rows of each unit added up, of shape (units, m). Of one unit alone, its rows."""
    distinct, places = np.unique(units, return_inverse=True)
    if len(distinct) == 1:
        return rows
    return np.column_stack(
        [np.bincount(places, column, len(distinct)) for column in rows.T]
    ).astype(np.float64)


def _distinct_rows(sums: Floats, rng: np.random.Generator) -> tuple[Floats, Integers, Integers]:
    """The distinct rows, which of them each unit has, and how many units have each."""
    # Wins and losses give few distinct rows however many prompts there are, and drawing how often
    # each row occurs is drawing the units. Thousands of distinct rows are put at random into as
    # many groups as are quick to draw; a group then replaces a unit, and the variance is the same
    # but for chance.
    distinct, row_of, counts = np.unique(sums, axis=0, return_inverse=True, return_counts=True)
    if len(distinct) > _MAX_DISTINCT:
        groups = rng.permutation(len(sums)) % _MAX_DISTINCT
        return _distinct_rows(sums_by_unit(groups, sums), rng)
    return distinct, row_of, counts


def _resamples(
    rng: np.random.Generator, distinct: Floats, row_of: Integers, counts: Integers, n_resamples: int
) -> Iterator[Floats]:
    """The sums of each resample, in blocks of shape (r, m)."""
    n = len(row_of)
    if n < _FEW:
        # all of them, each as likely as any other: quantiles far out are then exact
        all_drawn = np.array(list(itertools.product(row_of.tolist(), repeat=n)))
        yield distinct[all_drawn].sum(axis=1)
        return
    block = max(1, _BLOCK_CELLS // max(n, distinct.shape[1]))
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        yield _resampled_counts(rng, row_of, counts, size).astype(np.float64) @ distinct


def _resampled_counts(
    rng: np.random.Generator, row_of: Integers, counts: Integers, size: int
) -> Integers:
    """How often each distinct row occurs in each of `size` resamples: shape (size, distinct)."""
    # A multinomial draw is quick for few distinct rows, counting drawn units for many.
    n, n_distinct = len(row_of), len(counts)
    if n > 8 * n_distinct:
        return rng.multinomial(n, counts / n, size=size)
    drawn = row_of[rng.integers(n, size=(size, n), dtype=np.int32)]
    # one `bincount` for all resamples: each has a range of cells to itself
    cells = drawn + n_distinct * np.arange(size)[:, None]
    return np.bincount(cells.ravel(), minlength=size * n_distinct).reshape(size, n_distinct)


def _interval(
    value: float, resampled: Floats, jackknife: Floats, counts: Integers
) -> Interval | None:
    is_defined = ~np.isnan(jackknife)
    n_resamples, resampled = len(resampled), resampled[~np.isnan(resampled)]
    if np.isnan(value) or len(resampled) < n_resamples / 2 or not is_defined.any():
        return None
    if np.ptp(resampled) <= _TOLERANCE * max(1.0, abs(value)):
        return None
    return bca_interval(value, resampled, jackknife[is_defined], counts[is_defined])


def bca_interval(
    value: float, resampled: Floats, jackknife: Floats, counts: Integers
) -> tuple[float, float]:
    """The 95 % interval around `value`, from the `resampled` values of the statistic.

    `jackknife` has the values without one unit each, `counts` for how many units each stands; they
    add up to two or more. Neither array of values has a nan.
    """
    z = expanded_quantile(int(counts.sum()))
    bias = _bias_correction(value, resampled)
    acceleration = _acceleration(jackknife, counts)
    shifted = [
        # the floor keeps the order of the limits, which Efron's formula loses at its pole
        bias + (bias + each) / max(1 - acceleration * (bias + each), 0.1)
        for each in (-z, z)
    ]
    tails = np.clip(stats.norm.cdf(shifted), _MIN_TAIL, 1 - _MIN_TAIL)
    # of a few values, all of which are known, no quantile lies between two
    method = "inverted_cdf" if counts.sum() < _FEW else "linear"
    low, high = np.percentile(resampled, 100 * tails, method=method)
    return float(low), float(high)


def expanded_quantile(n: int) -> float:
    """√(n / (n − 1)) times the 97.5 % quantile of t on n − 1 degrees of freedom, above 1.96.

    `n` is 2 or more.
    """
    return float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * math.sqrt(n / (n - 1))


def _bias_correction(value: float, resampled: Floats) -> float:
    """z₀, the normal quantile of the share of resamples below the value; equal ones count half."""
    # a sum in another order differs in the last digits, and is still the same resample
    near = 1e-12 * max(1.0, abs(value))
    below = float((resampled < value - near).mean())
    equal = float((np.abs(resampled - value) <= near).mean())
    share = min(max(below + equal / 2, _MIN_TAIL), 1 - _MIN_TAIL)
    return min(max(float(stats.norm.ppf(share)), -_MAX_BIAS), _MAX_BIAS)


def _acceleration(jackknife: Floats, counts: Integers) -> float:
    """A sixth of the skewness of the jackknife's influence values."""
    influence = np.average(jackknife, weights=counts) - jackknife
    variance = float((counts * influence**2).sum())
    if variance <= 0:
        return 0.0
    acceleration = float((counts * influence**3).sum()) / (6 * variance**1.5)
    return min(max(acceleration, -_MAX_ACCELERATION), _MAX_ACCELERATION)


class GrowingColumns:
    """Named columns, each with a type code of the module `array`; None is stored as nan."""

    # A judged set may have millions of verdicts. A Python float in a list takes 32 bytes, and a
    # NumPy array cannot grow in place.
    def __init__(self, **types: Literal["b", "l", "q", "f", "d"]) -> None:
        self._columns: dict[str, array[Any]] = {name: array(code) for name, code in types.items()}

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def add(self, *row: float | None) -> None:
        """Adds a row, its values in the order of the columns."""
        for column, value in zip(self._columns.values(), row, strict=True):
            column.append(float("nan") if value is None else value)

    def integers(self, name: str) -> Integers:
        return np.array(self._columns[name], np.int64)

    def floats(self, name: str) -> Floats:
        return np.array(self._columns[name], np.float64)
