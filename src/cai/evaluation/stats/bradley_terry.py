"""Strengths of players from who beat whom: Bradley and Terry 1952, Biometrika 39.

One table is fitted with a library. Thousands of resampled tables are fitted here, all at once, by
Newton's method on the same likelihood; a test holds the two together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cai.evaluation.stats.bootstrap import Floats

_MOST_STEPS = 100
_NEAR, _NEAR_ENOUGH = 1e-9, 1e-4
_LONGEST_STEP = 2.0  # of log-odds: from even to seven to one
_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which of `n` players met: one pair of their places each.

    A table of wins is a row of two columns a pair: wins of its first and of its second.
    """

    n: int
    pairs: Sequence[tuple[int, int]]

    @property
    def prior(self) -> float:
        """Half a win each way for every player but one, shared evenly among the pairs.

        For two players it is what Firth 1993, Biometrika 80, adds against the bias of log-odds; it
        keeps the strength of one that wins everything finite.
        """
        return (self.n - 1) / (2 * len(self.pairs))

    def matrix(self, row: Floats) -> Floats:
        """Wins of the player down over the player across."""
        wins = np.zeros((self.n, self.n))
        for place, (first, second) in enumerate(self.pairs):
            wins[first, second] += row[2 * place]
            wins[second, first] += row[2 * place + 1]
        return wins


def strengths(wins: Floats) -> Floats:
    """Log-odds against player 0 of each player, of greatest likelihood.

    `wins` has a way from each player to each other by wins; else there is no greatest.
    """
    import choix  # heavy: scipy

    found = choix.ilsr_pairwise_dense(wins, max_iter=10_000, tol=1e-10)
    return found - found[0]


def strengths_of_each(schedule: Schedule, rows: Floats) -> Floats:
    """As `strengths` for each table of wins, without player 0: of shape (rows, players − 1).

    Each pair of a table needs a win either way, which `Schedule.prior` gives it.
    """
    block = max(1, _CELLS // schedule.n**2)
    parts = [_fitted(schedule, rows[start : start + block]) for start in range(0, len(rows), block)]
    return np.concatenate(parts)


def _fitted(schedule: Schedule, rows: Floats) -> Floats:
    design = _design(schedule)
    wins, n = rows[:, ::2], rows[:, ::2] + rows[:, 1::2]
    found = np.zeros((len(rows), schedule.n - 1))
    longest = np.full((len(rows), 1), np.inf)
    for _ in range(_MOST_STEPS):
        p = 0.5 * (1 + np.tanh(found @ design.T / 2))
        slope = (wins - n * p) @ design
        curvature = _curvature(schedule, n * p * (1 - p))
        step = np.linalg.solve(curvature, slope[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        found = found + step * np.minimum(1, _LONGEST_STEP / np.maximum(longest, _NEAR))
        if float(longest.max()) < _NEAR:
            break
    # what did not settle is not defined
    return np.where(longest < _NEAR_ENOUGH, found, np.nan)


def _design(schedule: Schedule) -> Floats:
    """A row a pair: 1 for its first, −1 for its second; without player 0."""
    design = np.zeros((len(schedule.pairs), schedule.n))
    for place, (first, second) in enumerate(schedule.pairs):
        design[place, first], design[place, second] = 1, -1
    return design[:, 1:]


def _curvature(schedule: Schedule, spreads: Floats) -> Floats:
    """The negative Hessians, of shape (rows, n − 1, n − 1), from each pair's n p (1 − p)."""
    first, second = np.array(schedule.pairs).T
    found = np.zeros((len(spreads), schedule.n, schedule.n))
    found[:, first, second] = found[:, second, first] = -spreads
    places = np.arange(schedule.n)
    found[:, places, places] = -found.sum(axis=2)
    return found[:, 1:, 1:]


def reaches(links: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a chain of links leads from the player down to the player across."""
    found = links | np.eye(len(links), dtype=np.bool_)
    while True:
        further = (found.astype(np.int64) @ found.astype(np.int64)) > 0
        if (further == found).all():
            return found
        found = further
