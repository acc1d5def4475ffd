"""Whether a win rate is not one half, told as soon as it can be, at any moment.

Testing by betting: Waudby-Smith and Ramdas 2023, arXiv:2010.09686, §4, the hedged capital process
with predictable plug-in bets. Against each possible mean m there are two gamblers, one who bets
that scores are above m and one who bets that they are below, each with half of the money. Were m
the mean, neither could expect to win, and by Ville's inequality the money would ever reach 1/α
times itself with a chance of α at most, however often one looks and whenever one stops.

Scores have to be of one prompt each and come in an order that has nothing to do with them.
"""

import math
from typing import Literal

import numpy as np

from cai.errors import EvaluationError
from cai.evaluation.stats.bootstrap import Floats, Interval

_MOST_OF_CAPITAL = 0.5  # the most that a bet can lose
_N_MEANS = 1001
_CELLS = 2_000_000


def share_of_error(alpha: float, n_pairs: int) -> float:
    """The α for each of several pairs watched at once, so that α holds for all (Bonferroni)."""
    return alpha / max(1, n_pairs)


class Betting:
    """Takes one prompt's score after the other, each in [0, 1]: 1 is won by the policy, ½ is even.

    Of several responses to a prompt the score is the mean.
    """

    def __init__(self, alpha: float = 0.05) -> None:
        if not 0 < alpha < 1:
            raise EvaluationError(
                f"An error rate of {alpha} cannot be kept: give one between 0 and 1, such as 0.05."
            )
        self._alpha = alpha
        self._scores: list[float] = []
        self._bets: list[float] = []
        self._sum, self._squares = 0.5, 0.25  # as if one score had been one half
        self._above, self._below = 0.0, 0.0  # logarithms of either gambler's capital
        self._most = {"above": math.log(0.5), "below": math.log(0.5)}
        self._side: Literal["above", "below"] | None = None

    @property
    def n(self) -> int:
        return len(self._scores)

    @property
    def evidence(self) -> float:
        """How many times the stake has been won against one half, at the best moment so far.

        Its inverse is a p-value that holds at any moment.
        """
        return math.exp(max(0.0, *self._most.values()))

    @property
    def is_decided(self) -> bool:
        return self._side is not None

    @property
    def side(self) -> Literal["above", "below"] | None:
        """Where the mean is, seen from one half, once that is decided; it stays so."""
        return self._side

    def add(self, score: float) -> None:
        """Raises an EvaluationError for a score outside of [0, 1]."""
        if not 0 <= score <= 1:
            raise EvaluationError(
                f"A score of {score} cannot be bet on: scores are between 0 and 1, one a prompt."
            )
        bet = self._next_bet()
        self._scores.append(score)
        self._bets.append(bet)
        stake = min(bet, 2 * _MOST_OF_CAPITAL)
        self._above += math.log1p(stake * (score - 0.5))
        self._below += math.log1p(-stake * (score - 0.5))
        self._note("above", self._above)
        self._note("below", self._below)
        self._sum += score
        self._squares += (score - self._sum / (self.n + 1)) ** 2

    def interval(self) -> Interval:
        """Means that nothing speaks against yet, within a thousandth.

        With chance 1 − α every one of these intervals, at all moments together, holds the mean.
        """
        means = np.linspace(0, 1, _N_MEANS)
        is_left = self._most_against(means) < math.log(1 / self._alpha)
        if not is_left.any():  # the mean has moved, or α has happened
            return (0.0, 1.0)
        left = means[is_left]
        step = 1 / (_N_MEANS - 1)
        return max(0.0, float(left[0]) - step), min(1.0, float(left[-1]) + step)

    def _next_bet(self) -> float:
        """What would do best at a difference that this many scores can just show."""
        spread = self._squares / (self.n + 1)
        t = self.n + 1
        return math.sqrt(2 * math.log(2 / self._alpha) / (spread * t * math.log(t + 1)))

    def _note(self, side: Literal["above", "below"], capital: float) -> None:
        half = capital + math.log(0.5)
        self._most[side] = max(self._most[side], half)
        if self._side is None and half >= math.log(1 / self._alpha):
            self._side = side

    def _most_against(self, means: Floats) -> Floats:
        """The logarithm of the most capital there has been against each mean."""
        scores, bets = np.array(self._scores), np.array(self._bets)
        above, below = np.zeros(len(means)), np.zeros(len(means))
        most = np.full(len(means), math.log(0.5))
        most_up = _MOST_OF_CAPITAL / np.maximum(means, 1e-12)
        most_down = _MOST_OF_CAPITAL / np.maximum(1 - means, 1e-12)
        block = max(1, _CELLS // len(means))
        for start in range(0, len(scores), block):
            bet = bets[start : start + block, None]
            off = scores[start : start + block, None] - means
            ups = above + np.cumsum(np.log1p(np.minimum(bet, most_up) * off), axis=0)
            downs = below + np.cumsum(np.log1p(-np.minimum(bet, most_down) * off), axis=0)
            most = np.maximum(most, np.maximum(ups, downs).max(axis=0) + math.log(0.5))
            above, below = ups[-1], downs[-1]
        return most
