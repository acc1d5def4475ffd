"""Length bias: whether a judge favours the longer response.

Verbosity bias of Zheng et al. 2023, arXiv:2306.05685, §3.3, as a share of wins and a correlation.
"""

import math
from dataclasses import dataclass

import numpy as np

from cai.evaluation.stats.bootstrap import Estimate, GrowingColumns, Integers, share_estimate
from cai.evaluation.stats.calibration import pearson, spearman
from cai.methods.judging.verdict import Comparison, Label, Verdict

SIDES = {"a": 1, "b": -1}


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


class LengthTally:
    """Counts matchup by matchup, at some thirty bytes each."""

    def __init__(self) -> None:
        self._columns = GrowingColumns(
            units="q", winners="b", labels="b", characters="b", words="b", ratios="d", p_a="d"
        )

    def add(self, unit: int, comparison: Comparison, verdict: Verdict, label: Label | None) -> None:
        a, b = comparison.response_a, comparison.response_b
        # the log ratio is symmetric: swapping the two responses changes its sign alone
        ratio = math.log(len(a) / len(b)) if a and b else None
        winner, named = SIDES.get(verdict.outcome, 0), SIDES.get(label or "", 0)
        longer, wordier = np.sign([len(a) - len(b), len(a.split()) - len(b.split())]).tolist()
        self._columns.add(unit, winner, named, longer, wordier, ratio, verdict.p_a)

    def report(self, seed: int) -> Lengths:
        ratios, p_a = self._columns.floats("ratios"), self._columns.floats("p_a")
        # The correlation needs both: an empty response has no ratio, an unreadable verdict no p_a.
        known = ~(np.isnan(ratios) | np.isnan(p_a))
        return Lengths(
            win_share(self._columns, "characters", seed),
            win_share(self._columns, "words", seed),
            int(known.sum()),
            pearson(p_a[known], ratios[known]),
            spearman(p_a[known], ratios[known]),
        )


def win_share(columns: GrowingColumns, side: str, seed: int) -> WinShare:
    """How often the winner, and the label, is the side in the column of that name.

    The columns `winners`, `labels` and the side have 1 for A, −1 for B, and 0 for neither. Matchups
    with a 0 in the side or in the winner are left out.
    """
    sides, units = columns.integers(side), columns.integers("units")

    def share_won(winners: Integers) -> Estimate | None:
        both = (winners * sides) != 0
        won = (winners == sides)[both].astype(np.float64)
        return share_estimate(won, np.ones(len(won)), units[both], seed)

    return WinShare(share_won(columns.integers("winners")), share_won(columns.integers("labels")))
