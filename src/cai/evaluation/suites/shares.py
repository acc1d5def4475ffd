"""Means of values in [0, 1] by name and category, with 95 % intervals by prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cai.evaluation.stats.bootstrap import (
    Estimate,
    Floats,
    bootstrap_interval,
    share_estimate,
    sums_by_unit,
)

# Of the resamples: the same rows always have the same interval.
SEED = 0

FAILED = "failed"

Row = tuple[int, float]


@dataclass(slots=True)
class PromptShares:
    """Values in [0, 1], each of a prompt, by the figure that is their mean, and by category.

    `marks` are the figures reported on a scale from 1 to 10.
    """

    marks: frozenset[str] = frozenset()
    _rows: dict[str, dict[str, list[Row]]] = field(default_factory=dict[str, dict[str, list[Row]]])

    def add(self, figure: str, unit: int, value: float, group: str = "") -> None:
        """Adds a prompt's value; `unit` is the prompt's number, `group` its category if any."""
        by_group = self._rows.setdefault(figure, {"": []})
        by_group[""].append((unit, value))
        if group:
            by_group.setdefault(group, []).append((unit, value))

    def add_failed(self, n_done: int, n_failed: int) -> None:
        """Adds the share of examples that failed."""
        # Failures are counted without their prompts, so the units are made up: one an example.
        for number in range(n_done + n_failed):
            self.add(FAILED, number, float(number < n_failed))

    @property
    def n_prompts(self) -> int:
        """The number of prompts with a value: after a limit, fewer than in the file."""
        figures = (rows[""] for figure, rows in self._rows.items() if figure != FAILED)
        return len({unit for rows in figures for unit, _ in rows})

    def estimates(self) -> Mapping[str, Estimate]:
        """Each figure in the order of its first value, followed by those of its categories."""
        found: dict[str, Estimate] = {}
        for name, rows in self._named().items():
            units = np.array([unit for unit, _ in rows], dtype=np.int64)
            values = np.array([value for _, value in rows], dtype=np.float64)
            mean = share_estimate(values, np.ones(len(rows)), units, SEED)
            if mean is not None:
                found[name] = self._scaled(name, mean, start=1.0)
        return found

    def less(self, other: "PromptShares") -> Mapping[str, Estimate]:
        """By how much each figure is above that of the other, over the prompts that both have.

        The interval is that of the difference: a prompt is drawn with both its values, so that its
        difficulty cancels out. The share of failures has no prompts, and is left out.
        """
        own, others = self._named(), other._named()
        found: dict[str, Estimate] = {}
        for name, rows in own.items():
            if name != FAILED and name in others:
                difference = _difference(others[name], rows)
                if difference is not None:
                    found[name] = self._scaled(name, difference, start=0.0)
        return found

    def _named(self) -> Mapping[str, Sequence[Row]]:
        """The rows of each figure, and of its categories where there is more than one."""
        found: dict[str, Sequence[Row]] = {}
        for figure, by_group in self._rows.items():
            groups = sorted(set(by_group) - {""})
            found[figure] = by_group[""]
            if len(groups) > 1:
                found |= {f"{figure}: {each}": by_group[each] for each in groups}
        return found

    def _scaled(self, name: str, share: Estimate, start: float) -> Estimate:
        """A mark on its scale, from `start` over nine points; other figures unchanged."""
        if name.partition(": ")[0] not in self.marks:
            return share
        low, high = (None if end is None else start + 9 * end for end in (share.low, share.high))
        return replace(share, value=start + 9 * share.value, low=low, high=high)


def _difference(before: Sequence[Row], after: Sequence[Row]) -> Estimate | None:
    """The mean of `after` less that of `before`; None where no prompt is in both."""
    common = {unit for unit, _ in before} & {unit for unit, _ in after}
    if not common:
        return None
    # Four columns: sum and count before, sum and count after. A resample of prompts is a sum of
    # their rows, and its difference a function of that sum alone.
    rows = [(unit, [value, 1.0, 0.0, 0.0]) for unit, value in before if unit in common]
    rows += [(unit, [0.0, 0.0, value, 1.0]) for unit, value in after if unit in common]

    def difference(sums: Floats) -> Floats:
        return sums[:, 2] / sums[:, 3] - sums[:, 0] / sums[:, 1]

    units = np.array([unit for unit, _ in rows], dtype=np.int64)
    sums = sums_by_unit(units, np.array([sums for _, sums in rows]))
    if len(common) == 1:
        # `sums_by_unit` returns the rows of a single unit, of which each lacks one of the sides
        sums = sums.sum(axis=0, keepdims=True)
    value = float(difference(sums.sum(axis=0, keepdims=True))[0])
    interval = bootstrap_interval(sums, difference, SEED)
    return Estimate(value, len(common), *(interval or (None, None)))
