"""Ids of items: given by their rows or made from the content, unique over all files of a source.

An id of the content is twelve hex digits, which stay the same when rows are moved or others come
and go. The second and third item of one content get `-2`, `-3`.
"""

from array import array
from collections import Counter
from collections.abc import Sequence

from cai.data.conversations import read_text
from cai.data.tables import Row, RowError, Table
from cai.types import content_hash

_FIRST_SLOTS = 1024
_MASK = 2**64 - 1


class IdPositions:
    """Where each id was first seen, for millions of ids: a hash table of 16 bytes a slot.

    An id is known by the 64 bits of its hash. A dict of the same takes a hundred bytes an id. Open
    addressing with linear probing (Knuth, "The Art of Computer Programming", vol. 3, §6.4), at most
    two thirds full.
    """

    def __init__(self) -> None:
        self._n = 0
        self._keys = array("Q", bytes(8 * _FIRST_SLOTS))  # 0 is a free slot
        self._positions = array("Q", bytes(8 * _FIRST_SLOTS))

    def first(self, id: str, position: int) -> int | None:
        """The position given for the id before; None where this is the first one."""
        key = (hash(id) & _MASK) or 1
        slot = self._slot(key)
        if self._keys[slot]:
            return self._positions[slot]
        self._keys[slot], self._positions[slot] = key, position
        self._n += 1
        # Beyond two thirds the runs of taken slots become long, and each look-up walks one.
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
        before = zip(self._keys, self._positions, strict=True)
        n_slots = 2 * len(self._keys)
        self._keys, self._positions = (array("Q", bytes(8 * n_slots)) for _ in range(2))
        for key, position in before:
            if key:
                slot = self._slot(key)
                self._keys[slot], self._positions[slot] = key, position


_ROW_BITS = 48


def position_of(part: int, number: int) -> int:
    """The number of a part and that of a row in it, as one integer."""
    return part << _ROW_BITS | number


def origin_of(tables: Sequence[Table], position: int) -> str:
    """Where the row of a position stands."""
    return tables[position >> _ROW_BITS].origin(position & ((1 << _ROW_BITS) - 1))


class Ids:
    """The ids given so far in all tables, each with its position."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tables
        self._positions = IdPositions()
        self._repeats: Counter[str] = Counter()

    def name(
        self, row: Row, column: str | None, contents: Sequence[Sequence[str]], position: int
    ) -> list[str]:
        """The ids of a row's items, of which `contents` has the texts.

        They come from the row's own id, behind which several items are numbered, or without a
        column for it from the texts.

        Raises:
            RowError: The row's id is none, or another has it.
        """
        if column is None:
            return [self._derive(texts, position) for texts in contents]
        # The row's own id is claimed even where its items are numbered: no other row may have it.
        id = self._claim(_given(row.get(column), column), position)
        if len(contents) == 1:
            return [id]
        return [self._claim(f"{id}.{number}", position) for number in range(1, len(contents) + 1)]

    def _claim(self, id: str, position: int) -> str:
        """The same id, which no other row has.

        Raises:
            RowError: Another has it.
        """
        first = self._positions.first(id, position)
        if first is not None:
            raise RowError(
                f"the id {id!r:.100} is already that of {origin_of(self._tables, first)}; "
                "ids must be unique (--id-column '' makes them from the content)",
                "wrong id",
            )
        return id

    def _derive(self, texts: Sequence[str], position: int) -> str:
        """An id made from the content; the second and third of one content get `-2`, `-3`."""
        base = id = content_hash(*texts)
        while self._positions.first(id, position) is not None:
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
