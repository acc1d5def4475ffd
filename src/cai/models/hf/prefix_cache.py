"""Keys and values of what was read and written, kept for the requests that go on from it.

A critique's request begins with the response's request and the response, a revision's with all of
the critique's. What a request shares with any row that is kept is not read again. Tokens are
compared, not texts: an answer that is encoded otherwise than it was written is shared up to there.

Which questions begin alike, so that their common beginning is read once for all of them.

One comparison under many principles is many questions about the same conversation and responses.

Reading requests: in padded passes of similar lengths, and no beginning twice.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from cai.models.hf.forward import Filled, Network
from cai.models.hf.kv_cache import Prefix, prefix_of
from cai.models.hf.option_tokens import Ids, Spelled

LEAST_SHARED = 16  # tokens that are worth copying


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


_LEAST_SHARED = 32


@dataclass(frozen=True, slots=True, eq=False)
class PrefixQuestion:
    """A request in token ids, and the options that may follow it."""

    ids: Ids
    options: Spelled

    @property
    def n_at_most(self) -> int:
        return len(self.ids) + self.options.n_longest

    @property
    def n_rows(self) -> int:
        """In how many rows it is read: more than one where options take several tokens."""
        return len(self.options.rows)


@dataclass(frozen=True, slots=True)
class PrefixGroup:
    """Questions whose first `n_shared` tokens are the same; 0 where too few are."""

    questions: tuple[PrefixQuestion, ...]
    n_shared: int

    @property
    def shared(self) -> Ids:
        return self.questions[0].ids[: self.n_shared]

    @property
    def n_rows(self) -> int:
        return sum(question.n_rows for question in self.questions)

    @property
    def n_saved(self) -> int:
        return (self.n_rows - 1) * self.n_shared

    @property
    def n_tokens(self) -> int:
        """How many tokens are read for it."""
        return self.n_shared + sum(self.n_new(question) for question in self.questions)

    def n_new(self, question: PrefixQuestion) -> int:
        """How many of them are read for that question alone."""
        n_each = len(question.ids) - self.n_shared
        return sum(n_each + len(row) for row in question.options.rows)


_Groups = tuple[PrefixGroup, ...]


def portions(questions: Iterable[PrefixQuestion], n_tokens: int) -> list[list[PrefixGroup]]:
    """The questions in groups, these in portions that read about `n_tokens` each, or one question.

    A group that is larger is cut, and each of its parts reads the beginning for itself.
    """
    portions: list[list[PrefixGroup]] = []
    n_left = 0
    for group in sorted(_all_cut(shared_groups(questions), n_tokens), key=_order):
        if not portions or group.n_tokens > n_left:
            portions.append([])
            n_left = n_tokens
        portions[-1].append(group)
        n_left -= group.n_tokens
    return portions


def shared_groups(questions: Iterable[PrefixQuestion]) -> list[PrefixGroup]:
    """All questions in groups that save many tokens; one that shares too little is alone.

    The last token of a request is never shared: a row must read a token to predict the next.
    """
    ordered = sorted(questions, key=lambda question: question.ids)
    parts: dict[int, _Groups] = {at: _alone(question) for at, question in enumerate(ordered)}
    shared = [n_common(one.ids[:-1], other.ids[:-1]) for one, other in pairwise(ordered)]
    # Neighbours in the order of their tokens are joined, longest beginnings first, so that what two
    # parts share is what the two questions share where they meet. Each part is known at both ends.
    first, last = list(range(len(ordered))), list(range(len(ordered)))
    for at in sorted(range(len(shared)), key=lambda at: -shared[at]):
        if shared[at] < _LEAST_SHARED:
            break
        start, stop = first[at], last[at + 1]
        parts[start] = _joined((*parts[start], *parts.pop(at + 1)), shared[at])
        first[stop], last[start] = start, stop
    return [group for groups in parts.values() for group in groups]


def _alone(question: PrefixQuestion) -> _Groups:
    n_shared = len(question.ids) - 1
    is_shared = question.n_rows > 1 and n_shared >= _LEAST_SHARED
    return (PrefixGroup((question,), n_shared if is_shared else 0),)


def _joined(groups: _Groups, n_shared: int) -> _Groups:
    """These groups, whose questions all share so much, in the way that saves most of three.

    They stay apart, or all become one, or those do that share no more than this among themselves.
    """
    deeper = tuple(group for group in groups if group.n_shared > n_shared)
    rest = tuple(group for group in groups if group.n_shared <= n_shared)
    ways = [groups, (_merged(groups, n_shared),)]
    if deeper and rest:
        ways.append((*deeper, _merged(rest, n_shared)))
    return max(ways, key=lambda way: sum(group.n_saved for group in way))


def _merged(groups: _Groups, n_shared: int) -> PrefixGroup:
    return PrefixGroup(tuple(each for group in groups for each in group.questions), n_shared)


def _all_cut(groups: Sequence[PrefixGroup], n_tokens: int) -> list[PrefixGroup]:
    return [part for group in groups for part in _cut(group, n_tokens)]


def _cut(group: PrefixGroup, n_tokens: int) -> list[PrefixGroup]:
    """The group in groups that read about `n_tokens` each beside the beginning, or one question."""
    parts: list[list[PrefixQuestion]] = []
    n_left = 0
    for question in group.questions:
        if not parts or group.n_new(question) > n_left:
            parts.append([])
            n_left = n_tokens
        parts[-1].append(question)
        n_left -= group.n_new(question)
    return [PrefixGroup(tuple(part), group.n_shared) for part in parts]


def _order(group: PrefixGroup) -> tuple[int, int]:
    """Those that fit into the same passes stand together."""
    return group.n_shared, len(group.questions[0].ids)


PREFILL_TOKENS = 16_384
SHORT = 16  # rows with fewer new tokens than this go into one pass, padded
_LEAST_FILL = 0.8
_LEAST_SAVED = 64  # tokens that are worth a pass of their own
_T = TypeVar("_T")


def read(
    network: Network, kept: Kept, rows: Sequence[list[int]], n_tokens: int = PREFILL_TOKENS
) -> Iterator[tuple[list[int], Filled]]:
    """Reads the rows, each after the longest beginning that is kept.

    Gives the numbers of the rows of each pass, and what it found.
    """
    found = [kept.longest(row) for row in rows]
    whole = [at for at, prefix in enumerate(found) if prefix is None]
    for numbers in grouped(whole, lambda at: len(rows[at]), n_tokens):
        yield numbers, network.prefill([rows[at] for at in numbers])
    begun = {at: prefix for at, prefix in enumerate(found) if prefix is not None}
    n_cached = max((prefix.n_tokens for prefix in begun.values()), default=0)

    def n_new(at: int) -> int:
        return max(len(rows[at]) - begun[at].n_tokens, SHORT)

    for numbers in grouped(list(begun), n_new, n_tokens, n_cached):
        prefixes = [begun[at] for at in numbers]
        yield numbers, network.prefill_after(prefixes, [rows[at] for at in numbers])


def read_shared(network: Network, kept: Kept, rows: Sequence[list[int]]) -> None:
    """Reads and keeps what several of the rows begin with: few-shots, a prompt drawn from often.

    A beginning of other beginnings comes first, so that they go on from it.
    """
    ordered = sorted(map(tuple, rows))
    shared = {one[: n_common(one[:-1], other[:-1])] for one, other in pairwise(ordered)}
    left: list[Ids] = sorted(shared, key=len)
    while left and sum(map(len, left)) <= kept.room:
        left = [ids for ids in left if _n_saved(ids, kept, ordered) >= _LEAST_SAVED]
        apart: list[Ids] = []
        for ids in left:
            known = kept.n_shared(ids) + LEAST_SHARED
            if all(n_common(ids, other) < known for other in apart):
                apart.append(ids)
        left = [ids for ids in left if ids not in apart]
        for numbers, (_, layers) in read(network, kept, [list(ids) for ids in apart]):
            for at, ids in enumerate(apart[number] for number in numbers):
                kept.keep(ids, prefix_of(layers, at, len(ids)).copied)


def _n_saved(beginning: Ids, kept: Kept, rows: Sequence[Ids]) -> int:
    """How many tokens less are read when the beginning is read before the rows."""
    n_rows = sum(row[: len(beginning)] == beginning for row in rows)
    return (n_rows - 1) * (len(beginning) - kept.n_shared(beginning))


def grouped(
    items: Sequence[_T],
    length: Callable[[_T], int],
    n_tokens: int = PREFILL_TOKENS,
    n_cached: int = 0,
) -> list[list[_T]]:
    """The items in groups of similar length that one padded pass takes, longest first.

    A pass takes `n_tokens`, of which each of its rows uses `n_cached` beside its own.
    """
    groups: list[list[_T]] = []
    for item in sorted(items, key=length, reverse=True):
        longest = length(groups[-1][0]) if groups else 0
        is_similar = bool(groups) and length(item) >= _LEAST_FILL * longest
        if is_similar and (len(groups[-1]) + 1) * (longest + n_cached) <= n_tokens:
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups
