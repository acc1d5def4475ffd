"""Questions asked both ways: which response keeps the principle better, and which breaks it more.

The probability of a reversed question is turned back when it is read, so the two of them should
favour the same response.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cai.judging.verdicts import Judgement, side


@dataclass(frozen=True, slots=True)
class Negations:
    """Of `n` questions that were read both ways, those whose two answers contradict."""

    n: int = 0
    n_contradictions: int = 0

    def __add__(self, other: "Negations") -> "Negations":
        return Negations(self.n + other.n, self.n_contradictions + other.n_contradictions)

    @property
    def rate(self) -> float | None:
        return self.n_contradictions / self.n if self.n else None


def negations_of(judgements: Iterable[Judgement]) -> Negations:
    """Those of one verdict. An even answer contradicts nothing."""
    ways: dict[tuple[str, str, str], dict[bool, float]] = {}
    for each in judgements:
        if each.p_a is not None:
            asked = (each.judge, each.principle_id, each.criterion_id)
            ways.setdefault(asked, {})[each.is_negated] = each.p_a
    both = [(found[False], found[True]) for found in ways.values() if len(found) == 2]
    return Negations(len(both), sum({side(p), side(q)} == {"a", "b"} for p, q in both))
