"""A source as numbered rows: the one form that every file format and hub data set is brought to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

HEAD_ROWS = 50
"""How many rows are looked at to learn which columns a source has and what they hold."""

Row = dict[str, object]


FaultKind = Literal[
    "unreadable row",
    "missing",
    "blank",
    "malformed",
    "wrong label",
    "equal sides",
    "third option",
    "no shared prompt",
    "contradiction",
    "wrong id",
]
"""What can be wrong with a row; `malformed` is a wrong type, or a conversation that is none."""


class RowError(Exception):
    """Why one row cannot be used; outside of `sources/` it is a `BadRow` or a `SourceError`."""

    def __init__(self, reason: str, kind: FaultKind = "unreadable row") -> None:
        super().__init__(reason)
        self.kind: FaultKind = kind


NumberedRows = Iterator[tuple[int, Row | RowError]]


@dataclass(frozen=True, slots=True)
class Table:
    """A source that can be read any number of times.

    `rows(columns)` reads it from the start. It gives at least those columns of each row, with the
    row's number: its first line, counted from 1, where `by_line`, else its place, counted from 0.
    `only_column` is the column of a source that knows but one, such as a list of texts.
    """

    name: str
    form: str
    columns: tuple[str, ...]
    rows: Callable[[Sequence[str]], NumberedRows]
    by_line: bool = False
    only_column: str = ""

    def origin(self, number: int) -> str:
        """Where a row stands: `file.jsonl:17` for a line, `file.json[16]` for a place."""
        return f"{self.name}:{number}" if self.by_line else f"{self.name}[{number}]"
