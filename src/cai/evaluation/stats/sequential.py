"""Whether a win rate differs from one half, tested as the scores come, at any moment.

Testing by betting: Waudby-Smith and Ramdas 2023, arXiv:2010.09686, §4, the hedged capital process
with predictable plug-in bets. Against each possible mean m there are two gamblers, one who bets
that scores are above m and one who bets that they are below, each with half of the capital. Were m
the mean, neither could expect to win, and by Ville's inequality the capital would ever reach 1/α
times itself with a chance of α at most, however often one looks and whenever one stops.

Scores have to be of one prompt each and come in an order that has nothing to do with them.
"""

import math
from typing import Literal

import numpy as np

from cai.errors import EvaluationError
from cai.evaluation.stats.bootstrap import Floats, Interval

# Our own, since scipy and statsmodels have tests of a fixed size only, and repeated looks at one of
# those report differences that do not exist far more often than they claim.

_MAX_STAKE = 0.5  # the share of the capital that a bet can lose at most
_N_MEANS = 1001
_BLOCK_CELLS = 2_000_000


def bonferroni(alpha: float, n_pairs: int) -> float:
    """The error rate for each of several pairs tested at once, so that α holds for all."""
    return alpha / max(1, n_pairs)


class SequentialTest:
    """Takes one prompt's score after the other, each in [0, 1]: 1 is a win of the policy, ½ a tie.

    Of several responses to a prompt the score is the mean.

    Raises:
        EvaluationError: `alpha`, the error rate, is not between 0 and 1.

    Example:
        test = SequentialTest(alpha=0.05)
        for score in (1.0, 0.5, 1.0, 1.0):
            test.add(score)
            if test.is_decided:
                break
        print(test.side, test.evidence, test.interval())
    """

    def __init__(self, alpha: float = 0.05) -> None:
        if not 0 < alpha < 1:
            raise EvaluationError(
                f"An error rate of {alpha} is impossible: give one between 0 and 1, such as 0.05."
            )
        self._alpha = alpha
        self._scores: list[float] = []
        self._bets: list[float] = []
        # The paper's plug-in mean and variance: they start as if one score had been one half, so
        # the first bet is defined, and a bet never looks at the score it is made on.
        self._sum, self._squares = 0.5, 0.25
        self._above, self._below = 0.0, 0.0  # logarithms of either gambler's capital
        self._highest = {"above": math.log(0.5), "below": math.log(0.5)}
        self._side: Literal["above", "below"] | None = None

    @property
    def n(self) -> int:
        return len(self._scores)

    @property
    def evidence(self) -> float:
        """The highest capital so far against one half, as a multiple of the stake; at least 1.

        Its inverse is a p-value that holds at any moment.
        """
        return math.exp(max(0.0, *self._highest.values()))

    @property
    def is_decided(self) -> bool:
        return self._side is not None

    @property
    def side(self) -> Literal["above", "below"] | None:
        """On which side of one half the mean is, once that is decided; it stays so."""
        return self._side

    def add(self, score: float) -> None:
        """Takes the next score.

        Raises:
            EvaluationError: The score is outside of [0, 1].
        """
        if not 0 <= score <= 1:
            raise EvaluationError(
                f"A score of {score} cannot be tested: scores are between 0 and 1, one a prompt."
            )
        bet = self._next_bet()
        self._scores.append(score)
        self._bets.append(bet)
        # at m = ½ a score is at most ½ away, so a bet of 2 · _MAX_STAKE loses _MAX_STAKE at most
        stake = min(bet, 2 * _MAX_STAKE)
        self._above += math.log1p(stake * (score - 0.5))
        self._below += math.log1p(-stake * (score - 0.5))
        self._record("above", self._above)
        self._record("below", self._below)
        self._sum += score
        self._squares += (score - self._sum / (self.n + 1)) ** 2

    def interval(self) -> Interval:
        """The confidence sequence now: means that are not rejected yet, within a thousandth.

        With chance 1 − α every one of these intervals, at all moments together, holds the mean.
        """
        means = np.linspace(0, 1, _N_MEANS)
        is_kept = self._highest_log_capital(means) < math.log(1 / self._alpha)
        if not is_kept.any():  # the mean has moved, or the error of chance α has happened
            return (0.0, 1.0)
        kept = means[is_kept]
        step = 1 / (_N_MEANS - 1)  # the true limits are up to one grid step further out
        return max(0.0, float(kept[0]) - step), min(1.0, float(kept[-1]) + step)

    def _next_bet(self) -> float:
        """λ, the paper's plug-in bet: the best at a difference that t scores can just show."""
        t = self.n + 1
        variance = self._squares / t
        return math.sqrt(2 * math.log(2 / self._alpha) / (variance * t * math.log(t + 1)))

    def _record(self, side: Literal["above", "below"], log_capital: float) -> None:
        half = log_capital + math.log(0.5)
        self._highest[side] = max(self._highest[side], half)
        if self._side is None and half >= math.log(1 / self._alpha):
            self._side = side

    def _highest_log_capital(self, means: Floats) -> Floats:
        """The logarithm of the highest capital there has been against each mean."""
        scores, bets = np.array(self._scores), np.array(self._bets)
        above, below = np.zeros(len(means)), np.zeros(len(means))
        highest = np.full(len(means), math.log(0.5))
        max_up = _MAX_STAKE / np.maximum(means, 1e-12)
        max_down = _MAX_STAKE / np.maximum(1 - means, 1e-12)
        block = max(1, _BLOCK_CELLS // len(means))  # bounds the memory, whatever the scores
        for start in range(0, len(scores), block):
            bet = bets[start : start + block, None]
            off = scores[start : start + block, None] - means
            ups = above + np.cumsum(np.log1p(np.minimum(bet, max_up) * off), axis=0)
            downs = below + np.cumsum(np.log1p(-np.minimum(bet, max_down) * off), axis=0)
            highest = np.maximum(highest, np.maximum(ups, downs).max(axis=0) + math.log(0.5))
            above, below = ups[-1], downs[-1]
        return highest
