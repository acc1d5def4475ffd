"""One reader for prompts, pairs and responses: one pass over the files to check, one to work.

The name of a file decides its format.

Example:
    checked = PromptSource(("red-team.jsonl",)).check()    # reads every row, stores only counts
    print(checked.summary.describe())
    for id, prompt in checked.items():                     # reads the rows a second time
        ...

The first pass detects formats and columns, every bad row, the ids that clash, and a hash over the
content, before anything is paid for. The second one reuses formats and columns, and streams. So a
file is opened twice in all, and its size does not matter: only hashes of earlier rows are stored.

The three kinds of item differ in an `ItemKind`, which is data, and in the `RowReader` that each
chooses for a table: which columns are read, and how a row becomes items.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

from cai.data.ids import Ids, origin_of, position_of
from cai.data.open_table import open_table
from cai.data.roles import RoleNames
from cai.data.row_metadata import metadata_of
from cai.data.tables import FaultKind, Row, RowError, Table
from cai.errors import SourceError
from cai.types import content_hash

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)

MAX_BAD_ROWS = 20  # all bad rows are counted; of the others neither place nor reason is stored

LabelValue = str | bool | None  # a label written by people; None for an item without one
Preference = tuple[int, int]  # a hash of two sides of a comparison, and the better one's index


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemKind(Generic[T]):
    """What the reader has to know of an item, beside how rows become items."""

    noun: str
    with_id: Callable[[T, str], T]
    with_metadata: Callable[[T, str], T] = lambda item, _: item
    id_of: Callable[[T], str]
    id_texts: Callable[[T], list[str]]  # what an id made from the content hashes
    other_texts: Callable[[T], Iterable[str]] = lambda _: ()  # what else the source's hash covers
    label: Callable[[T], LabelValue] = lambda _: None
    label_names: Mapping[LabelValue, str] = field(default_factory=dict[LabelValue, str])
    models: Callable[[T], Iterable[str]] = lambda _: ()
    # Rows that prefer different sides of the same comparison contradict each other.
    preference: Callable[[T], Preference | None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowReader(Generic[T]):
    """How the rows of one table become items, decided once from its columns and first rows."""

    kind: ItemKind[T]
    table: Table  # as it is read: in another shape than its file, where the rows are grouped
    columns: tuple[str, ...]
    id_column: str | None
    # From a row and its origin to its items, as yet without ids; raises RowError.
    parse: Callable[[Row, str], list[T]]
    column: str  # what is read, as the config of a run names it
    description: str  # the same for people, to go after the number of items
    # Called with the table's labels, counted, while the file is open; raises SourceError.
    check_labels: Callable[[Mapping[LabelValue, int]], None] = lambda _: None
    answers: tuple[str, ...] = ()  # columns with old responses, which are not kept as metadata

    @property
    def metadata_columns(self) -> tuple[str, ...]:
        """The columns that hold nothing of the item itself, and are kept beside it."""
        taken = {*self.columns, *self.answers}
        return tuple(name for name in self.table.columns if name not in taken)


_Part: TypeAlias = tuple[Table, RowReader[T]]  # an open file or data set, and how it is read


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used: where it is and what is wrong with it."""

    origin: str
    reason: str
    kind: FaultKind


@dataclass(frozen=True, slots=True)
class TableSummary:
    """What one file or data set holds, and how it is read."""

    name: str
    format: str
    columns: tuple[str, ...]
    n_items: int
    description: str  # such as: 500 prompts from column 'prompt' (texts)


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """What a full pass over a source counted."""

    names: tuple[str, ...]
    column: str  # what was read: columns of files, or the texts of runs
    n_items: int
    content_hash: str  # over all that can change a run, in the order of the items
    tables: tuple[TableSummary, ...] = ()
    lines: tuple[str, ...] = ()  # what `describe` adds to the lines of the tables
    labels: Mapping[LabelValue, int] = field(default_factory=dict[LabelValue, int])
    models: frozenset[str] = frozenset()  # those that gave the responses, where known
    bad_kinds: Mapping[FaultKind, int] = field(default_factory=dict[FaultKind, int])
    bad_rows: tuple[BadRow, ...] = ()  # the first few
    # Of earlier runs: why examples, and responses of the other examples, are not items.
    skipped: Mapping[str, int] = field(default_factory=dict[str, int])
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def n_labelled(self) -> int:
        return sum(n for label, n in self.labels.items() if label is not None)

    @property
    def n_bad(self) -> int:
        return sum(self.bad_kinds.values())

    def describe(self) -> str:
        """A line for each table, then those of labels, of bad rows and of what else is skipped."""
        lines = [f"{table.name}: {table.description}" for table in self.tables]
        lines += self.lines
        if self.bad_kinds:
            by_count = sorted(self.bad_kinds.items(), key=lambda item: (-item[1], item[0]))
            counts = ", ".join(f"{n} {kind}" for kind, n in by_count)
            lines.append(f"{self.n_bad} row{'' if self.n_bad == 1 else 's'} skipped: {counts}")
        return "\n".join(lines)


