"""Means and shares over the examples of a run, with 95 % intervals, in little memory.

Examples of one prompt are not independent: intervals are bootstrapped over prompts, whose number
(`unit_of`) is stored beside each value.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cai.evaluation.stats.bootstrap import (
    Estimate,
    GrowingColumns,
    ratio_estimate,
    share_estimate,
)


@dataclass(slots=True)
class FactShares:
    """Yes-or-no facts about examples; nine bytes an example and one for each further fact."""

    units: "array[int]" = field(default_factory=lambda: array("q"))
    facts: dict[str, "array[int]"] = field(default_factory=dict[str, "array[int]"])

    def __len__(self) -> int:
        return len(self.units)

    def add(self, unit: int, facts: Mapping[str, bool]) -> None:
        """Adds an example; each must come with the same facts."""
        self.units.append(unit)
        for name, is_true in facts.items():
            self.facts.setdefault(name, array("b")).append(is_true)

    def share(self, name: str) -> float | None:
        return sum(self.facts[name]) / len(self) if len(self) else None

    def estimate(self, name: str) -> Estimate | None:
        """The share with its interval; None where nothing was added."""
        if not len(self):
            return None
        values = np.array(self.facts[name], np.float64)
        return share_estimate(values, np.ones(len(values)), np.array(self.units, np.int64), seed=0)


@dataclass(slots=True)
class Means:
    """Numbers by prompt; sixteen bytes each."""

    columns: GrowingColumns = field(default_factory=lambda: GrowingColumns(units="q", values="d"))

    def add(self, unit: int, value: float) -> None:
        self.columns.add(unit, value)

    def estimate(self) -> Estimate | None:
        """The mean with its interval over prompts; None without a number."""
        # Not `share_estimate`, whose exact interval at 0 and 1 is that of a share: a mean may be
        # anywhere.
        values, units = self.columns.floats("values"), self.columns.integers("units")
        return ratio_estimate(values, np.ones(len(values)), units, seed=0) if len(values) else None
