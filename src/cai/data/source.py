"""One reader for prompts, pairs and responses: one pass over the files to check, one to work.

Example:
    checked = PromptSource(("red-team.jsonl",)).check()    # reads every row, keeps counts alone
    print(checked.summary.describe())
    for id, prompt in checked.items():                     # reads the rows a second time
        ...

The first pass finds formats and columns, every bad row, the ids that clash, and a hash over the
content, before anything is paid for. The second one remembers formats and columns, and streams. So
a file is opened twice in all, and its size does not matter: of rows already read, only hashes stay.

The three kinds of item differ in an `ItemKind`, which is data, and in the `RowReader` that each
chooses for a table: which columns are read, and how a row becomes items.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from cai.data.formats import open_table
from cai.data.ids import Ids, origin_of, position_of
from cai.data.tables import FaultKind, Row, RowError, Table
from cai.errors import SourceError
from cai.types import content_hash

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)

BAD_ROWS_KEPT = 20

LabelValue = str | bool | None
"""What people say of an item; None where they say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemKind(Generic[T]):
    """What the reader has to know of an item, beside how rows become items.

    `id_texts` is what an id made from the content hashes, `other_texts` what else the hash of the
    source covers. `preference` gives a hash of what is compared, and which of two sides is the
    better one: rows that prefer different sides of the same comparison contradict each other.
    """

    noun: str
    with_id: Callable[[T, str], T]
    id_of: Callable[[T], str]
    id_texts: Callable[[T], list[str]]
    other_texts: Callable[[T], Iterable[str]] = lambda _: ()
    label: Callable[[T], LabelValue] = lambda _: None
    label_names: Mapping[LabelValue, str] = field(default_factory=dict[LabelValue, str])
    models: Callable[[T], Iterable[str]] = lambda _: ()
    preference: Callable[[T], tuple[int, int] | None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowReader(Generic[T]):
    """How the rows of one table become items, decided once from its columns and first rows.

    `parse` gives the items of a row without their ids, from the row and its origin, or raises
    `RowError`. `column` says what is read as a run's config names it, `description` as people read
    it, behind the number of items. `check_labels` is given the table's labels, counted.
    """

    kind: ItemKind[T]
    columns: tuple[str, ...]
    id_column: str | None
    parse: Callable[[Row, str], list[T]]
    column: str
    description: str
    check_labels: Callable[[Mapping[LabelValue, int]], None] = lambda _: None


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
    description: str

    def describe(self) -> str:
        """Such as: red-team.jsonl: 500 prompts from column 'prompt' (texts)."""
        return f"{self.name}: {self.description}"


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """What a full pass over a source counted.

    `column` says what was read: columns of files, or the texts of runs. `content_hash` covers all
    that can change a run, in the order of the items. `labels` counts items by what people say of
    them, `models` are those who gave responses, as far as anybody knows. Of the bad rows all are
    counted by kind, and the first few kept. `skipped` and `left_out` say why examples of a run, and
    responses of the others, are no items. `lines` is what `describe` has to say beside the tables.
    """

    names: tuple[str, ...]
    column: str
    n_items: int
    content_hash: str
    tables: tuple[TableSummary, ...] = ()
    lines: tuple[str, ...] = ()
    labels: Mapping[LabelValue, int] = field(default_factory=dict[LabelValue, int])
    models: frozenset[str] = frozenset()
    bad_kinds: Mapping[FaultKind, int] = field(default_factory=dict[FaultKind, int])
    bad_rows: tuple[BadRow, ...] = ()
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
        lines = [*(table.describe() for table in self.tables), *self.lines]
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
    """Files or hub data sets of one kind of item.

    `select` chooses how a table is read. Ids are unique over all files together.
    """

    names: tuple[str, ...]
    noun: str
    select: Callable[[Table], RowReader[T]]
    skip_bad_rows: bool = False

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
        # as many. So a wrong column of a later file is found after the rows of those before it.
        for part in self._parts():
            kind, found = part.reader.kind, Counter[LabelValue]()
            for item in scan.items(part):
                found[kind.label(item)] += 1
                models.update(filter(None, kind.models(item)))
                digest.add(kind.id_of(item), *kind.id_texts(item), *kind.other_texts(item))
            # Still inside the open file: labels that can be read in two ways are looked at again.
            part.reader.check_labels(found)
            labels += found
            parts.append(part)
            tables.append(part.summary(found.total()))
        if not labels:
            raise self._nothing_read(parts[0].reader.kind.noun, scan.bad_rows)
        return CheckedSource(
            SourceSummary(
                names=self.names,
                column=", ".join(sorted({part.reader.column for part in parts})),
                n_items=labels.total(),
                content_hash=digest.hex,
                tables=tuple(tables),
                lines=_label_lines(parts[0].reader.kind, labels),
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

    # Ids and contradictions are worked out in both passes: an id that is made from the content
    # depends on the rows before it, and to keep a million ids between the passes costs more.
    def _items(self, parts: "Iterable[_Part[T]]") -> Iterator[tuple[str, T]]:
        scan = _Scan[T](self.skip_bad_rows)
        for part in parts:
            for item in scan.items(part):
                yield part.reader.kind.id_of(item), item

    def _parts(self) -> "Iterator[_Part[T]]":
        """The files one after the other, each open while it is worked on."""
        if not self.names:
            raise SourceError(f"No source of {self.noun} is named. Give a file, or hub:owner/name.")
        for name in self.names:
            with open_table(name) as table:
                yield _Part(table, self.select(table))

    def _nothing_read(self, noun: str, bad_rows: Sequence[BadRow]) -> SourceError:
        names = ", ".join(self.names)
        if not bad_rows:
            return SourceError(f"{names}: holds no rows. Give a source with at least one {noun}.")
        first = bad_rows[0]
        return SourceError(
            f"{names}: no row is a {noun}; the first: {first.origin}: {first.reason}. "
            "Mend the source."
        )


@dataclass(frozen=True, slots=True)
class _Part(Generic[T]):
    """One file or data set, open, and how it is read."""

    table: Table
    reader: RowReader[T]

    def summary(self, n: int) -> TableSummary:
        count = f"{n} {self.reader.kind.noun}{'' if n == 1 else 's'}"
        description = f"{count}{self.reader.description}"
        return TableSummary(self.table.name, self.table.format, self.table.columns, n, description)


def _reopened(parts: "Iterable[_Part[T]]") -> "Iterator[_Part[T]]":
    for part in parts:
        with part.table.reopened() as table:
            yield replace(part, table=table)


class _Scan(Generic[T]):
    """One pass over the rows of several files: what is remembered of the rows already read.

    Of every item that prefers one side of a comparison two numbers stay, a hash and its position
    with the preference, so that a source of any size is read in one pass. A tie contradicts
    nothing, and rows that agree are no fault.
    """

    def __init__(self, skip_bad_rows: bool) -> None:
        self.bad_rows: list[BadRow] = []
        self.bad_kinds: Counter[FaultKind] = Counter()
        self._skip_bad_rows = skip_bad_rows
        self._tables: list[Table] = []
        self._ids = Ids(self._tables)
        self._preferences: dict[int, int] = {}

    def items(self, part: _Part[T]) -> Iterator[T]:
        """The items of every row of a file.

        Raises:
            SourceError: It cannot be read, or a row is bad and bad rows are not skipped.
        """
        table = part.table
        self._tables.append(table)  # positions of ids are told by the number of the table
        for number, row in table.rows(part.reader.columns):
            try:
                if isinstance(row, RowError):
                    raise row
                position = position_of(len(self._tables) - 1, number)
                items = self._parsed(part.reader, row, table.origin(number), position)
            except RowError as error:
                self._add_bad(BadRow(table.origin(number), str(error), error.kind))
            else:
                yield from items

    def _parsed(self, reader: RowReader[T], row: Row, origin: str, position: int) -> list[T]:
        kind, items = reader.kind, reader.parse(row, origin)
        preferences = [found for item in items if (found := kind.preference(item)) is not None]
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

    def _add_bad(self, row: BadRow) -> None:
        if not self._skip_bad_rows:
            raise SourceError(
                f"{row.origin}: {row.reason}. Mend the row, or pass --skip-bad-rows."
            ) from None
        self.bad_kinds[row.kind] += 1
        if len(self.bad_rows) < BAD_ROWS_KEPT:
            self.bad_rows.append(row)


def _label_lines(kind: ItemKind[T], labels: Mapping[LabelValue, int]) -> tuple[str, ...]:
    """Such as: labels: 12 A is better, 3 tie. No line for kinds whose labels have no names."""
    counts = [f"{labels[key]} {name}" for key, name in kind.label_names.items() if labels.get(key)]
    return (f"labels: {', '.join(counts)}",) if counts else ()


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
