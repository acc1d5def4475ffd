"""Several rewards as one judgement: what one of them could not score has none of the others."""

from collections.abc import Sequence
from typing import Any

import pytest

from cai.errors import ModelUnavailable
from cai.training.rewards.functions import columns_of

BATCH = ["a", "b", "c"]


def reward(name: str, values: Sequence[float | None]) -> Any:
    def found(completions: Sequence[str], **given: object) -> list[float | None]:
        calls.append(name)
        return list(values)

    calls: list[str] = []
    found.__name__ = name
    found.calls = calls  # pyright: ignore[reportFunctionMemberAccess]
    return found


def asked_later(name: str, values: Sequence[float | None]) -> Any:
    plain = reward(name, values)

    async def found(completions: Sequence[str], **given: object) -> list[float | None]:
        return plain(completions)

    found.__name__ = name
    found.calls = plain.calls  # pyright: ignore[reportFunctionMemberAccess]
    return found


async def read(functions: list[Any], weights: list[float]) -> tuple[list[Any], dict[str, float]]:
    logged: dict[str, float] = {}
    columns = columns_of(functions, weights)
    found = [
        await column(completions=BATCH, prompts=[], log_metric=logged.__setitem__)
        for column in columns
    ]
    return found, logged


async def test_a_completion_that_one_reward_could_not_score_has_no_reward():
    judge, model = asked_later("judge", [0.9, None, 0.1]), reward("reward_model", [1.0, 2.0, 3.0])
    length = reward("length_penalty", [0.0, -1.0, 0.0])
    found, logged = await read([judge, model, length], [1.0, 0.5, 0.0])
    assert found == [[0.9, None, 0.1], [1.0, None, 3.0], [0.0, None, 0.0]]
    assert logged == {"not_scored": pytest.approx(1 / 3)}


async def test_a_reward_of_weight_zero_leaves_nothing_out():
    found, logged = await read(
        [asked_later("judge", [0.9, 0.5, 0.1]), reward("looked_at", [None, 1.0, 1.0])], [1.0, 0.0]
    )
    assert found == [[0.9, 0.5, 0.1], [None, 1.0, 1.0]]
    assert logged == {"not_scored": 0}


async def test_each_reward_is_computed_once_for_a_batch_and_anew_for_the_next():
    judge, length = asked_later("judge", [0.9, 0.5, 0.1]), reward("length_penalty", [0.0] * 3)
    columns = columns_of([length, judge], [0.0, 1.0])
    for batch in (list(BATCH), list(BATCH)):
        for column in columns:
            await column(completions=batch, log_metric=lambda name, value: None)
    assert len(judge.calls) == len(length.calls) == 2


async def test_rewards_keep_their_names_and_places():
    functions = [reward("one", [1.0] * 3), asked_later("two", [2.0] * 3)]
    columns = columns_of(functions, [1.0, 1.0])
    assert [each.__name__ for each in columns] == ["one", "two"]
    assert (await read(functions, [1.0, 1.0]))[0] == [[1.0] * 3, [2.0] * 3]


async def test_what_a_reward_raises_comes_out_of_every_column():
    async def judge(completions: Sequence[str], **given: object) -> list[float | None]:
        raise ModelUnavailable("Nothing could be judged.")

    for column in columns_of([judge, reward("length_penalty", [0.0] * 3)], [1.0, 0.0]):
        with pytest.raises(ModelUnavailable):
            await column(completions=BATCH, log_metric=lambda name, value: None)
