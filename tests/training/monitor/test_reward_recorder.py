"""The tape: reward functions go through it unchanged, and what they saw comes out as batches."""

import asyncio
from functools import partial

import pytest
import torch

from cai.errors import UsageError
from cai.training.monitor.reward_recorder import RewardTape, text_of

CHAT = [[{"role": "user", "content": "How?"}], [{"role": "user", "content": "Why?"}]]
ANSWERS = [
    [{"role": "assistant", "content": "So."}],
    [{"role": "assistant", "content": "Because."}],
]
GIVEN = {"prompts": CHAT, "completions": ANSWERS, "completion_ids": [[5, 1], [6, 7, 1]]}


def one(**_: object) -> list[float | None]:
    return [1.0, None]


def two(*, factor: float = 1.0, **_: object) -> list[float | None]:
    return [2.0 * factor, None]


async def later(**_: object) -> list[float | None]:
    await asyncio.sleep(0)
    return [10.0, 20.0]


class Judge:
    async def __call__(self, **_: object) -> list[float | None]:
        return [5.0, 5.0]


def test_a_watched_function_returns_the_same_under_the_same_name():
    watched = RewardTape().watched([one, partial(two, factor=3.0), later, Judge()])
    assert [function.__name__ for function in watched] == ["one", "two", "later", "Judge"]
    assert watched[0](**GIVEN) == [1.0, None]
    assert watched[1](**GIVEN) == [6.0, None]
    assert asyncio.run(watched[2](**GIVEN)) == [10.0, 20.0]
    assert asyncio.run(watched[3](**GIVEN)) == [5.0, 5.0]
    assert [asyncio.iscoroutinefunction(function) for function in watched] == [
        False, False, True, True,
    ]  # fmt: skip


def test_the_functions_of_one_generation_make_one_batch_with_weighted_sums():
    """First response: 1·1 + 0.5·2 + 0.1·10 = 3. Second: only the third scored it, 0.1·20 = 2."""
    tape = RewardTape()
    for function in (watched := tape.watched([one, two, later], [1.0, 0.5, 0.1]))[:2]:
        function(**GIVEN)
    asyncio.run(watched[2](**GIVEN))
    (batch,) = tape.take()
    assert batch.responses == ["So.", "Because."]
    assert len(set(batch.prompts)) == 2
    assert batch.rewards == pytest.approx([3, 2])
    assert batch.n_tokens == [2, 3]
    assert tape.take() == []


def test_each_generation_is_a_batch_of_its_own():
    tape = RewardTape()
    (function,) = tape.watched([one])
    function(**GIVEN)
    function(**{**GIVEN, "completions": list(ANSWERS)})
    assert len(tape.take()) == 2


def test_what_no_function_scored_has_no_reward():
    tape = RewardTape()
    (function,) = tape.watched([one])
    function(**GIVEN)
    assert tape.take()[0].rewards == [1.0, None]


def test_a_reward_model_passes_through_and_leaves_the_sum_unknown():
    tape, module = RewardTape(), torch.nn.Linear(1, 1)
    watched = tape.watched([module, one])
    assert watched[0] is module
    watched[1](**GIVEN)
    assert tape.take()[0].rewards is None
    assert not tape.has_all


def test_reward_models_alone_cannot_be_watched():
    with pytest.raises(UsageError, match="Add a penalty with weight 0"):
        RewardTape().watched([torch.nn.Linear(1, 1), "some/model"])


def test_weights_must_be_as_many_as_rewards():
    with pytest.raises(UsageError, match="1 weights for 2 rewards"):
        RewardTape().watched([one, two], [1.0])


def test_the_text_of_a_completion_is_that_of_its_turns():
    assert text_of("plain") == "plain"
    assert (
        text_of([{"role": "assistant", "content": "a"}, {"role": "tool", "content": None}]) == "a\n"
    )