class ItemSource(Protocol[T_co]):
    """Where the items of a run come from: files or earlier runs, checked already or not."""

    def check(self) -> "CheckedSource[T_co]":
        """What there is, after reading all of it."""
        ...


@dataclass(frozen=True, slots=True)
class CheckedSource(Generic[T_co]):
    """A source that was read to its end; `items` reads it again, each item with its id."""

    summary: SourceSummary
    items: Callable[[], Iterator[tuple[str, T_co]]]

    def check(self) -> "CheckedSource[T_co]":
        """The same: what is checked needs no second pass."""
        return self

    def mapped(self, convert: Callable[[T_co], U]) -> "CheckedSource[U]":
        """The same source with every item converted."""
        return CheckedSource(
            self.summary, lambda: ((id, convert(item)) for id, item in self.items())
        )


@dataclass(frozen=True, slots=True)
class FileSource(Generic[T]):
    """Files or hub data sets of one kind of item; ids are unique over all files together."""

    names: tuple[str, ...]
    noun: str
    select: Callable[[Table], RowReader[T]]  # chooses how a table is read
    skip_bad_rows: bool = False
    roles: RoleNames = ()

    def check(self) -> CheckedSource[T]:
        """What the files hold, after reading them to the end.

        Raises:
            UsageError: The options of `select` do not go together.
            SourceError: A file cannot be read, none of its rows is an item, or a row is bad and bad
                rows are not skipped.
        """
        scan, digest = _Scan[T](self.skip_bad_rows), Digest()
        labels, models = Counter[LabelValue](), set[str]()
        parts, tables = list[_Part[T]](), list[TableSummary]()
        # One file is open at a time: a source may be a thousand shards, and a process may not open
        # as many. So a wrong column of a later file is reported after the rows of those before it.
        for table, reader in self._parts():
            kind, table_labels = reader.kind, Counter[LabelValue]()
            for item in scan.items(table, reader):
                table_labels[kind.label(item)] += 1
                models.update(filter(None, kind.models(item)))
                digest.add(kind.id_of(item), *kind.id_texts(item), *kind.other_texts(item))
            # Still inside the open file: ambiguous labels are read a second time.
            reader.check_labels(table_labels)
            labels += table_labels
            parts.append((table, reader))
            n = table_labels.total()
            count = f"{n} {kind.noun}{'' if n == 1 else 's'}{reader.description}"
            tables.append(TableSummary(table.name, table.format, table.columns, n, count))
        kind, names = parts[0][1].kind, ", ".join(self.names)
        if not labels and scan.bad_rows:
            first = scan.bad_rows[0]
            raise SourceError(
                f"{names}: no row is a {kind.noun}; the first: {first.origin}: {first.reason}. "
                "Fix the source."
            )
        if not labels:
            raise SourceError(f"{names}: has no rows. Give a source with at least one {kind.noun}.")
        counts = [f"{labels[key]} {name}" for key, name in kind.label_names.items() if labels[key]]
        return CheckedSource(
            SourceSummary(
                names=self.names,
                column=", ".join(sorted({reader.column for _, reader in parts})),
                n_items=labels.total(),
                content_hash=digest.hex,
                tables=tuple(tables),
                lines=(f"labels: {', '.join(counts)}",) if counts else (),
                labels=dict(labels),
                models=frozenset(models),
                bad_kinds=dict(scan.bad_kinds),
                bad_rows=tuple(scan.bad_rows),
            ),
            lambda: self._items(_reopened(parts)),
        )

    def read(self) -> Iterator[T]:
        """The items without a check before: one pass, streamed. Raises as `check`."""
        return (item for _, item in self._items(self._parts()))

    # Ids and contradictions are computed in both passes: an id that is made from the content
    # depends on the rows before it, and storing a million ids between the passes costs more.
    def _items(self, parts: "Iterable[_Part[T]]") -> Iterator[tuple[str, T]]:
        scan = _Scan[T](self.skip_bad_rows)
        for table, reader in parts:
            for item in scan.items(table, reader):
                yield reader.kind.id_of(item), item

    def _parts(self) -> "Iterator[_Part[T]]":
        """The files one after the other, each open until the next one is requested."""
        if not self.names:
            raise SourceError(f"No source of {self.noun} is named. Give a file, or hub:owner/name.")
        for name in self.names:
            with open_table(name, self.roles) as table:
                reader = self.select(table)
                yield reader.table, reader


