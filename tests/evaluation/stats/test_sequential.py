"""The test that may be looked at always: by hand, how often it errs, and what it takes."""

import math
from itertools import pairwise

import numpy as np
import pytest

from cai.errors import EvaluationError
from cai.evaluation.stats.sequential import SequentialTest, bonferroni


def after(scores: list[float], alpha: float = 0.05) -> SequentialTest:
    test = SequentialTest(alpha)
    for score in scores:
        test.add(score)
    return test


def drawn(rate: float, n: int, seed: int) -> list[float]:
    return (np.random.default_rng(seed).random(n) < rate).astype(np.float64).tolist()


@pytest.mark.parametrize(("alpha", "n"), [(0.05, 10), (0.01, 14)])
def test_wins_in_a_row_by_hand(alpha: float, n: int):
    """Each bet is the greatest allowed, half of the capital: a win makes it one and a half.

    Half of the money is on this side, so ½ · 1.5ⁿ has to reach 20: n = 10 (28.8), or 100: 14.
    """
    before, then = after([1.0] * (n - 1), alpha), after([1.0] * n, alpha)
    assert (before.is_decided, before.side) == (False, None)
    assert (then.is_decided, then.side, then.n) == (True, "above", n)
    assert then.evidence == pytest.approx(0.5 * 1.5**n)


def test_two_bets_by_hand():
    """α = 0.5. Nothing seen, the spread is ¼ and the bet √(2 ln 4 / (¼ · 1 · ln 2)) = 4, cut to 1:
    a win makes 1.5. The mean is then (½ + 1) / 2, the squares ¼ + ¼², the spread 0.15625, and the
    bet √(2 ln 4 / (0.15625 · 2 · ln 3)) = 2.84, cut to 1: a tie makes it no more, a win 2.25.

    Half of 2.25 is 1.125.
    """
    assert after([1.0], 0.5).evidence == 1  # ¾, and the stake itself is the least
    assert after([1.0, 1.0], 0.5).evidence == pytest.approx(1.125)


def capital(scores: list[float], mean: float, alpha: float) -> float:
    """The most that either half of the money came to, as the paper writes it, sum by sum."""
    most, above, below = 0.5, 0.5, 0.5
    for t in range(1, len(scores) + 1):
        means = [(0.5 + sum(scores[:i])) / (i + 1) for i in range(1, t)]
        squares = sum((x - m) ** 2 for x, m in zip(scores, means, strict=False))
        spread = (0.25 + squares) / t
        bet = math.sqrt(2 * math.log(2 / alpha) / (spread * t * math.log(t + 1)))
        above *= 1 + min(bet, 0.5 / mean) * (scores[t - 1] - mean)
        below *= 1 - min(bet, 0.5 / (1 - mean)) * (scores[t - 1] - mean)
        most = max(most, above, below)
    return most


def test_evidence_and_interval_are_those_of_the_paper():
    """Of scores with ties; a mean is in the interval while the capital against it is below 20."""
    scores = np.random.default_rng(5).choice([0.0, 0.5, 0.75, 1.0], 120).tolist()
    test = after(scores)
    assert test.evidence == pytest.approx(max(1, capital(scores, 0.5, 0.05)))
    low, high = test.interval()
    for inside, outside in ((low + 0.002, low - 0.002), (high - 0.002, high + 0.002)):
        assert capital(scores, inside, 0.05) < 20 <= capital(scores, outside, 0.05)


def test_the_sides_are_alike():
    scores = drawn(0.7, 100, seed=1)
    above, below = after(scores), after([1 - score for score in scores])
    assert above.evidence == pytest.approx(below.evidence)
    assert (above.side, below.side) == ("above", "below")
    low, high = above.interval()
    assert below.interval() == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_even_scores_are_never_evidence():
    test = after([0.5] * 500)
    assert (test.evidence, test.is_decided) == (1, False)
    low, high = test.interval()
    assert low < 0.5 < high


def test_a_decision_stays():
    test = after([1.0] * 10 + [0.0] * 10)
    assert (test.is_decided, test.side) == (True, "above")


@pytest.mark.parametrize("rate", [0.5, 0.6, 0.9])
def test_it_is_decided_when_the_interval_leaves_one_half_out(rate: float):
    scores = drawn(rate, 400, seed=3)
    for n in (20, 100, 400):
        test = after(scores[:n])
        low, high = test.interval()
        assert test.is_decided == (not low <= 0.5 <= high)


def test_intervals_lie_in_one_another_and_hold_the_mean():
    scores = drawn(0.7, 600, seed=4)
    intervals = [after(scores[:n]).interval() for n in (0, 50, 200, 600)]
    assert intervals[0] == (0, 1)
    for (low, high), (next_low, next_high) in pairwise(intervals):
        assert low <= next_low < 0.7 < next_high <= high
    assert intervals[-1][1] - intervals[-1][0] < 0.2


def test_the_error_rate_holds_although_one_looks_after_every_prompt():
    """At α = 0.1 of 500 tests of equal policies, 400 prompts each, 50 or fewer err on average.

    A test of fixed size at 0.1, looked at as often, errs in more than a third.
    """
    n_wrong = n_peeking = 0
    for seed in range(500):
        scores = drawn(0.5, 400, seed)
        n_wrong += after(scores, 0.1).is_decided
        n = np.arange(1, 401)
        z = np.abs(np.cumsum(scores) - n / 2) / np.sqrt(n / 4)
        n_peeking += bool((z[19:] > 1.645).any())
    assert n_wrong <= 50
    assert n_peeking > 167


def ends(rate: float, n: int) -> list[int]:
    """After how many scores each of 100 tests is decided, `n` at most."""
    found: list[int] = []
    for seed in range(100):
        test = SequentialTest()
        for score in drawn(rate, n, seed):
            test.add(score)
            if test.is_decided:
                break
        found.append(test.n)
    return found


def test_a_difference_is_found_with_little_more_than_a_fixed_size_takes():
    """At a rate of 0.7 a fixed size takes 42 prompts to find it in 80 % of tests; here as many are
    decided by 100, and 0.9 is found after 20 on average."""
    assert np.percentile(ends(0.7, 200), 80) <= 100
    assert np.mean(ends(0.9, 200)) <= 20


def test_several_pairs_share_the_error():
    assert bonferroni(0.05, 10) == pytest.approx(0.005)
    assert bonferroni(0.05, 0) == 0.05


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_score_outside_is_an_error(score: float):
    with pytest.raises(EvaluationError, match="between 0 and 1"):
        SequentialTest().add(score)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_an_error_rate_that_cannot_be_is_an_error(alpha: float):
    with pytest.raises(EvaluationError, match="error rate"):
        SequentialTest(alpha)
