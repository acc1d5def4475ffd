"""Ids of items: given by their rows or made from the content, unique over all files of a source.

An id of the content is twelve hex digits, which stay the same when rows are moved or others are
added or removed. The second and third item of one content get `-2`, `-3`.

Example:
    ids = Ids(tables)
    ids.name(row, None, [("user", "How do I mend a lamp?")], position_of(0, 17))   # ["3f0c…"]
"""

from array import array
from collections import Counter
from collections.abc import Sequence

from cai.data.conversations import read_text
from cai.data.tables import Row, RowError, Table
from cai.types import content_hash

_FIRST_SLOTS = 1024  # a power of two, so that `key & last` is the key modulo the size
_MASK = 2**64 - 1
_ROW_BITS = 48  # leaves 16 bits for the table, and no table has 2.8e14 rows


class IdPositions:
    """Where each id was first seen, for millions of ids: a hash table of 16 bytes a slot.

    An id is represented by the 64 bits of its hash. A dict of the same takes a hundred bytes an id.
    Open addressing with linear probing (Knuth, "The Art of Computer Programming", vol. 3, §6.4), at
    most two thirds full.
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
            entries = zip(self._keys, self._positions, strict=True)
            n_slots = 2 * len(self._keys)
            self._keys, self._positions = (array("Q", bytes(8 * n_slots)) for _ in range(2))
            for old_key, old_position in entries:
                if old_key:
                    slot = self._slot(old_key)
                    self._keys[slot], self._positions[slot] = old_key, old_position
        return None

    def _slot(self, key: int) -> int:
        """The slot of the key, or the free one where it belongs."""
        keys, last = self._keys, len(self._keys) - 1
        slot = key & last
        while keys[slot] not in (0, key):
            slot = (slot + 1) & last
        return slot


def position_of(table: int, number: int) -> int:
    """The index of a table and the number of a row in it, as one integer."""
    return table << _ROW_BITS | number


def origin_of(tables: Sequence[Table], position: int) -> str:
    """Where the row of a position is, as `Table.origin`."""
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
        """The ids of a row's items, whose texts are `contents`.

        They come from the row's own id, with a number where the row has several items; where there
        is no column for it, from the texts.

        Raises:
            RowError: The row has no usable id, or another row has the same.
        """
        if column is None:
            return [self._of_content(texts, position) for texts in contents]
        value = row.get(column)
        if isinstance(value, int) and not isinstance(value, bool):
            id = str(value)
        else:
            try:
                id = read_text(value, column)
            except RowError as error:
                raise RowError(str(error), "wrong id") from None
            if not id.strip():
                raise RowError(
                    f"{column!r} is blank, and each row needs an id of its own", "wrong id"
                )
        # The row's own id is claimed even where its items are numbered: no other row may have it.
        self._claim(id, position)
        if len(contents) == 1:
            return [id]
        numbered = [f"{id}.{number}" for number in range(1, len(contents) + 1)]
        for each in numbered:
            self._claim(each, position)
        return numbered

    def _claim(self, id: str, position: int) -> None:
        first = self._positions.first(id, position)
        if first is not None:
            raise RowError(
                f"the id {id!r:.100} is already that of {origin_of(self._tables, first)}; "
                "ids must be unique (--id-column '' makes them from the content)",
                "wrong id",
            )

    def _of_content(self, texts: Sequence[str], position: int) -> str:
        base = id = content_hash(*texts)
        # The counter remembers how far the numbers have gone, so that the thousandth repeat of one
        # content does not try all numbers before it.
        while self._positions.first(id, position) is not None:
            self._repeats[base] += 1
            id = f"{base}-{self._repeats[base] + 1}"
        return id
