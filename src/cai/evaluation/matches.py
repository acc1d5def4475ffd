"""Policies against each other: two responses to one prompt, and the verdict about them.

A match is read from either side. Some seventy bytes each are kept.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from cai.evaluation.bootstrap import Floats, Integers
from cai.judging.verdicts import Outcome

MatchOutcome: TypeAlias = Literal["equal", "empty"] | Outcome
"""`a` is won by the first policy, `b` by the second.

`equal`: both say the same, which is a tie without a judge. `empty`: one of them says nothing, which
is not judged either, and counts for nobody.
"""

OUTCOMES: tuple[MatchOutcome, ...] = (
    *("a", "b", "tie", "inconsistent", "equal"),
    *("unparsed", "refused", "failed", "empty"),
)
READABLE: tuple[MatchOutcome, ...] = OUTCOMES[:5]

_UNKNOWN = float("nan")  # inside these arrays alone


@dataclass(frozen=True, slots=True)
class Match:
    """Two policies on one prompt.

    `unit` is the prompt's (see `bootstrap.unit_of`), `p_first` the probability that the first
    policy's response is better, None where nothing could be read; lengths are in characters.
    """

    unit: int
    first: str
    second: str
    outcome: MatchOutcome
    p_first: float | None
    length_first: int
    length_second: int


@dataclass(frozen=True, slots=True)
class MatchTable:
    """Matches of two policies, one a place, as seen from the first of them.

    `outcomes` are places in `OUTCOMES`; `p` is nan where nothing could be read.
    """

    units: Integers
    outcomes: Integers
    p: Floats
    lengths: Floats
    """Of shape (n, 2): characters of either response."""

    def __len__(self) -> int:
        return len(self.units)


@dataclass(slots=True)
class _Pair:
    units: "array[int]" = field(default_factory=lambda: array("q"))
    outcomes: "array[int]" = field(default_factory=lambda: array("b"))
    p: "array[float]" = field(default_factory=lambda: array("d"))
    lengths: "array[float]" = field(default_factory=lambda: array("d"))


class Matches:
    """All matches of an evaluation; grows by `add`."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], _Pair] = {}

    def __len__(self) -> int:
        return sum(len(pair.units) for pair in self._pairs.values())

    def add(self, match: Match) -> None:
        pair = self._pairs.setdefault((match.first, match.second), _Pair())
        pair.units.append(match.unit)
        pair.outcomes.append(OUTCOMES.index(match.outcome))
        pair.p.append(_UNKNOWN if match.p_first is None else match.p_first)
        pair.lengths.extend((match.length_first, match.length_second))

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """Who met whom, in the order of their first matches; of two orders the first that came."""
        found: dict[frozenset[str], tuple[str, str]] = {}
        for pair in self._pairs:
            found.setdefault(frozenset(pair), pair)
        return list(found.values())

    def of(self, policy: str, opponent: str) -> MatchTable:
        """The matches of these two, as seen from the first named."""
        tables = (
            [_table(self._pairs[policy, opponent])] if (policy, opponent) in self._pairs else []
        )
        if (opponent, policy) in self._pairs:
            tables.append(_turned(_table(self._pairs[opponent, policy])))
        if not tables:
            return _table(_Pair())
        return MatchTable(
            np.concatenate([each.units for each in tables]),
            np.concatenate([each.outcomes for each in tables]),
            np.concatenate([each.p for each in tables]),
            np.concatenate([each.lengths for each in tables]),
        )


def _table(pair: _Pair) -> MatchTable:
    return MatchTable(
        np.array(pair.units, np.int64),
        np.array(pair.outcomes, np.int64),
        np.array(pair.p, np.float64),
        np.array(pair.lengths, np.float64).reshape(-1, 2),
    )


def _turned(table: MatchTable) -> MatchTable:
    swapped = np.array([1, 0, *range(2, len(OUTCOMES))])
    return MatchTable(table.units, swapped[table.outcomes], 1 - table.p, table.lengths[:, ::-1])
