"""Keys and values of what was read and written, kept for the requests that go on from it.

A critique's request begins with the response's request and the response, a revision's with all of
the critique's. What a request shares with any row that is kept is not read again. Tokens are
compared, not texts: an answer that is encoded otherwise than it was written is shared up to there.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Sequence

from cai.models.hf.prefixes import Prefix

LEAST_SHARED = 16  # tokens that are worth copying
Ids = tuple[int, ...]


class Kept:
    """Rows of at most `room` tokens in all; those not used for longest go first."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.n_tokens = 0
        self._sorted: list[Ids] = []
        self._prefixes: OrderedDict[Ids, Prefix] = OrderedDict()  # last used last

    @property
    def rows(self) -> list[Ids]:
        """The tokens of all rows, in sorted order."""
        return list(self._sorted)

    def keep(self, ids: Sequence[int], copied: Callable[[], Prefix]) -> None:
        """Takes keys and values of these tokens, in place of kept rows that they go on from.

        They are `copied` once there is room, and not at all where they are kept or do not fit.
        """
        row = tuple(ids)
        if len(row) > self.room or self.n_shared(row) == len(row):
            return
        at = bisect_left(self._sorted, row)
        # In sorted order the longest of a row's own beginnings stands right before it.
        while at and row[: len(self._sorted[at - 1])] == self._sorted[at - 1]:
            at -= 1
            self._drop(self._sorted[at])
        while self.n_tokens + len(row) > self.room:
            self._drop(next(iter(self._prefixes)))
        self._prefixes[row] = copied()
        self._sorted.insert(bisect_left(self._sorted, row), row)
        self.n_tokens += len(row)

    def n_shared(self, ids: Sequence[int]) -> int:
        """How many first tokens of these are kept."""
        row = tuple(ids)
        return n_common(row, self._nearest(row))

    def longest(self, ids: Sequence[int]) -> Prefix | None:
        """The longest kept beginning of these tokens; None where it saves too little.

        The last token is left out: a row must read one to predict the next.
        """
        row = tuple(ids[:-1])
        nearest = self._nearest(row)
        n_tokens = n_common(row, nearest)
        if n_tokens < LEAST_SHARED:
            return None
        self._prefixes.move_to_end(nearest)
        return self._prefixes[nearest].first(n_tokens)

    def clear(self) -> None:
        """Frees all."""
        self._sorted.clear()
        self._prefixes.clear()
        self.n_tokens = 0

    def _nearest(self, row: Ids) -> Ids:
        """The kept row that shares most with this one: one of its neighbours in sorted order."""
        at = bisect_left(self._sorted, row)
        neighbours = self._sorted[max(at - 1, 0) : at + 1]
        return max(neighbours, key=lambda kept: n_common(row, kept), default=())

    def _drop(self, row: Ids) -> None:
        del self._sorted[bisect_left(self._sorted, row)]
        del self._prefixes[row]
        self.n_tokens -= len(row)


def n_common(one: Ids, other: Ids) -> int:
    """How many tokens both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
