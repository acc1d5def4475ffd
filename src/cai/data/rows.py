"""What the readers of prompts, pairs and responses share: ids, bad rows and how both are told.

Where each id stands, for millions of ids: a hash table in two arrays, 16 bytes a slot.

A dict of the same takes a hundred bytes an id. Open addressing with linear probing (Knuth, "The Art
of Computer Programming", vol. 3, §6.4), at most two thirds full.
"""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from cai.data.conversations import read_text
from cai.data.tables import HEAD_ROWS, FaultKind, Row, RowError, Table
from cai.errors import SourceError
from cai.types import Conversation, content_hash

_FIRST_SLOTS = 1024
_MASK = 2**64 - 1


class Places:
    """Places by id. An id is known by the 64 bits of its hash."""

    def __init__(self) -> None:
        self._n = 0
        self._keys = array("Q", bytes(8 * _FIRST_SLOTS))  # 0 is a free slot
        self._places = array("Q", bytes(8 * _FIRST_SLOTS))

    def first(self, id: str, place: int) -> int | None:
        """The place that was given for the id before; None where this is the first one."""
        key = (hash(id) & _MASK) or 1
        slot = self._slot(key)
        if self._keys[slot]:
            return self._places[slot]
        self._keys[slot], self._places[slot] = key, place
        self._n += 1
        if 3 * self._n > 2 * len(self._keys):
            self._grow()
        return None

    def _slot(self, key: int) -> int:
        """Where the key is, or the free slot where it belongs."""
        keys, last = self._keys, len(self._keys) - 1
        slot = key & last
        while keys[slot] not in (0, key):
            slot = (slot + 1) & last
        return slot

    def _grow(self) -> None:
        before = zip(self._keys, self._places, strict=True)
        n_slots = 2 * len(self._keys)
        self._keys, self._places = (array("Q", bytes(8 * n_slots)) for _ in range(2))
        for key, place in before:
            if key:
                slot = self._slot(key)
                self._keys[slot], self._places[slot] = key, place


BAD_ROWS_KEPT = 20

Sources = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used: where it is and what is wrong with it."""

    origin: str
    reason: str
    kind: FaultKind

    @property
    def error(self) -> SourceError:
        """What a reader raises that does not pass over bad rows."""
        return SourceError(f"{self.origin}: {self.reason}. Mend the row, or pass --skip-bad-rows.")


@dataclass(slots=True)
class BadRows:
    """The bad rows of a pass: where they are skipped, all are counted and the first few kept."""

    is_skipping: bool
    n: int = 0
    kinds: Counter[FaultKind] = field(default_factory=Counter[FaultKind])
    first: list[BadRow] = field(default_factory=list[BadRow])

    def add(self, row: BadRow) -> None:
        """Counts the row.

        Raises:
            SourceError: Bad rows are not skipped.
        """
        if not self.is_skipping:
            raise row.error from None
        self.n += 1
        self.kinds[row.kind] += 1
        if self.n <= BAD_ROWS_KEPT:
            self.first.append(row)


def describe_kinds(kinds: Mapping[FaultKind, int]) -> str:
    """Such as: 3 rows skipped: 2 no shared prompt, 1 blank."""
    n = sum(kinds.values())
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=_by_count))
    return f"{n} row{'' if n == 1 else 's'} skipped: {counts}"


def _by_count(item: tuple[FaultKind, int]) -> tuple[int, str]:
    return -item[1], item[0]


_ROW_BITS = 48


def place_of(part: int, number: int) -> int:
    """The number of a part and that of a row in it, as one integer."""
    return part << _ROW_BITS | number


def origin_of(tables: Sequence[Table], place: int) -> str:
    """Where the row of a place stands."""
    return tables[place >> _ROW_BITS].origin(place & ((1 << _ROW_BITS) - 1))


class Ids:
    """The ids given so far in all tables, each with its place."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tables
        self._places = Places()
        self._repeats: Counter[str] = Counter()

    def name(
        self, row: Row, column: str | None, contents: Sequence[Sequence[str]], place: int
    ) -> list[str]:
        """The ids of a row's items, of which `contents` has the texts.

        They come from the row's own id, behind which several items are numbered, or without a
        column for it from the texts.

        Raises:
            RowError: The row's id is none, or another has it.
        """
        if column is None:
            return [self._derive(texts, place) for texts in contents]
        id = self._claim(_given(row.get(column), column), place)
        if len(contents) == 1:
            return [id]
        return [self._claim(f"{id}.{number}", place) for number in range(1, len(contents) + 1)]

    def _claim(self, id: str, place: int) -> str:
        """The same id, which no other row has.

        Raises:
            RowError: Another has it.
        """
        first = self._places.first(id, place)
        if first is not None:
            raise RowError(
                f"the id {id!r:.100} is already that of {origin_of(self._tables, first)}; "
                "ids must be unique (--id-column '' makes them from the content)",
                "wrong id",
            )
        return id

    def _derive(self, texts: Sequence[str], place: int) -> str:
        """An id made from the content; the second and third of one content get `-2`, `-3`."""
        base = id = content_hash(*texts)
        while self._places.first(id, place) is not None:
            self._repeats[base] += 1
            id = f"{base}-{self._repeats[base] + 1}"
        return id


def _given(value: object, label: str) -> str:
    """The id in a row's id column: a text that is not blank, or an integer.

    Raises:
        RowError: It is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    try:
        id = read_text(value, label)
    except RowError as error:
        raise RowError(str(error), "wrong id") from None
    if not id.strip():
        raise RowError(f"{label!r} is blank, and each row needs an id of its own", "wrong id")
    return id


def texts_of(messages: Conversation) -> list[str]:
    """Roles and contents in turn: what a conversation's hash is made of."""
    return [text for message in messages for text in (message.role, message.content)]


def source_names(sources: Sources, noun: str) -> list[str]:
    """The names of the sources, of which there must be one.

    Raises:
        SourceError: There is none.
    """
    names = [sources] if isinstance(sources, str | Path) else sources
    if not names:
        raise SourceError(f"No source of {noun} is named. Give a file, or hub:owner/name.")
    return [str(name) for name in names]


def head_rows(table: Table, columns: Sequence[str]) -> list[Row]:
    """The first rows, without those that cannot be read."""
    head = islice(table.rows(columns), HEAD_ROWS)
    return [row for _, row in head if not isinstance(row, RowError)]


def nothing_read(names: Sequence[str], bad_rows: Sequence[BadRow], noun: str) -> SourceError:
    """What a reader raises that found not one row it can use."""
    listed = ", ".join(names)
    if not bad_rows:
        return SourceError(f"{listed}: holds no rows. Give a source with at least one {noun}.")
    first = bad_rows[0]
    return SourceError(
        f"{listed}: no row is a {noun}; the first: {first.origin}: {first.reason}. Mend the source."
    )
