"""Reward batches: columns for TRL computed once and together, and recorded as they are."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch

from cai.errors import ModelUnavailable, UsageError
from cai.training.rewards.batch import RewardBatch, RewardRecorder, text_of

CHAT = [[{"role": "user", "content": "How?"}], [{"role": "user", "content": "Why?"}]]
ANSWERS = [
    [{"role": "assistant", "content": "So."}],
    [{"role": "assistant", "content": "Because."}],
]
GIVEN = {"prompts": CHAT, "completions": ANSWERS, "completion_ids": [[5, 1], [6, 7, 1]]}


class Reward:
    """A reward function under a name, which counts its calls."""

    def __init__(self, name: str, values: Sequence[float | None]) -> None:
        self.__name__ = name
        self._values = values
        self.n_calls = 0

    def __call__(self, batch: RewardBatch, **_: object) -> list[float | None]:
        self.n_calls += 1
        return list(self._values)


class Judge(Reward):
    """The same, awaited, and failing where it has no values."""

    async def __call__(self, batch: RewardBatch, **_: object) -> list[float | None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not self._values:
            raise ModelUnavailable("Nothing could be judged.")
        return super().__call__(batch)


async def read(
    functions: Sequence[Reward], weights: Sequence[float], recorder: RewardRecorder | None = None
) -> tuple[list[Any], dict[str, float]]:
    """What TRL gets of one batch from each joint column, and what is logged."""
    logged: dict[str, float] = {}
    columns: list[Any] = (recorder or RewardRecorder()).columns(functions, weights, is_joint=True)
    given = {**GIVEN, "completions": list(ANSWERS), "log_metric": logged.__setitem__}
    return [await column(**given) for column in columns], logged


async def test_a_completion_that_one_reward_could_not_score_has_no_reward():
    functions = [
        Judge("judge", [0.9, None]), Reward("model", [1.0, 2.0]), Reward("length", [0.0, -1.0]),
    ]  # fmt: skip
    found, logged = await read(functions, [1.0, 0.5, 0.0])
    assert found == [[0.9, None], [1.0, None], [0.0, None]]
    assert logged == {"not_scored": 0.5}


async def test_a_reward_of_weight_zero_leaves_nothing_out():
    found, logged = await read(
        [Judge("judge", [0.9, 0.5]), Reward("logged", [None, 1.0])], [1.0, 0.0]
    )
    assert found == [[0.9, 0.5], [None, 1.0]]
    assert logged == {"not_scored": 0}


async def test_each_reward_is_computed_once_for_a_batch_and_again_for_the_next():
    """Two batches of equal completions are two batches."""
    functions, recorder = [Reward("length", [0.0, 0.0]), Judge("judge", [0.9, 0.5])], None
    recorder = RewardRecorder()
    columns: list[Any] = recorder.columns(functions, [0.0, 1.0], is_joint=True)
    for batch in (list(ANSWERS), list(ANSWERS)):
        given = {**GIVEN, "completions": batch, "log_metric": lambda name, value: None}
        for column in columns:
            await column(**given)
    assert [each.n_calls for each in functions] == [2, 2]
    assert [batch.rewards for batch in recorder.take()] == [[0.9, 0.5], [0.9, 0.5]]


async def test_what_a_batch_shares_is_made_once():
    batch, made = RewardBatch(GIVEN), list[str]()

    async def work() -> str:
        made.append("work")
        return "done"

    assert await asyncio.gather(*(batch.shared("key", work) for _ in range(3))) == ["done"] * 3
    assert made == ["work"]


async def test_judges_are_asked_before_other_rewards_are_computed():
    """A reward model holds the event loop; the judges' requests are on their way before."""
    order: list[str] = []

    async def judge(batch: RewardBatch, **_: object) -> list[float]:
        order.append("judge asked")
        return [1.0, 0.0]

    def model(**_: object) -> list[float]:
        order.append("model")
        return [1.0, 0.0]

    columns: list[Any] = RewardRecorder().columns([model, judge], is_joint=True)
    await columns[0](**GIVEN, log_metric=lambda name, value: None)
    assert order == ["judge asked", "model"]


async def test_what_a_reward_raises_comes_out_of_every_column():
    recorder = RewardRecorder()
    functions = [Judge("judge", []), Reward("length", [0.0, 0.0])]
    for column in recorder.columns(functions, [1.0, 0.0], is_joint=True):
        with pytest.raises(ModelUnavailable):
            await column(**GIVEN, log_metric=lambda name, value: None)  # pyright: ignore[reportCallIssue]


def one(**_: object) -> list[float | None]:
    return [1.0, None]


def two(*, factor: float = 1.0, **_: object) -> list[float | None]:
    return [2.0 * factor, None]


async def later(**_: object) -> list[float | None]:
    await asyncio.sleep(0)
    return [10.0, 20.0]


class Called:
    async def __call__(self, **_: object) -> list[float | None]:
        return [5.0, 5.0]


def test_a_recorded_function_returns_the_same_under_the_same_name():
    columns: list[Any] = RewardRecorder().columns([one, partial(two, factor=3.0), later, Called()])
    assert [function.__name__ for function in columns] == ["one", "two", "later", "Called"]
    assert columns[0](**GIVEN) == [1.0, None]
    assert columns[1](**GIVEN) == [6.0, None]
    assert asyncio.run(columns[2](**GIVEN)) == [10.0, 20.0]
    assert asyncio.run(columns[3](**GIVEN)) == [5.0, 5.0]
    assert [asyncio.iscoroutinefunction(function) for function in columns] == [
        False, False, True, True,
    ]  # fmt: skip


def test_the_functions_of_one_generation_make_one_batch_with_weighted_sums():
    """First response: 1·1 + 0.5·2 + 0.1·10 = 3. Second: only the third scored it, 0.1·20 = 2."""
    recorder = RewardRecorder()
    columns: list[Any] = recorder.columns([one, two, later], [1.0, 0.5, 0.1])
    for function in columns[:2]:
        function(**GIVEN)
    asyncio.run(columns[2](**GIVEN))
    (batch,) = recorder.take()
    assert batch.responses == ["So.", "Because."]
    assert len(set(batch.prompts)) == 2
    assert batch.rewards == pytest.approx([3, 2])
    assert batch.n_tokens == [2, 3]
    assert recorder.take() == []


def test_each_generation_is_a_batch_of_its_own_and_what_was_not_scored_has_no_reward():
    recorder = RewardRecorder()
    columns: list[Any] = recorder.columns([one])
    columns[0](**GIVEN)
    columns[0](**{**GIVEN, "completions": list(ANSWERS)})
    assert [batch.rewards for batch in recorder.take()] == [[1.0, None]] * 2


def test_a_reward_model_passes_through_and_leaves_the_sum_unknown():
    recorder, module = RewardRecorder(), torch.nn.Linear(1, 1)
    columns: list[Any] = recorder.columns([module, one])
    assert columns[0] is module
    columns[1](**GIVEN)
    assert recorder.take()[0].rewards is None
    assert not recorder.has_all


def test_reward_models_alone_cannot_be_monitored():
    with pytest.raises(UsageError, match="Add a penalty with weight 0"):
        RewardRecorder().columns([torch.nn.Linear(1, 1), "some/model"])


def test_weights_must_be_as_many_as_rewards():
    with pytest.raises(UsageError, match="1 weights for 2 rewards"):
        RewardRecorder().columns([one, two], [1.0])


def test_the_text_of_a_completion_is_that_of_its_turns():
    assert text_of("plain") == "plain"
    assert (
        text_of([{"role": "assistant", "content": "a"}, {"role": "tool", "content": None}]) == "a\n"
    )
