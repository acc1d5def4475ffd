"""A row a figure and a column a policy, in as many tables as eighty columns take."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from rich.table import Table

from cai.cli.console import printable
from cai.cli.tables import named, plain_table

WIDTH = 80
_GAP = 2  # between columns

Row: TypeAlias = tuple[str, Sequence[str]]
"""What the figures are, and one of each policy."""


def policy_tables(names: Sequence[str], rows: Sequence[Row]) -> Iterator[Table]:
    """All rows for the first policies that fit beside each other, then for the next ones."""
    shown = [printable(name) for name in names]
    label = max((len(said) for said, _ in rows), default=0)
    widths = [max([len(name), *(len(cells[i]) for _, cells in rows)]) + _GAP
              for i, name in enumerate(shown)]  # fmt: skip
    start = 0
    while start < len(names):
        end = start + 1
        while end < len(names) and label + _GAP + sum(widths[start : end + 1]) <= WIDTH:
            end += 1
        table = plain_table("", *shown[start:end])
        for said, cells in rows:
            table.add_row(named(said), *cells[start:end])
        yield table
        start = end
