"""Ratings: closed forms, the library, a maximisation of our own, and what has no rating."""

import math

import choix
import numpy as np
import pytest
from made_matches import add_matches, matches_of
from scipy.optimize import minimize

from cai.errors import EvaluationError
from cai.evaluation.policies.matchups import Matches
from cai.evaluation.policies.ratings import POINTS, Rating, ratings

TEN = [f"round {i}" for i in range(10)]


def tournament(seed: int = 0, n_prompts: int = 20) -> tuple[Matches, np.ndarray]:
    """Ten policies, each pair on the same prompts, and their table of wins."""
    rng = np.random.default_rng(seed)
    true = np.linspace(0, 2, 10)
    matches, wins = Matches(), np.zeros((10, 10))
    for i in range(10):
        for j in range(i + 1, 10):
            won = rng.random(n_prompts) < 1 / (1 + math.exp(true[i] - true[j]))
            add_matches(matches, "".join("w" if each else "l" for each in won), (TEN[i], TEN[j]))
            wins[j, i], wins[i, j] = won.sum(), n_prompts - won.sum()
    return matches, wins


def test_of_two_the_rating_is_the_logarithm_of_wins_over_losses():
    """30 wins of 40: odds of three, 400 · log₁₀ 3 = 190.85 points."""
    anchor, new = ratings(matches_of("wwwl" * 10), ["old", "new"], "old", seed=0)
    assert anchor == Rating("old", 40, 0.0)
    assert new.value == pytest.approx(400 * math.log10(3))
    assert new.n == 40
    assert new.low is not None
    assert new.high is not None
    assert 0 < new.low < 400 * math.log10(3) < new.high


@pytest.mark.parametrize("half", ["t", "i", "="])
def test_without_a_side_each_has_half_a_win(half: str):
    """24 wins, 12 halves, 4 losses of 40: (24 + 6) : (4 + 6) = 3."""
    results = "w" * 24 + half * 12 + "llll" + "urfe"
    _, new = ratings(matches_of(results), ["old", "new"], "old", seed=0)
    assert (new.n, new.value) == (40, pytest.approx(400 * math.log10(3)))


def test_where_the_fit_comes_to_no_end_there_is_no_rating():
    """d loses 17,110 times to b, and few matches lead back: the library gives up."""
    matches = Matches()
    for pair, n in {"ca": 24, "ab": 14, "db": 17_110, "bc": 2, "cd": 1_151}.items():
        add_matches(matches, "w" * n, (pair[0], pair[1]))
    found = ratings(matches, list("abcd"), "a", seed=0)
    assert [each.value for each in found] == [0.0, None, None, None]
    assert [each.low for each in found] == [None] * 4
    assert [each.n for each in found] == [38, 17_126, 1_177, 18_261]


def test_three_policies_whose_odds_multiply():
    """b : a = 2, c : b = 2, c : a = 4 fit without a rest: 0, 120.4 and 240.8 points."""
    matches = add_matches(Matches(), "wwl" * 10, ("a", "b"))
    add_matches(matches, "wwl" * 10, ("b", "c"))
    add_matches(matches, "wwwwl" * 6, ("a", "c"))
    found = ratings(matches, ["a", "b", "c"], "a", seed=0)
    assert [each.value for each in found] == pytest.approx([0, 120.41, 240.82], abs=0.01)
    turned = ratings(matches, ["a", "b", "c"], "b", seed=0)
    assert [each.value for each in turned] == pytest.approx([-120.41, 0, 120.41], abs=0.01)


def test_ten_policies_have_the_ratings_of_the_library_and_of_a_direct_maximisation():
    matches, wins = tournament()
    found = np.array([each.value for each in ratings(matches, TEN, TEN[0], seed=0)]) / POINTS
    data = [(i, j) for i in range(10) for j in range(10) for _ in range(round(wins[i, j]))]
    library = choix.opt_pairwise(10, data, alpha=0, tol=1e-12)
    assert found == pytest.approx(library - library[0], abs=1e-6)

    def loss(free: np.ndarray) -> float:
        all_ten = np.concatenate(([0.0], free))
        return float((wins * np.logaddexp(0, all_ten[None, :] - all_ten[:, None])).sum())

    direct = minimize(loss, np.zeros(9), method="BFGS", options={"gtol": 1e-7}).x
    assert found[1:] == pytest.approx(direct, abs=1e-4)


