"""How often one policy's responses are better than another's."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cai.evaluation.policies.matchups import OUTCOMES, READABLE, Matches, MatchOutcome, MatchTable
from cai.evaluation.stats.bootstrap import Estimate, Floats, share_estimate
from cai.evaluation.stats.length_control import length_controlled_win_rate

_POINTS = np.array([1.0, 0.0, 0.5, 0.5, 0.5])  # of each readable outcome, to the first policy


@dataclass(frozen=True, slots=True)
class WinRate:
    """`policy` against `opponent` over `n` matches on `n_prompts` prompts.

    `outcomes` has every outcome, `a` being the policy's win, and adds up to `n`. `rate` is the
    share of readable matches that it wins; a tie, an inconsistent verdict and equal responses count
    one half. `probability` is the mean of the judge's probability over the same. Both lie in
    [0, 1], as does `length_controlled`, which is what `rate` would be at equal length. A figure is
    None where nothing can be computed. `longer` is the share of matches in which the policy's
    response is the longer one.
    """

    policy: str
    opponent: str
    n: int
    n_prompts: int
    outcomes: Mapping[MatchOutcome, int]
    rate: Estimate | None
    probability: Estimate | None
    length_controlled: Estimate | None
    longer: float | None


def win_rates(matches: Matches, seed: int) -> tuple[WinRate, ...]:
    """Each two that met, the later named as the policy and the earlier as the opponent.

    Intervals are by prompt.
    """
    return tuple(
        _win_rate(later, earlier, matches.of(later, earlier), seed)
        for earlier, later in matches.pairs
    )


def readable(table: MatchTable) -> MatchTable:
    """The matches with a verdict, `equal` among them."""
    kept = table.outcomes < len(READABLE)
    return MatchTable(table.units[kept], table.outcomes[kept], table.p[kept], table.lengths[kept])


def points(table: MatchTable) -> Floats:
    """What each readable match gives the first policy: 1 for its win, 0 for the other's, else ½."""
    return _POINTS[table.outcomes]


def _win_rate(policy: str, opponent: str, table: MatchTable, seed: int) -> WinRate:
    read = readable(table)
    counts = np.bincount(table.outcomes, minlength=len(OUTCOMES)).tolist()
    is_longer = table.lengths[:, 0] > table.lengths[:, 1]
    return WinRate(
        policy=policy,
        opponent=opponent,
        n=len(table),
        n_prompts=len(np.unique(table.units)),
        outcomes=dict(zip(OUTCOMES, counts, strict=True)),
        rate=share_estimate(points(read), np.ones(len(read)), read.units, seed),
        probability=_mean_probability(read, seed),
        length_controlled=length_controlled_win_rate(read.units, points(read), read.lengths, seed),
        longer=float(is_longer.mean()) if len(table) else None,
    )


def _mean_probability(read: MatchTable, seed: int) -> Estimate | None:
    """Equal responses are even, whether a probability came with them or not."""
    p = np.where(read.outcomes == OUTCOMES.index("equal"), 0.5, read.p)
    known = ~np.isnan(p)
    return share_estimate(p[known], np.ones(int(known.sum())), read.units[known], seed)
