"""The penalties as reward functions: each on an example, and beside other rewards."""

import pytest

from cai.errors import UsageError
from cai.training.rewards.functions import (
    evasiveness_penalty,
    make_length_penalty,
    with_penalties,
)


def test_length_is_free_up_to_a_point_then_costs_by_the_token_up_to_the_most():
    """Free 2, 0.25 a token, at most 1: 2 tokens cost 0, 3 cost 0.25, 100 cost 1."""
    penalty = make_length_penalty(free=2, per_token=0.25, most=1.0)
    ids = [[7] * n for n in (0, 2, 3, 100)]
    assert penalty(completion_ids=ids, completions=[""] * 4) == [0, 0, -0.25, -1.0]


@pytest.mark.parametrize("wrong", [{"free": -1}, {"per_token": -0.1}, {"most": -1.0}])
def test_a_penalty_below_zero_is_refused(wrong: dict[str, float]):
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} is -"):
        make_length_penalty(**wrong)


def test_only_stock_refusals_and_empty_responses_are_penalised():
    completions = [
        "I cannot help with that question.",
        [{"role": "assistant", "content": "I cannot help with that question."}],
        "I will not help to break it, because it hurts someone.",
        "Turn the key twice.",
        " ",
    ]
    assert evasiveness_penalty(completions=completions) == [-1, -1, 0, 0, -1]


def test_penalties_come_after_the_rewards_and_weigh_nothing_unless_asked():
    functions, weights = with_penalties([len])
    assert [function.__name__ for function in functions] == [
        "len", "length_penalty", "evasiveness_penalty",
    ]  # fmt: skip
    assert weights == [1.0, 0.0, 0.0]


def test_penalties_take_their_own_weights():
    penalty = make_length_penalty(free=8)
    functions, weights = with_penalties([len], [2.0], length=(0.5, penalty), evasiveness=3.0)
    assert functions[1] is penalty
    assert weights == [2.0, 0.5, 3.0]