def _reopened(parts: "Iterable[_Part[T]]") -> "Iterator[_Part[T]]":
    for part, reader in parts:
        with part.reopened() as table:
            yield table, reader


class _Scan(Generic[T]):
    """One pass over the rows of several files: what is stored of the rows already read.

    For every item that prefers one side of a comparison two numbers are stored, a hash and its
    position with the preference, so that a source of any size is read in one pass. A tie
    contradicts nothing, and rows that agree are accepted.
    """

    def __init__(self, skip_bad_rows: bool) -> None:
        self.bad_rows: list[BadRow] = []
        self.bad_kinds: Counter[FaultKind] = Counter()
        self._skip_bad_rows = skip_bad_rows
        self._tables: list[Table] = []
        self._ids = Ids(self._tables)
        self._preferences: dict[int, int] = {}

    def items(self, table: Table, reader: RowReader[T]) -> Iterator[T]:
        """The items of every row of a file.

        Raises:
            SourceError: It cannot be read, or a row is bad and bad rows are not skipped.
        """
        self._tables.append(table)  # the position of an id has the index of its table
        others = reader.metadata_columns
        for number, row in table.rows((*reader.columns, *others)):
            try:
                if isinstance(row, RowError):
                    raise row
                position = position_of(len(self._tables) - 1, number)
                items = self._parsed(reader, row, table.origin(number), position)
                if others and (metadata := metadata_of(row, others)):
                    items = [reader.kind.with_metadata(item, metadata) for item in items]
            except RowError as error:
                origin = table.origin(number)
                if not self._skip_bad_rows:
                    raise SourceError(
                        f"{origin}: {error}. Fix the row, or pass --skip-bad-rows."
                    ) from None
                self.bad_kinds[error.kind] += 1
                if len(self.bad_rows) < MAX_BAD_ROWS:
                    self.bad_rows.append(BadRow(origin, str(error), error.kind))
            else:
                yield from items

    def _parsed(self, reader: RowReader[T], row: Row, origin: str, position: int) -> list[T]:
        kind, items = reader.kind, reader.parse(row, origin)
        preferences = [pair for item in items if (pair := kind.preference(item)) is not None]
        for key, side in preferences:
            # The lowest bit is the side, the others the position of the row that prefers it.
            known = self._preferences.get(key)
            if known is not None and known & 1 != side:
                raise RowError(
                    "prefers the other one of two responses to the same prompt than "
                    f"{origin_of(self._tables, known >> 1)}",
                    "contradiction",
                )
        texts = [kind.id_texts(item) for item in items]
        ids = self._ids.name(row, reader.id_column, texts, position)
        # Only now is the row known to be good: what a bad row says contradicts nothing.
        for key, side in preferences:
            self._preferences.setdefault(key, position << 1 | side)
        return [kind.with_id(item, id) for item, id in zip(items, ids, strict=True)]


class Digest:
    """A hash over contents, each a row of texts, in their order."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=6)

    def add(self, *texts: str) -> None:
        self._hash.update(content_hash(*texts).encode())

    @property
    def hex(self) -> str:
        """Twelve hex digits, as `content_hash`."""
        return self._hash.hexdigest()
