"""Win rates from matches: by hand, with all that cannot be read apart, and never falsely sure."""

import numpy as np
import pytest
from made_matches import add_matches, matches_of

from cai.evaluation.policies.matchups import Match, Matches
from cai.evaluation.policies.win_rates import win_rates


def test_a_win_rate_by_hand():
    """won, won, lost, tie, inconsistent, equal, unparsed, refused, failed, empty; two a prompt.

    Readable are six: (2 + ½ + ½ + ½) / 6 = 3.5 / 6. The probabilities of the earlier policy are
    0.2, 0.2, 0.9, 0.5, 0.6, 0.5, so of the later (0.8 + 0.8 + 0.1 + 0.5 + 0.4 + 0.5) / 6 = 3.1 / 6.
    """
    (found,) = win_rates(matches_of("wwlti=urfe", each=2), seed=0)
    assert (found.policy, found.opponent, found.n, found.n_prompts) == ("new", "old", 10, 5)
    assert list(found.outcomes.items()) == [
        ("a", 2), ("b", 1), ("tie", 1), ("inconsistent", 1), ("equal", 1),
        ("unparsed", 1), ("refused", 1), ("failed", 1), ("empty", 1),
    ]  # fmt: skip
    assert found.rate is not None
    assert (found.rate.value, found.rate.n) == (pytest.approx(3.5 / 6), 6)
    assert found.rate.low is not None
    assert found.rate.high is not None
    assert found.rate.low < 3.5 / 6 < found.rate.high
    assert found.probability is not None
    assert (found.probability.value, found.probability.n) == (pytest.approx(3.1 / 6), 6)
    assert found.longer == 0


def test_either_order_of_the_names_is_the_same_pair():
    turned = Matches()
    turned.add(Match(0, "old", "new", "b", 0.2, 10, 20))
    turned.add(Match(1, "new", "old", "a", 0.7, 30, 20))
    turned.add(Match(2, "new", "old", "b", 0.4, 10, 20))
    (found,) = win_rates(turned, seed=0)
    assert (found.policy, found.outcomes["a"], found.outcomes["b"]) == ("new", 2, 1)
    assert found.rate is not None
    assert found.rate.value == pytest.approx(2 / 3)
    assert found.probability is not None
    assert found.probability.value == pytest.approx((0.8 + 0.7 + 0.4) / 3)
    assert found.longer == pytest.approx(2 / 3)


def test_of_several_policies_each_pair_has_a_rate_of_the_later_one():
    matches = matches_of("wl")
    add_matches(matches, "ww", ("old", "newest"))
    add_matches(matches, "w", ("new", "newest"))
    found = [(each.policy, each.opponent, each.n) for each in win_rates(matches, seed=0)]
    assert found == [("new", "old", 2), ("newest", "old", 2), ("newest", "new", 1)]


def test_all_ties_are_even_without_an_interval():
    (found,) = win_rates(matches_of("tti==t" * 10), seed=0)
    assert found.rate is not None
    assert (found.rate.value, found.rate.n) == (0.5, 60)
    assert (found.rate.low, found.rate.high) == (None, None)


def test_without_a_readable_verdict_there_is_no_rate():
    (found,) = win_rates(matches_of("urfe" * 10), seed=0)
    assert (found.n, found.rate, found.probability, found.length_controlled) == (
        40, None, None, None,
    )  # fmt: skip
    assert found.outcomes["a"] == 0
    assert win_rates(Matches(), seed=0) == ()


def test_winning_everything_has_the_exact_bound_of_as_many_prompts():
    """Ten prompts of two matches: x¹⁰ = 0.025."""
    (found,) = win_rates(matches_of("w" * 20, each=2), seed=0)
    assert found.rate is not None
    assert (found.rate.value, found.rate.high) == (1, 1)
    assert found.rate.low == pytest.approx(0.025 ** (1 / 10))


def test_matches_of_one_prompt_that_go_together_are_one():
    """Four that rise and fall together have the interval of a fourth of them."""
    results = "".join(np.random.default_rng(2).choice(["w", "l"], 60))
    (alone,) = win_rates(matches_of(results), seed=0)
    (fourfold,) = win_rates(matches_of("".join(4 * each for each in results), each=4), seed=0)
    assert alone.rate is not None
    assert fourfold.rate is not None
    assert (fourfold.rate.value, fourfold.rate.low, fourfold.rate.high) == pytest.approx(
        (alone.rate.value, alone.rate.low, alone.rate.high)
    )
    assert fourfold.rate.n == 240


def test_exchanging_the_policies_turns_the_rate_round():
    results = "".join(np.random.default_rng(3).choice(["w", "l", "t"], 100))
    (found,) = win_rates(matches_of(results), seed=0)
    (turned,) = win_rates(matches_of(results.translate(str.maketrans("wl", "lw"))), seed=0)
    assert found.rate is not None
    assert turned.rate is not None
    assert found.rate.low is not None
    assert found.rate.high is not None
    assert turned.rate.value == pytest.approx(1 - found.rate.value)
    assert (turned.rate.low, turned.rate.high) == pytest.approx(
        (1 - found.rate.high, 1 - found.rate.low), abs=0.02
    )
