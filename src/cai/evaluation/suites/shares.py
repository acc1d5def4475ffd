"""Named shares that are summed up row by row, and their 95 % intervals by prompt."""

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

SEED = 0
"""Of the resamples: the same rows always have the same interval."""

FAILED = "failed"

Row = tuple[int, float]


def grouped(figure: str, group: str) -> str:
    """The name of a figure among the prompts of one category."""
    return f"{figure}: {group}"


@dataclass(slots=True)
class PromptShares:
    """Values in [0, 1], each of a prompt, by the figure that is their mean, and by category.

    `marks` are the figures that are told from 1 to 10.
    """

    marks: frozenset[str] = frozenset()
    _rows: dict[str, dict[str, list[Row]]] = field(default_factory=dict[str, dict[str, list[Row]]])

    def add(self, figure: str, unit: int, value: float, group: str = "") -> None:
        """A value of a prompt, `unit` by number, and its category where it has one."""
        by_group = self._rows.setdefault(figure, {"": []})
        by_group[""].append((unit, value))
        if group:
            by_group.setdefault(group, []).append((unit, value))

    def add_failed(self, n_done: int, n_failed: int) -> None:
        """The share of examples that failed; of which prompt each is does not matter."""
        for place in range(n_done + n_failed):
            self.add(FAILED, place, float(place < n_failed))

    @property
    def n_prompts(self) -> int:
        """How many prompts there is a value of, as after a limit not all of the file have one."""
        return len(
            {
                unit
                for figure, by_group in self._rows.items()
                if figure != FAILED
                for unit, _ in by_group[""]
            }
        )

    def estimates(self) -> Mapping[str, Estimate]:
        """Each figure in the order in which they came first, those of its categories behind it."""
        found: dict[str, Estimate] = {}
        for name, rows in self._named().items():
            mean = _mean(rows)
            if mean is not None:
                found[name] = _scaled(mean, self._span(name), start=float(self._is_mark(name)))
        return found

    def less(self, other: "PromptShares") -> Mapping[str, Estimate]:
        """By how much each figure is above that of the other, over the prompts that both have.

        The interval is that of the difference: a prompt is drawn with both its values, so that what
        makes it hard or easy for both cancels out. Failures are no prompts, and are left out.
        """
        mine, others = self._named(), other._named()
        found: dict[str, Estimate] = {}
        for name in mine:
            difference = _difference(others[name], mine[name]) if name in others else None
            if name != FAILED and difference is not None:
                found[name] = _scaled(difference, self._span(name))
        return found

    def _named(self) -> Mapping[str, Sequence[Row]]:
        """The rows of each figure, and of its categories where there is more than one."""
        found: dict[str, Sequence[Row]] = {}
        for figure, by_group in self._rows.items():
            groups = sorted(set(by_group) - {""})
            found[figure] = by_group[""]
            if len(groups) > 1:
                found |= {grouped(figure, each): by_group[each] for each in groups}
        return found

    def _is_mark(self, name: str) -> bool:
        return name.partition(": ")[0] in self.marks

    def _span(self, name: str) -> float:
        return 9.0 if self._is_mark(name) else 1.0


def _mean(rows: Sequence[Row]) -> Estimate | None:
    units = np.array([unit for unit, _ in rows], dtype=np.int64)
    values = np.array([value for _, value in rows], dtype=np.float64)
    return share_estimate(values, np.ones(len(rows)), units, SEED)


def _difference(before: Sequence[Row], after: Sequence[Row]) -> Estimate | None:
    """The mean of the one less that of the other; None where no prompt is in both."""
    common = {unit for unit, _ in before} & {unit for unit, _ in after}
    rows = [(unit, [value, 1.0, 0.0, 0.0]) for unit, value in before if unit in common]
    rows += [(unit, [0.0, 0.0, value, 1.0]) for unit, value in after if unit in common]
    if not common:
        return None
    units = np.array([unit for unit, _ in rows], dtype=np.int64)
    sums = sums_by_unit(units, np.array([sums for _, sums in rows]))
    if len(common) == 1:
        sums = sums.sum(axis=0, keepdims=True)
    value = float(_gap(sums.sum(axis=0, keepdims=True))[0])
    low, high = bootstrap_interval(sums, _gap, SEED) or (None, None)
    return Estimate(value, len(common), low, high)


def _gap(sums: Floats) -> Floats:
    return sums[:, 2] / sums[:, 3] - sums[:, 0] / sums[:, 1]


def _scaled(estimate: Estimate, span: float, start: float = 0.0) -> Estimate:
    """The same on another scale."""
    low, high = (
        None if end is None else start + span * end for end in (estimate.low, estimate.high)
    )
    return replace(estimate, value=start + span * estimate.value, low=low, high=high)
