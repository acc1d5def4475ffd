"""Yes-or-no facts about examples, counted prompt by prompt: a share with its 95 % interval."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cai.evaluation.bootstrap import Estimate, share_estimate


@dataclass(slots=True)
class Shares:
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
