"""Figures with 95 % intervals, by resampling whole prompts.

The percentile bootstrap of Efron 1979, Annals of Statistics 7, over clusters: what is drawn again
with replacement are the prompts, each with all its pairs, since pairs of one prompt are not
independent. Where all pairs are of one prompt its pairs are drawn, and the interval holds for that
prompt alone. Numpy is imported above: only what evaluates imports this file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cai.types import Prompt, content_hash

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Figure: TypeAlias = Callable[[Floats], Floats]

N_RESAMPLES = 2000
LEVEL = 0.95

_CELLS = 2_000_000  # of one block of resamples: 16 MB


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
) -> tuple[float, float] | None:
    """The 95 % percentile interval of a figure of summed rows, each row a unit's sums.

    Units with equal rows are one kind: a resample is a multinomial draw of how often each kind
    comes, which is the same distribution and takes no more memory than there are kinds. Resamples
    in which the figure is not defined are left out. None where all resamples agree.
    """
    kinds, counts = np.unique(sums, axis=0, return_counts=True)
    if len(kinds) < 2:
        return None
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // len(kinds))
    found: list[Floats] = []
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        drawn = rng.multinomial(len(sums), counts / len(sums), size=size)
        found.append(figure(drawn.astype(np.float64) @ kinds))
    figures = np.concatenate(found)
    figures = figures[~np.isnan(figures)]
    if len(figures) < n_resamples / 2 or figures.min() == figures.max():
        return None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(figures, [tail, 100 - tail])
    return float(low), float(high)


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


def _with_interval(value: float, n: int, interval: tuple[float, float] | None) -> Estimate:
    return Estimate(value, n) if interval is None else Estimate(value, n, *interval)
