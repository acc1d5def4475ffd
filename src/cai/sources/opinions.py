"""Pairs that contradict each other: the same responses to the same prompt, labelled both ways.

Of every labelled pair two numbers are kept, a hash and its place with the opinion, so that a source
of any size is read in one pass. A tie contradicts nothing, and agreeing labels are no fault.
"""

from collections.abc import Sequence

from cai.sources.pairs import Pair
from cai.sources.rows import origin_of, texts_of
from cai.sources.tables import RowError, Table


class Opinions:
    """Which of two responses is the better one, of all pairs so far that say so."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tables
        self._kept: dict[int, int] = {}

    def check(self, pairs: Sequence[Pair]) -> None:
        """Nothing, where no earlier row has the opposite opinion of the same pair.

        Raises:
            RowError: One has.
        """
        for pair in pairs:
            kept = self._kept.get(_key(pair))
            if kept is None or pair.label not in ("a", "b") or kept & 1 == _side(pair):
                continue
            raise RowError(
                "prefers the other one of two responses to the same prompt than "
                f"{origin_of(self._tables, kept >> 1)}",
                "contradiction",
            )

    def keep(self, pairs: Sequence[Pair], place: int) -> None:
        for pair in pairs:
            if pair.label in ("a", "b"):
                self._kept.setdefault(_key(pair), place << 1 | _side(pair))


def _key(pair: Pair) -> int:
    """A hash of prompt and responses, whichever response is A."""
    sides = sorted((pair.response_a, pair.response_b))
    return hash((*texts_of(pair.prompt.messages), *sides))


def _side(pair: Pair) -> int:
    """Which response is the better one, 0 or 1 in the order of their texts."""
    better, worse = pair.response_a, pair.response_b
    if pair.label == "b":
        better, worse = worse, better
    return int(better > worse)
