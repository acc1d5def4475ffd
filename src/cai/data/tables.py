"""A source as numbered rows: the one form that every file format and hub data set is brought to.

with open_table("red-team.jsonl") as table:     # cai.data.formats: detects format and columns
Example:
    head = table.head(["prompt"])
    for number, row in table.rows(["prompt"]):  # from the first row again, in the same open file
        print(table.origin(number), row)
with table.reopened() as again:                 # opens the file a second time, detects nothing
    rows = again.rows(["prompt"])
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal, Protocol

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
    """Why one row cannot be used; outside of `cai.data` it is a `BadRow` or a `SourceError`."""

    def __init__(self, reason: str, kind: FaultKind = "unreadable row") -> None:
        super().__init__(reason)
        self.kind: FaultKind = kind


NumberedRows = Iterator[tuple[int, Row | RowError]]


class TableFile(Protocol):
    """An open file or data set, with a class for each format."""

    def table(self) -> "Table":
        """Its columns, detected from the first rows.

        Raises:
            SourceError: It is not of the format that its name says.
        """
        ...

    def rows(self, columns: Sequence[str]) -> NumberedRows:
        """At least those columns of each row, from the first row on; one iteration at a time."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Table:
    """A source whose format and columns are known, and its rows while it is open.

    A row's number is its first line, counted from 1, where `by_line`, else its index, counted from
    0. `only_column` is the column of a source that knows but one, such as a list of texts. `open`
    opens the source once more.
    """

    name: str
    format: str
    columns: tuple[str, ...]
    # Two tables of one file are equal, whichever time it was opened.
    rows: Callable[[Sequence[str]], NumberedRows] = field(compare=False, repr=False)
    open: Callable[[], TableFile] = field(compare=False, repr=False)
    by_line: bool = False
    only_column: str = ""

    def origin(self, number: int) -> str:
        """Where a row stands: `file.jsonl:17` for a line, `file.json[16]` for an index."""
        return f"{self.name}:{number}" if self.by_line else f"{self.name}[{number}]"

    def head(self, columns: Sequence[str]) -> list[Row]:
        """The first rows, without those that cannot be read."""
        first = islice(self.rows(columns), HEAD_ROWS)
        return [row for _, row in first if not isinstance(row, RowError)]

    @contextmanager
    def reopened(self) -> "Generator[Table]":
        """The same table in a newly opened file; format and columns are not detected again."""
        with closing(self.open()) as file:
            yield replace(self, rows=file.rows)
