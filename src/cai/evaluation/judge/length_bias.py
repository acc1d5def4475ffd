"""Whether a judge favours the longer response."""

import math
from array import array
from dataclasses import dataclass, field

import numpy as np

from cai.evaluation.stats.bootstrap import Estimate, Integers, share_estimate
from cai.evaluation.stats.calibration import pearson, spearman
from cai.methods.judging.verdict import Comparison, Label, Verdict

_SIDES = {"a": 1, "b": -1}
_UNKNOWN = float("nan")  # inside these arrays alone


@dataclass(frozen=True, slots=True)
class WinShare:
    """Of the matchups that have a winner, the share that the responses in question win.

    `by_people` is their share by the labels of the same kind of matchup, where there are any.
    """

    share: Estimate | None
    by_people: Estimate | None


@dataclass(frozen=True, slots=True)
class Lengths:
    """The longer response in characters and in words; responses of equal length are left out.

    `pearson` and `spearman` are correlations of p_a with the logarithm of length A over length B in
    characters, over `n` readable matchups of which neither side is empty.
    """

    by_characters: WinShare
    by_words: WinShare
    n: int
    pearson: float | None
    spearman: float | None


@dataclass(slots=True)
class LengthTally:
    """Takes one matchup after the other; some thirty bytes each."""

    units: "array[int]" = field(default_factory=lambda: array("q"))
    winners: "array[int]" = field(default_factory=lambda: array("b"))
    labels: "array[int]" = field(default_factory=lambda: array("b"))
    characters: "array[int]" = field(default_factory=lambda: array("b"))
    words: "array[int]" = field(default_factory=lambda: array("b"))
    ratios: "array[float]" = field(default_factory=lambda: array("d"))
    p_a: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, unit: int, comparison: Comparison, verdict: Verdict, label: Label | None) -> None:
        a, b = comparison.response_a, comparison.response_b
        self.units.append(unit)
        self.winners.append(_SIDES.get(verdict.outcome, 0))
        self.labels.append(_SIDES.get(label or "", 0))
        self.characters.append(_sign(len(a) - len(b)))
        self.words.append(_sign(len(a.split()) - len(b.split())))
        self.ratios.append(math.log(len(a) / len(b)) if a and b else _UNKNOWN)
        self.p_a.append(_UNKNOWN if verdict.p_a is None else verdict.p_a)

    def report(self, seed: int) -> Lengths:
        ratios, p_a = np.array(self.ratios), np.array(self.p_a)
        known = ~(np.isnan(ratios) | np.isnan(p_a))
        return Lengths(
            self._longer(self.characters, seed),
            self._longer(self.words, seed),
            int(known.sum()),
            pearson(p_a[known], ratios[known]),
            spearman(p_a[known], ratios[known]),
        )

    def _longer(self, longer: "array[int]", seed: int) -> WinShare:
        units, sides = np.array(self.units, np.int64), np.array(longer, np.int64)
        return WinShare(
            share_won(np.array(self.winners, np.int64), sides, units, seed),
            share_won(np.array(self.labels, np.int64), sides, units, seed),
        )


def share_won(winners: Integers, sides: Integers, units: Integers, seed: int) -> Estimate | None:
    """How often the winner (1 for A, −1 for B) is the side in question; 0 in either is left out."""
    both = (winners * sides) != 0
    won = (winners == sides)[both].astype(np.float64)
    return share_estimate(won, np.ones(len(won)), units[both], seed)


def _sign(difference: int) -> int:
    return (difference > 0) - (difference < 0)
