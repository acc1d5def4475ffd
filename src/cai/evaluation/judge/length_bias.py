"""Length bias: whether a judge favours the longer response.

Verbosity bias of Zheng et al. 2023, arXiv:2306.05685, §3.3, as a share of wins and a correlation.

Example:
    tally = LengthTally()
    for unit, comparison, verdict in judged:
        tally.add(unit, comparison, verdict, label=None)
    print(tally.report(seed=0).by_characters.share)  # near one half without a bias
"""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cai.evaluation.stats.bootstrap import Estimate, share_estimate
from cai.evaluation.stats.calibration import pearson, spearman
from cai.methods.judging.verdict import Comparison, Label, Verdict

_SIDES = {"a": 1, "b": -1}
# Unknown values are nan inside the arrays only; figures have None.
_UNKNOWN = float("nan")


@dataclass(frozen=True, slots=True)
class WinShare:
    """Of the matchups with a winner, the share that the responses in question win, in [0, 1].

    `by_people` is their share by labels, where there are any: people may prefer them too.
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
    """Counts matchup by matchup, at some thirty bytes each."""

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
            win_share(self.winners, self.labels, self.characters, self.units, seed),
            win_share(self.winners, self.labels, self.words, self.units, seed),
            int(known.sum()),
            pearson(p_a[known], ratios[known]),
            spearman(p_a[known], ratios[known]),
        )


def win_share(
    winners: Sequence[int],
    labels: Sequence[int],
    sides: Sequence[int],
    units: Sequence[int],
    seed: int,
) -> WinShare:
    """How often the winner, and the label, is the side in question: 1 for A, −1 for B, 0 neither.

    All sequences have one entry a matchup; those with a 0 for the side or the winner are left out.
    """
    side, unit = np.array(sides, np.int64), np.array(units, np.int64)

    def share_won(named: Sequence[int]) -> Estimate | None:
        winner = np.array(named, np.int64)
        both = (winner * side) != 0
        won = (winner == side)[both].astype(np.float64)
        return share_estimate(won, np.ones(len(won)), unit[both], seed)

    return WinShare(share_won(winners), share_won(labels))


def _sign(difference: int) -> int:
    return (difference > 0) - (difference < 0)
