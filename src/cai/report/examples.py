"""Examples out of a stream: at most ten of a kind, and the same ones every time.

The choice depends on the examples alone: the highest by a number, the first of two equal ones; or
a sample by the hash of the prompt's id, which neither the order nor the size of the run changes.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cai.report.model import Example, ExampleGroup
from cai.types import content_hash

T = TypeVar("T")

N_EXAMPLES = 10
"""Maximum number of examples of one kind."""

BY_HASH = "drawn by the hash of the prompt's id"


@dataclass(slots=True)
class TopN(Generic[T]):
    """The `n` items with the highest numbers of all that are offered; memory does not grow."""

    n: int = N_EXAMPLES
    n_offered: int = 0
    _heap: list[tuple[float, int, T]] = field(default_factory=list[tuple[float, int, T]])

    def offer(self, number: float, item: T) -> None:
        self.n_offered += 1
        # The second part differs between any two entries, so that tuples never compare the items,
        # and is negative, so that the first of two equal items stays.
        entry = (number, -self.n_offered, item)
        if len(self._heap) < self.n:
            heapq.heappush(self._heap, entry)
        elif self.n > 0 and number > self._heap[0][0]:
            heapq.heapreplace(self._heap, entry)

    @property
    def items(self) -> Sequence[T]:
        """The items, highest first."""
        return [item for _, _, item in sorted(self._heap, key=lambda each: each[:2], reverse=True)]


def hash_fraction(id: str) -> float:
    """A number in [0, 1) that depends on the id alone: the top by it are a random sample."""
    # With a prefix of its own, so that the sample has nothing to do with what else hashes choose.
    return int(content_hash("lot", id), 16) / 2**48


def example_groups(
    kinds: Iterable[tuple[str, str, TopN[T]]], show: Callable[[T], Example], of: str = ""
) -> Iterator[ExampleGroup]:
    """A group for each (heading, rule of selection, items) that has items; `of` is their noun."""
    for heading, rule, top in kinds:
        if top.items:
            selection = f"{len(top.items)} of {top.n_offered:,}{of}: {rule}."
            yield ExampleGroup(heading, selection, tuple(map(show, top.items)))
