"""Where each id stands, for millions of ids: a hash table in two arrays, 16 bytes a slot.

A dict of the same takes a hundred bytes an id. Open addressing with linear probing (Knuth, "The Art
of Computer Programming", vol. 3, §6.4), at most two thirds full.
"""

from array import array

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
