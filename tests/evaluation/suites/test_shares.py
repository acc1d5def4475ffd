"""Named shares: their order, their categories, and the difference of two policies by prompt."""

import random

import pytest

from cai.evaluation.suites.shares import PromptShares


def shares_of(*values: float, figure: str = "refused") -> PromptShares:
    """One value for each prompt, numbered from 0."""
    shares = PromptShares(frozenset({"mark"}))
    for unit, value in enumerate(values):
        shares.add(figure, unit, value)
    return shares


def test_a_figure_stands_before_those_of_its_categories():
    shares = PromptShares()
    for unit, group in enumerate("bab"):
        shares.add("refused", unit, unit / 2, group)
    shares.add("empty", 0, 0.0, "b")
    assert list(shares.estimates()) == ["refused", "refused: a", "refused: b", "empty"]
    assert shares.estimates()["refused: b"].value == 0.5


def test_the_difference_is_that_of_the_means_over_the_prompts_that_both_have():
    """Of prompts 0 to 2: (1 + 1 + 0) / 3 less (0 + 1 + 0) / 3; prompt 3 has one alone."""
    found = shares_of(1, 1, 0).less(shares_of(0, 1, 0, 1))["refused"]
    assert found.value == pytest.approx(1 / 3)
    assert found.n == 3


def test_a_difference_that_all_prompts_share_is_surer_than_the_two_intervals_say():
    """Prompts differ much from each other, and each by the same 0.1 or 0.2 between policies."""
    rng = random.Random(0)
    before = [rng.random() * 0.8 for _ in range(100)]
    after = [value + rng.choice((0.1, 0.2)) for value in before]
    first, last = shares_of(*before), shares_of(*after)
    found, alone = last.less(first)["refused"], first.estimates()["refused"]
    assert found.low is not None and found.high is not None
    assert alone.low is not None and alone.high is not None
    assert 0.1 < found.low < found.value < found.high < 0.2
    assert found.high - found.low < (alone.high - alone.low) / 4


def test_exchanging_the_policies_changes_the_sign():
    first, last = shares_of(0, 1, 0, 0, 1), shares_of(1, 1, 1, 0, 0)
    order_ab, order_ba = last.less(first)["refused"], first.less(last)["refused"]
    assert order_ab.value == pytest.approx(-order_ba.value)


def test_a_mark_and_its_difference_are_on_the_scale_from_1_to_10():
    first, last = shares_of(0.0, 0.5, figure="mark"), shares_of(0.5, 1.0, figure="mark")
    assert first.estimates()["mark"].value == pytest.approx(1 + 9 * 0.25)
    assert last.less(first)["mark"].value == pytest.approx(4.5)


def test_of_failures_there_is_a_share_and_no_difference():
    first, last = shares_of(1), shares_of(1)
    first.add_failed(1, 1)
    last.add_failed(2, 0)
    assert first.estimates()["failed"].value == 0.5
    assert set(last.less(first)) == {"refused"}


def test_prompts_that_are_not_in_both_have_no_difference():
    first, last = PromptShares(), PromptShares()
    first.add("refused", 1, 1.0)
    last.add("refused", 2, 1.0)
    assert last.less(first) == {}
