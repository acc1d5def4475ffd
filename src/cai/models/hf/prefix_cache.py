"""Prefix caching: keys and values of token sequences, stored for requests that begin with them.

A critique's request begins with the response's request and the response, a revision's with all of
the critique's; one comparison under many principles is many requests about the same conversation.
What a request shares with a stored row, or with its neighbours in a batch, is computed once. Tokens
are compared, not texts: a response that is encoded otherwise than it was generated is shared up to
there. vLLM caches prefixes in blocks of 16 tokens (automatic prefix caching); rows here are
compared token by token.

Example:
    cache = PrefixCache(capacity=100_000)
    cache_shared_prefixes(network, cache, rows)  # reads what several of the rows begin with
    for numbers, (logits, layers) in read(network, cache, rows):
        ...  # logits of rows[number] for each of the numbers
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from cai.models.hf.forward import Filled, Network
from cai.models.hf.kv_cache import Prefix, prefix_of
from cai.models.hf.tokenizer import Ids, OptionTree

LEAST_SHARED = 16  # tokens; copying fewer costs more than computing them anew
PREFILL_TOKENS = 16_384
SHORT = 16  # rows with fewer new tokens than this go into one pass, padded
_LEAST_SHARED_IN_BATCH = 32  # tokens; a shared prefix costs a pass of its own before the rows
_LEAST_FILL = 0.8
_LEAST_SAVED = 64  # tokens that are worth a pass of their own
_T = TypeVar("_T")


class PrefixCache:
    """Rows of at most `capacity` tokens in all; the least recently used are dropped first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.n_tokens = 0
        self._sorted: list[Ids] = []
        self._prefixes: OrderedDict[Ids, Prefix] = OrderedDict()  # last used last

    @property
    def rows(self) -> list[Ids]:
        """The tokens of all rows, in sorted order."""
        return list(self._sorted)

    def store(self, ids: Sequence[int], copied: Callable[[], Prefix]) -> None:
        """Stores keys and values of these tokens, in place of stored rows that are prefixes of it.

        `copied` is called once there is space, and not at all where they are stored or do not fit.
        """
        row = tuple(ids)
        if len(row) > self.capacity or self.n_shared(row) == len(row):
            return
        at = bisect_left(self._sorted, row)
        # In sorted order the longest of a row's own prefixes stands right before it.
        while at and row[: len(self._sorted[at - 1])] == self._sorted[at - 1]:
            at -= 1
            self._drop(self._sorted[at])
        while self.n_tokens + len(row) > self.capacity:
            self._drop(next(iter(self._prefixes)))
        self._prefixes[row] = copied()
        self._sorted.insert(bisect_left(self._sorted, row), row)
        self.n_tokens += len(row)

    def n_shared(self, ids: Sequence[int]) -> int:
        """The number of first tokens of these that are stored."""
        row = tuple(ids)
        return n_common(row, self._nearest(row))

    def longest(self, ids: Sequence[int]) -> Prefix | None:
        """The longest stored prefix of these tokens; None where it saves too little.

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
        """The stored row that shares most with this one: one of its neighbours in sorted order."""
        at = bisect_left(self._sorted, row)
        neighbours = self._sorted[max(at - 1, 0) : at + 1]
        return max(neighbours, key=lambda stored: n_common(row, stored), default=())

    def _drop(self, row: Ids) -> None:
        del self._sorted[bisect_left(self._sorted, row)]
        del self._prefixes[row]
        self.n_tokens -= len(row)


def n_common(one: Ids, other: Ids) -> int:
    """The number of tokens with which both begin."""
    # A binary search by slices: comparing tuples is one call in C, a loop over tokens is not.
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceRequest:
    """A request in token ids, and the options that may follow it."""

    ids: Ids
    options: OptionTree

    @property
    def max_length(self) -> int:
        return len(self.ids) + self.options.n_longest

    @property
    def n_rows(self) -> int:
        """In how many rows it is read: more than one where options take several tokens."""
        return len(self.options.rows)


@dataclass(frozen=True, slots=True)
class PrefixGroup:
    """Requests whose first `n_shared` tokens are the same; 0 where too few are."""

    questions: tuple[ChoiceRequest, ...]
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
        return self.n_shared + sum(map(self.n_new, self.questions))

    def n_new(self, question: ChoiceRequest) -> int:
        """How many of them are read for that request alone."""
        n_each = len(question.ids) - self.n_shared
        return sum(n_each + len(row) for row in question.options.rows)


def split_into_batches(
    questions: Iterable[ChoiceRequest], n_tokens: int
) -> list[list[PrefixGroup]]:
    """The requests in groups, these in batches that read about `n_tokens` each, or one request.

    A group that is larger is split, and each of its parts reads the prefix for itself.
    """
    parts = [
        PrefixGroup(tuple(part), group.n_shared)
        for group in group_by_prefix(questions)
        for part in _filled(group.questions, group.n_new, n_tokens)
    ]
    # Groups that fit into the same passes stand together: equal prefixes, then equal lengths.
    parts.sort(key=lambda group: (group.n_shared, len(group.questions[0].ids)))
    return _filled(parts, lambda group: group.n_tokens, n_tokens)


def _filled(items: Iterable[_T], length: Callable[[_T], int], n_tokens: int) -> list[list[_T]]:
    """The items in order, in lists of at most `n_tokens` in all or of one item."""
    parts: list[list[_T]] = []
    n_left = 0
    for item in items:
        if not parts or length(item) > n_left:
            parts.append([])
            n_left = n_tokens
        parts[-1].append(item)
        n_left -= length(item)
    return parts


def group_by_prefix(questions: Iterable[ChoiceRequest]) -> list[PrefixGroup]:
    """All requests in groups that save many tokens; one that shares too little is alone.

    The last token of a request is never shared: a row must read a token to predict the next.
    """
    ordered = sorted(questions, key=lambda question: question.ids)
    parts: dict[int, tuple[PrefixGroup, ...]] = {}
    for at, question in enumerate(ordered):
        # Options of several rows share the whole request among themselves.
        is_shared = question.n_rows > 1 and len(question.ids) > _LEAST_SHARED_IN_BATCH
        parts[at] = (PrefixGroup((question,), len(question.ids) - 1 if is_shared else 0),)
    shared = [n_common(one.ids[:-1], other.ids[:-1]) for one, other in pairwise(ordered)]
    # Neighbours in the order of their tokens are joined, longest prefixes first, so that what two
    # parts share is what the two requests share where they meet. Each part is known at both ends.
    first, last = list(range(len(ordered))), list(range(len(ordered)))
    for at in sorted(range(len(shared)), key=lambda at: -shared[at]):
        if shared[at] < _LEAST_SHARED_IN_BATCH:
            break
        start, stop = first[at], last[at + 1]
        parts[start] = _joined((*parts[start], *parts.pop(at + 1)), shared[at])
        first[stop], last[start] = start, stop
    return [group for groups in parts.values() for group in groups]


def _joined(groups: tuple[PrefixGroup, ...], n_shared: int) -> tuple[PrefixGroup, ...]:
    """These groups, whose requests all share so much, as the one of three splits that saves most.

    They stay separate, or all become one, or those do that share no more than this themselves.
    """

    def merged(some: Sequence[PrefixGroup]) -> PrefixGroup:
        return PrefixGroup(tuple(each for group in some for each in group.questions), n_shared)

    deeper = tuple(group for group in groups if group.n_shared > n_shared)
    rest = tuple(group for group in groups if group.n_shared <= n_shared)
    splits = [groups, (merged(groups),)]
    if deeper and rest:
        splits.append((*deeper, merged(rest)))
    return max(splits, key=lambda split: sum(group.n_saved for group in split))


def read(
    network: Network, cache: PrefixCache, rows: Sequence[list[int]], n_tokens: int = PREFILL_TOKENS
) -> Iterator[tuple[list[int], Filled]]:
    """Reads the rows, each after its longest stored prefix.

    Gives the indices of the rows of each pass, and the pass's logits, keys and values.
    """
    prefixes = {at: cache.longest(row) for at, row in enumerate(rows)}
    whole = [at for at, prefix in prefixes.items() if prefix is None]
    for numbers in grouped(whole, lambda at: len(rows[at]), n_tokens):
        yield numbers, network.prefill([rows[at] for at in numbers])
    stored = {at: prefix for at, prefix in prefixes.items() if prefix is not None}
    n_cached = max((prefix.n_tokens for prefix in stored.values()), default=0)

    def n_new(at: int) -> int:
        return max(len(rows[at]) - stored[at].n_tokens, SHORT)

    for numbers in grouped(list(stored), n_new, n_tokens, n_cached):
        used = [stored[at] for at in numbers]
        yield numbers, network.prefill_after(used, [rows[at] for at in numbers])


def cache_shared_prefixes(network: Network, cache: PrefixCache, rows: Sequence[list[int]]) -> None:
    """Reads and stores what several rows begin with: few-shots, a prompt with many samples."""
    ordered = sorted(map(tuple, rows))
    shared = {one[: n_common(one[:-1], other[:-1])] for one, other in pairwise(ordered)}
    left: list[Ids] = sorted(shared, key=len)

    def n_saved(prefix: Ids) -> int:
        n_rows = sum(row[: len(prefix)] == prefix for row in ordered)
        return (n_rows - 1) * (len(prefix) - cache.n_shared(prefix))

    # Several rounds: a prefix of other prefixes comes first, so that they start from it. Those of
    # one round share nothing new with each other, and can be read side by side.
    while left and sum(map(len, left)) <= cache.capacity:
        left = [ids for ids in left if n_saved(ids) >= _LEAST_SAVED]
        separate: list[Ids] = []
        for ids in left:
            known = cache.n_shared(ids) + LEAST_SHARED
            if all(n_common(ids, other) < known for other in separate):
                separate.append(ids)
        left = [ids for ids in left if ids not in separate]
        for numbers, (_, layers) in read(network, cache, [list(ids) for ids in separate]):
            for at, ids in enumerate(separate[number] for number in numbers):
                cache.store(ids, prefix_of(layers, at, len(ids)).copied)


def grouped(
    items: Sequence[_T],
    length: Callable[[_T], int],
    n_tokens: int = PREFILL_TOKENS,
    n_cached: int = 0,
) -> list[list[_T]]:
    """The items in groups of similar length that one padded pass can read, longest first.

    A pass has at most `n_tokens`; each of its rows uses `n_cached` of them beside its own.
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
