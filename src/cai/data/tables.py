"""A source as numbered rows: the one form that every file format and hub data set is brought to.

Example:
    with open_table("red-team.jsonl") as table:     # cai.data.source: detects format and columns
        head = table.head(["prompt"])
        for number, row in table.rows(["prompt"]):  # from the first row again, in the same file
            print(table.origin(number), row)
    with table.reopened() as again:                 # opens the file again, detects nothing
        rows = again.rows(["prompt"])
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal, Protocol

# How many rows are read to detect which columns a source has and what they hold.
HEAD_ROWS = 50

Row = dict[str, object]
FaultKind = Literal[
    "unreadable row",
    "missing",
    "blank",
    "malformed",  # a wrong type, or a conversation without the turns that are needed
    "wrong label",
    "equal sides",
    "third option",
    "no shared prompt",
    "contradiction",
    "wrong id",
]


class RowError(Exception):
    """Why one row cannot be used; outside of `cai.data` it is a `BadRow` or a `SourceError`."""

    def __init__(self, reason: str, kind: FaultKind = "unreadable row") -> None:
        super().__init__(reason)
        self.kind: FaultKind = kind


# A row that cannot be read is an item and not raised: a generator that raises cannot go on to the
# rows after it, and bad rows may be skipped.
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
class TableShape:
    """How the rows of a table are brought to another shape, and from which of its columns."""

    convert: Callable[[NumberedRows], NumberedRows]
    needs: tuple[str, ...] = ()  # (): those that are asked for


@dataclass(frozen=True, slots=True)
class Table:
    """A source whose format and columns are known, and its rows while it is open."""

    name: str
    format: str
    columns: tuple[str, ...]
    # Two tables of one file are equal, whichever time it was opened.
    read: Callable[[Sequence[str]], NumberedRows] = field(compare=False, repr=False)
    open: Callable[[], TableFile] = field(compare=False, repr=False)  # opens the source again
    by_line: bool = False  # rows are numbered by their first line, from 1, else from 0
    only_column: str = ""  # the column of a source that has but one, such as a list of texts
    shapes: tuple[TableShape, ...] = field(default=(), compare=False, repr=False)

    def rows(self, columns: Sequence[str]) -> NumberedRows:
        """At least those columns of each row, from the first row on; one iteration at a time."""
        for shape in reversed(self.shapes):
            columns = shape.needs or columns
        rows = self.read(columns)
        for shape in self.shapes:
            rows = shape.convert(rows)
        return rows

    def shaped(self, shape: TableShape, columns: Sequence[str] = ()) -> "Table":
        """The same table in that shape; with other columns, where these are named."""
        named = tuple(columns) or self.columns
        return replace(self, columns=named, shapes=(*self.shapes, shape))

    def origin(self, number: int) -> str:
        """Where a row is: `file.jsonl:17` for a line, `file.json[16]` for an index."""
        return f"{self.name}:{number}" if self.by_line else f"{self.name}[{number}]"

    def head(self, columns: Sequence[str]) -> list[Row]:
        """The first rows, without those that cannot be read."""
        first = islice(self.rows(columns), HEAD_ROWS)
        return [row for _, row in first if not isinstance(row, RowError)]

    @contextmanager
    def reopened(self) -> "Generator[Table]":
        """The same table in a newly opened file; format and columns are not detected again."""
        with closing(self.open()) as file:
            yield replace(self, read=file.rows)
