"""Examples out of a stream: a bounded number, and the same ones every time.

What is chosen depends on the examples alone: the best by a number, the first of two equal ones; or
a sample by the hash of the id, which neither the order nor the size of the rest changes.

Yes-or-no facts about examples, counted prompt by prompt: a share with its 95 % interval.
"""

import heapq
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from cai.evaluation.stats.bootstrap import Estimate, share_estimate
from cai.types import content_hash

T = TypeVar("T")

N_EXAMPLES = 10
"""Of one kind, at most."""


@dataclass(slots=True)
class Best(Generic[T]):
    """The `n` items with the highest numbers, of all that are offered."""

    n: int = N_EXAMPLES
    _heap: list[tuple[float, int, T]] = field(default_factory=list[tuple[float, int, T]])
    _n_offered: int = 0

    def would_take(self, number: float) -> bool:
        """Whether an item of this number is among the best so far."""
        return self.n > 0 and (len(self._heap) < self.n or number > self._heap[0][0])

    def offer(self, number: float, item: T) -> None:
        self._n_offered += 1
        if not self.would_take(number):
            return
        entry = (number, -self._n_offered, item)  # no two are equal, so items are never compared
        if len(self._heap) < self.n:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heapreplace(self._heap, entry)

    @property
    def items(self) -> Sequence[T]:
        """The items, highest first."""
        return [item for _, _, item in sorted(self._heap, key=lambda each: each[:2], reverse=True)]

    @property
    def n_offered(self) -> int:
        return self._n_offered


def lot(id: str) -> float:
    """A number in [0, 1) that depends on the id alone: by it, the best are a random sample."""
    return int(content_hash("lot", id), 16) / 2**48


@dataclass(slots=True)
class FactShares:
    """Grows by `add`; nine bytes an example and one for each fact."""

    units: "array[int]" = field(default_factory=lambda: array("q"))
    facts: dict[str, "array[int]"] = field(default_factory=dict[str, "array[int]"])

    def __len__(self) -> int:
        return len(self.units)

    def add(self, unit: int, facts: Mapping[str, bool]) -> None:
        """Every example has the same facts."""
        self.units.append(unit)
        for name, is_so in facts.items():
            self.facts.setdefault(name, array("b")).append(is_so)

    def count(self, name: str) -> int:
        return sum(self.facts.get(name, ()))

    def share(self, name: str) -> float | None:
        return self.count(name) / len(self) if len(self) else None

    def estimate(self, name: str) -> Estimate | None:
        """None where nothing was added."""
        if not len(self):
            return None
        found = np.array(self.facts[name], np.float64)
        return share_estimate(found, np.ones(len(found)), np.array(self.units, np.int64), seed=0)


def share_of(share: float, n: int) -> Estimate | None:
    """A share over `n` examples of which each has a prompt of its own; None where there is none."""
    if not n or share != share:
        return None
    found = np.zeros(n)
    found[: round(share * n)] = 1
    return share_estimate(found, np.ones(n), np.arange(n, dtype=np.int64), seed=0)
