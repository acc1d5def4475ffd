"""Columns of numbers that grow row by row, at one to eight bytes a value.

Example:
    columns = GrowingColumns(units="q", p="d")
    columns.add(7, None)
    print(columns.integers("units"), columns.floats("p"))  # [7] [nan]
"""

from array import array
from typing import Any, Literal

import numpy as np

from cai.evaluation.stats.bootstrap import Floats, Integers


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
