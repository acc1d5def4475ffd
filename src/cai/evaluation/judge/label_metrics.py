"""Metrics of a judge against labels of people: accuracy, kappa, and calibration.

A labelled pair takes some twenty bytes. Unreadable verdicts are in the counts and in no other
figure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from cai.evaluation.stats.bootstrap import (
    Estimate,
    Floats,
    GrowingColumns,
    Integers,
    kappa_estimate,
    share_estimate,
)
from cai.evaluation.stats.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    NO_SIDE,
    Bin,
    accuracy_points,
    apply_temperature,
    brier,
    calibration_curve,
    confusion_rows,
    ece,
    ece_by_side,
    fit_temperature,
    temperature_interval,
)
from cai.methods.judging.verdict import UNREADABLE, Label, Outcome

# Outcomes and labels are stored as indices into these; the unreadable outcomes come last.
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
READABLE: tuple[Outcome, ...] = tuple(each for each in OUTCOMES if each not in UNREADABLE)
LABELS: tuple[Label, ...] = get_args(Label)

# A probability within rounding of one half favours no side.
_EVEN = 1e-6
_N_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """A judge against the labels of `n` pairs of `n_prompts` prompts; None where undefined.

    `outcomes` has every outcome and adds up to `n`; `coverage` is the share of the `n_readable`.
    `accuracy` is over readable verdicts on pairs of which people prefer a side; a tie or an
    inconsistent verdict is half right. `accuracy_of_sides` is over verdicts that name a side.
    `kappa` is over readable verdicts in the three categories a, b and no side, and includes the
    `n_label_ties` pairs that people call even. `ece`, `ece_by_side` and `brier` are over the pairs
    of `accuracy`.
    """

    n: int
    n_prompts: int
    n_readable: int
    n_label_ties: int
    outcomes: Mapping[Outcome, int]
    coverage: float | None
    accuracy: Estimate | None
    accuracy_of_sides: float | None
    kappa: Estimate | None
    ece: float | None
    ece_by_side: float | None
    brier: float | None


@dataclass(frozen=True, slots=True)
class Tempering:
    """The temperature of a judge's probabilities that fits the labels, with its 95 % interval.

    `ece` is that of pairs whose prompts had no part in the fit: each fifth of the prompts at the
    temperature that fits the other four. None, as the interval, where all pairs are of one prompt.
    """

    temperature: float
    low: float | None
    high: float | None
    ece: float | None


class LabelSeries:
    """Labelled pairs with their verdicts; grows by `add`."""

    def __init__(self) -> None:
        self._columns = GrowingColumns(units="q", labels="b", outcomes="b", p_a="d")

    def __len__(self) -> int:
        return len(self._columns)

    def add(self, unit: int, label: Label, outcome: Outcome, p_a: float | None) -> None:
        self._columns.add(unit, LABELS.index(label), OUTCOMES.index(outcome), p_a)

    def figures(self, seed: int, rows: Sequence[int] | None = None) -> Figures:
        """The figures of all pairs, or of those in these rows."""
        table = self._table()
        if rows is not None:
            table = table.at(np.asarray(rows, np.int64))
        readable, sided = table.readable, table.sided
        points = accuracy_points(sided.labels, sided.verdicts)
        named = points[sided.verdicts != NO_SIDE]
        is_a = sided.labels == 0
        counts = np.bincount(table.outcomes, minlength=len(OUTCOMES)).tolist()
        confusion = confusion_rows(readable.labels, readable.verdicts)
        return Figures(
            n=len(table.units),
            n_prompts=len(np.unique(table.units)),
            n_readable=len(readable.units),
            n_label_ties=int((table.labels == NO_SIDE).sum()),
            outcomes=dict(zip(OUTCOMES, counts, strict=True)),
            coverage=len(readable.units) / len(table.units) if len(table.units) else None,
            accuracy=share_estimate(points, np.ones(len(points)), sided.units, seed),
            accuracy_of_sides=float(named.mean()) if len(named) else None,
            kappa=kappa_estimate(confusion, readable.units, seed),
            ece=ece(sided.p_a, is_a),
            ece_by_side=ece_by_side(sided.p_a, is_a),
            brier=brier(sided.p_a, is_a),
        )

    def curve(self) -> tuple[Bin, ...]:
        """The calibration curve over readable verdicts on pairs of which people prefer a side."""
        sided = self._table().sided
        return calibration_curve(sided.p_a, sided.labels == 0)

    def tempering(self) -> Tempering | None:
        """The temperature over the pairs of the curve; None where none fits.

        None fits where the judge favours a side of no pair, is right on every one (the best
        temperature is 0), or is no better than chance (the best is infinite).
        """
        sided = self._table().sided
        is_a = sided.labels == 0
        if not (np.abs(sided.p_a - 0.5) > _EVEN).any():
            return None
        temperature = fit_temperature(sided.p_a.tolist(), is_a.tolist())
        # A fit that ends at a bound of the search has no optimum inside it.
        if not 1.01 * MIN_TEMPERATURE < temperature < 0.99 * MAX_TEMPERATURE:
            return None
        interval = temperature_interval(sided.p_a, is_a, sided.units, temperature)
        low, high = interval or (None, None)
        return Tempering(temperature, low, high, _cross_fitted_ece(sided, is_a))

    def label_counts(self) -> Mapping[Label, int]:
        labels = self._columns.integers("labels")
        return {label: int((labels == code).sum()) for code, label in enumerate(LABELS)}

    def _table(self) -> "_Table":
        units, labels, outcomes = map(self._columns.integers, ("units", "labels", "outcomes"))
        return _Table(units, labels, outcomes, self._columns.floats("p_a"))


def _cross_fitted_ece(sided: "_Table", is_a: NDArray[np.bool_]) -> float | None:
    """The ECE of pairs at the temperature that fits the pairs of other prompts."""
    distinct, places = np.unique(sided.units, return_inverse=True)
    if len(distinct) < 2:
        return None
    # Units are hashes, so that their order has nothing to do with the labels.
    fold_of = places % min(_N_FOLDS, len(distinct))
    p_a = sided.p_a.copy()
    for fold in np.unique(fold_of):
        is_in = fold_of == fold
        others = sided.p_a[~is_in]
        # where the judge favours a side of no other pair, there is nothing to fit
        if (np.abs(others - 0.5) > _EVEN).any():
            temperature = fit_temperature(others.tolist(), is_a[~is_in].tolist())
            p_a[is_in] = [apply_temperature(p, temperature) for p in p_a[is_in].tolist()]
    return ece(p_a, is_a)


@dataclass(frozen=True, slots=True)
class _Table:
    units: Integers
    labels: Integers
    outcomes: Integers
    p_a: Floats

    def at(self, rows: Integers) -> "_Table":
        return _Table(self.units[rows], self.labels[rows], self.outcomes[rows], self.p_a[rows])

    @property
    def readable(self) -> "_Table":
        return self.at(np.flatnonzero(self.outcomes < len(READABLE)))

    @property
    def sided(self) -> "_Table":
        """Readable verdicts on pairs of which people prefer a side."""
        readable = self.readable
        return readable.at(np.flatnonzero(readable.labels != NO_SIDE))

    @property
    def verdicts(self) -> Integers:
        """0 for a, 1 for b, 2 for neither."""
        # `OUTCOMES` begins with a, b, tie, inconsistent: the latter two are one category here.
        return np.minimum(self.outcomes, NO_SIDE)
