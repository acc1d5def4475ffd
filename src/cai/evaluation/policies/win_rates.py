"""Win rates: how often one policy's responses are better than another's.

Example:
    for rate in win_rates(matches, seed=0):
        print(rate.policy, rate.opponent, rate.rate, rate.length_controlled)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cai.evaluation.policies.matchups import OUTCOMES, READABLE, Matches, MatchOutcome, MatchTable
from cai.evaluation.stats.bootstrap import Estimate, Floats, share_estimate
from cai.evaluation.stats.length_control import length_controlled_win_rate


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
    """One of each pair with matches, of the later policy against the earlier.

    Intervals are by prompt.
    """
    found: list[WinRate] = []
    for opponent, policy in matches.pairs:
        table = matches.of(policy, opponent)
        read = readable(table)
        counts = np.bincount(table.outcomes, minlength=len(OUTCOMES)).tolist()
        won, is_longer = points(read), table.lengths[:, 0] > table.lengths[:, 1]
        # Equal responses are even, whether a probability came with them or not. A verdict read
        # from words may be readable without a probability, and is left out of the mean.
        p = np.where(read.outcomes == OUTCOMES.index("equal"), 0.5, read.p)
        known = ~np.isnan(p)
        n_known = int(known.sum())
        found.append(
            WinRate(
                policy=policy,
                opponent=opponent,
                n=len(table),
                n_prompts=len(np.unique(table.units)),
                outcomes=dict(zip(OUTCOMES, counts, strict=True)),
                rate=share_estimate(won, np.ones(len(read)), read.units, seed),
                probability=share_estimate(p[known], np.ones(n_known), read.units[known], seed),
                length_controlled=length_controlled_win_rate(read.units, won, read.lengths, seed),
                longer=float(is_longer.mean()) if len(table) else None,
            )
        )
    return tuple(found)


def readable(table: MatchTable) -> MatchTable:
    """The matches with a readable verdict, or with equal responses."""
    is_read = table.outcomes < len(READABLE)
    return MatchTable(
        table.units[is_read], table.outcomes[is_read], table.p[is_read], table.lengths[is_read]
    )


def points(table: MatchTable) -> Floats:
    """Of each readable match: 1 for a win of the first policy, 0 for one of the second, else ½."""
    return np.array([1.0, 0.0, 0.5, 0.5, 0.5])[table.outcomes]