def test_who_never_met_the_anchor_nor_who_met_it_has_no_rating():
    matches = add_matches(Matches(), "wwl" * 5, ("a", "b"))
    add_matches(matches, "wwl" * 5, ("c", "d"))
    add_matches(matches, "uuu", ("b", "c"))
    a, b, c, d, e = ratings(matches, ["a", "b", "c", "d", "e"], "a", seed=0)
    assert a.value == 0
    assert b.value == pytest.approx(400 * math.log10(2))
    assert (c, d, e) == (Rating("c", 15, None), Rating("d", 15, None), Rating("e", 0, None))


def test_who_wins_everything_has_no_upper_end():
    """No odds are the best of 30 : 0; half a win each way gives 30.5 / 0.5 = 61.

    30 prompts are all won in 2.5 % of evaluations at a rate of 0.025^(1/30) = 0.8843.
    """
    _, new = ratings(matches_of("w" * 30), ["old", "new"], "old", seed=0)
    least = 400 * math.log10(0.8843 / 0.1157)
    assert (new.value, new.high) == (pytest.approx(400 * math.log10(61)), None)
    assert new.low == pytest.approx(least, abs=0.1)
    _, lost = ratings(matches_of("l" * 30), ["old", "new"], "old", seed=0)
    assert (lost.low, lost.high) == (None, pytest.approx(-least, abs=0.1))


@pytest.mark.parametrize(("n_losses", "has_high"), [(1, False), (3, False), (4, True)])
def test_few_losses_leave_the_upper_end_open(n_losses: int, has_high: bool):
    """Of 100 prompts, resamples without a loss are 0.97^100 = 4.8 % with three, 1.7 % with four."""
    results = "l" * n_losses + "w" * (100 - n_losses)
    _, new = ratings(matches_of(results), ["old", "new"], "old", seed=0)
    assert new.low is not None
    assert (new.high is not None) == has_high


def test_who_is_above_all_has_no_upper_end_and_the_others_keep_theirs():
    matches = add_matches(Matches(), "wwl" * 10, ("a", "b"))
    add_matches(matches, "w" * 30, ("b", "c"))
    _, b, c = ratings(matches, ["a", "b", "c"], "a", seed=0)
    assert b.low is not None and b.high is not None
    assert b.value == pytest.approx(400 * math.log10(2), abs=10)
    assert c.value is not None and c.low is not None
    assert c.value > c.low > b.value
    assert c.high is None


def test_who_loses_once_in_a_group_that_wins_all_else_has_no_interval():
    """b and c beat a always, and each other: how far above a they are, nothing tells."""
    matches = add_matches(Matches(), "w" * 30, ("a", "b"))
    add_matches(matches, "w" * 30, ("a", "c"))
    add_matches(matches, "wl" * 15, ("b", "c"))
    _, b, c = ratings(matches, ["a", "b", "c"], "a", seed=0)
    assert (b.low, b.high, c.low, c.high) == (None,) * 4


def test_all_ties_are_equal_without_an_interval():
    assert ratings(matches_of("t" * 30), ["old", "new"], "old", seed=0)[1] == Rating("new", 30, 0.0)


def test_prompts_are_drawn_for_all_pairs_together():
    """b and c have the same results against a on the same prompts: c − b is nothing, always.

    The interval of c with b as the anchor is then none, though either's against a is wide.
    """
    results = "wwlwlwwwlw" * 5
    matches = add_matches(Matches(), results, ("a", "b"))
    add_matches(matches, results, ("a", "c"))
    _, _, c = ratings(matches, ["b", "a", "c"], "b", seed=0)
    assert c.value == pytest.approx(0, abs=1e-6)
    assert (c.low, c.high) == (None, None)
    _, b, _ = ratings(matches, ["a", "b", "c"], "a", seed=0)
    assert b.low is not None
    assert b.high is not None
    assert b.high - b.low > 100


def test_matches_of_one_prompt_count_once():
    results = "wwlwlwwwlw" * 6
    alone = ratings(matches_of(results), ["old", "new"], "old", seed=0)[1]
    fourfold = ratings(
        matches_of("".join(4 * each for each in results), each=4), ["old", "new"], "old", seed=0
    )[1]
    assert (fourfold.low, fourfold.high) == pytest.approx((alone.low, alone.high), rel=0.05)


def test_an_anchor_that_is_no_policy_is_an_error():
    with pytest.raises(EvaluationError, match="'oldest' is none of old, new"):
        ratings(matches_of("wl"), ["old", "new"], "oldest", seed=0)
