"""Named shares that are summed up row by row, and their 95 % intervals by prompt."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cai.evaluation.bootstrap import Estimate, Floats, share_estimate

SEED = 0
"""Of the resamples: the same rows always have the same interval."""

Row = tuple[int, float]


def grouped(figure: str, group: str) -> str:
    """The name of a figure among the prompts of one category."""
    return f"{figure}: {group}"


@dataclass(slots=True)
class Shares:
    """Values in [0, 1], each of a prompt, by the figure that is their mean, and by category."""

    _rows: dict[str, dict[str, list[Row]]] = field(default_factory=dict[str, dict[str, list[Row]]])

    def add(self, figure: str, unit: int, value: float, group: str = "") -> None:
        """A value of a prompt, `unit` by number, and its category where it has one."""
        by_group = self._rows.setdefault(figure, {"": []})
        by_group[""].append((unit, value))
        if group:
            by_group.setdefault(group, []).append((unit, value))

    def estimates(self) -> Mapping[str, Estimate]:
        """Each figure in the order in which they came first, those of its categories behind it.

        Where there is but one category, its figures would be the same, and are left out.
        """
        found: dict[str, Estimate | None] = {}
        for figure, by_group in self._rows.items():
            groups = sorted(set(by_group) - {""})
            found[figure] = mean_of(by_group[""])
            if len(groups) > 1:
                found |= {grouped(figure, each): mean_of(by_group[each]) for each in groups}
        return {name: each for name, each in found.items() if each is not None}


def mean_of(rows: list[Row]) -> Estimate | None:
    """The mean of the values; prompts are drawn again, each with all its values."""
    units = np.array([unit for unit, _ in rows], dtype=np.int64)
    values: Floats = np.array([value for _, value in rows], dtype=np.float64)
    return share_estimate(values, np.ones(len(rows)), units, SEED)


def failed_share(n_done: int, n_failed: int) -> Estimate | None:
    """The share of examples that failed."""
    return mean_of([(place, float(place < n_failed)) for place in range(n_done + n_failed)])
