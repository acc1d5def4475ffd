"""Reading requests: in padded passes of similar lengths, and no beginning twice."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from cai.models.hf.kept import LEAST_SHARED, Ids, Kept, n_common
from cai.models.hf.network import Filled, Network
from cai.models.hf.prefixes import prefix_of

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
