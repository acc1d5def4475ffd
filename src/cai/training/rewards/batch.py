"""One batch of completions and its rewards, computed once and read by TRL and by the monitor.

TRL (`GRPOTrainer._calculate_rewards`, the same in RLOO) calls every reward function of a batch by
itself. Judges, though, are queried once for all the columns read from their verdicts, and what one
reward could not score must be missing from all. So every column goes through a `RewardRecorder`,
which makes one `RewardBatch` of the batch; the monitor takes them from there, because TRL shows
completions to reward functions only.

Example:
    recorder = RewardRecorder()
    trainer = GRPOTrainer(
        model, reward_funcs=recorder.columns(functions, weights), args=config, train_dataset=prompts
    )
    monitor_training(trainer, TrainingMonitor(folder), recorder=recorder)
"""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial, wraps
from typing import Any, TypeVar, cast

from cai.errors import UsageError
from cai.evaluation.policies.text_metrics import ResponseBatch

T = TypeVar("T")

Text = str | Sequence[Mapping[str, object]]
"""A prompt or completion of TRL: plain text, or a conversation."""

Rewards = Sequence[float | None]  # one for each completion; None where it could not be scored

RewardFunction = Callable[..., Rewards | Awaitable[Rewards]]


def text_of(completion: Text) -> str:
    """The text of a completion; of a conversation that of all its turns."""
    if isinstance(completion, str):
        return completion
    return "\n".join(str(turn.get("content") or "") for turn in completion)


class RewardBatch:
    """Prompts, completions and token ids as TRL gives them, and the rewards computed so far."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.prompts: Sequence[Any] = given["prompts"]
        self.completions: Sequence[Any] = given["completions"]
        self.completion_ids: Sequence[Sequence[int]] = given["completion_ids"]
        self.columns: dict[int, Rewards] = {}
        """By the index of the reward function."""
        self._shared: dict[Hashable, asyncio.Future[Any]] = {}

    async def shared(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """The result of the work, done once for the batch however many columns are read from it."""
        if key not in self._shared:
            self._shared[key] = asyncio.ensure_future(work())
        # one column that is cancelled must not cancel the work that the others wait for
        return await asyncio.shield(cast("asyncio.Future[T]", self._shared[key]))

    def sums(self, weights: Sequence[float]) -> list[float | None] | None:
        """Weighted sums as TRL takes them; None while a column is missing.

        A column that did not score a completion is left out of its sum, which is None where no
        column scored it.
        """
        if len(self.columns) < len(weights):
            return None
        sums: list[float | None] = []
        for row in zip(*(self.columns[place] for place in range(len(weights))), strict=True):
            scored = [
                weight * reward
                for weight, reward in zip(weights, row, strict=True)
                if reward is not None and reward == reward  # NaN is not equal to itself
            ]
            sums.append(sum(scored) if scored else None)
        return sums


class RewardRecorder:
    """Makes reward functions into TRL's columns, and records the batches that go through them."""

    def __init__(self) -> None:
        self._latest: RewardBatch | None = None
        self._new: list[RewardBatch] = []
        self._weights: tuple[float, ...] = ()
        self.has_all = False
        """Whether every reward is recorded, so that their sum is known."""

    def columns(
        self,
        functions: Sequence[object],
        weights: Sequence[float] | None = None,
        *,
        is_joint: bool = False,
    ) -> list[object]:
        """The rewards for TRL's `reward_funcs`, each under its own name.

        Joint ones are computed together, with the batch as the argument `batch`, and have holes in
        the same places: TRL takes a missing reward as zero unless all of a completion are missing,
        so one that a judge could not read would be worth as much as one that lost every comparison.
        A reward of weight 0 makes no holes. A reward model that TRL runs itself (a module, or the
        name of one) is passed through; the sum is then known from the trainer's own logs only.

        Raises:
            UsageError: There are not as many weights as rewards, or none of them is a function.
        """
        # TRL's own default, needed here for the sums that the monitor gets
        self._weights = tuple(weights or [1.0] * len(functions))
        if len(self._weights) != len(functions):
            raise UsageError(
                f"{len(self._weights)} weights for {len(functions)} rewards. Give one for each."
            )
        # a module is callable too, but TRL runs it itself: it is known by its `forward`
        are_functions = [
            callable(each) and not callable(getattr(each, "forward", None)) for each in functions
        ]
        if not any(are_functions):
            raise UsageError(
                "Only reward models are given, and completions are shown to functions only. "
                "Add a penalty with weight 0 to have the run monitored."
            )
        self.has_all = all(are_functions)
        if is_joint:
            return self._joint_columns([cast(RewardFunction, each) for each in functions])
        return [
            self._recorded_column(cast(RewardFunction, each), place) if is_function else each
            for place, (each, is_function) in enumerate(zip(functions, are_functions, strict=True))
        ]

    def take(self) -> list[ResponseBatch]:
        """What was recorded since the last time, one for each batch."""
        batches, self._new = self._new, []
        return [
            ResponseBatch(
                # only compared with one another, so any text does that differs where prompts differ
                prompts=[
                    prompt if isinstance(prompt, str) else json.dumps(prompt, default=str)
                    for prompt in batch.prompts
                ],
                responses=[text_of(completion) for completion in batch.completions],
                rewards=batch.sums(self._weights),
                n_tokens=[len(ids) for ids in batch.completion_ids],
            )
            for batch in batches
        ]

    def _batch(self, given: Mapping[str, Any]) -> RewardBatch:
        """The batch that these arguments of a reward function belong to: a new one, or the latest.

        It is recognized by the identity of its list of completions, here and nowhere else.
        """
        # TRL gives no key: `trainer_state.global_step` is the same for several generations and in
        # an evaluation, and equal completions of two batches are not one batch, as their rewards
        # are logged and paid for apart. Identity is safe: TRL hands one list to every function, and
        # `_latest` holds it, so that no later list can get its id.
        if self._latest is None or self._latest.completions is not given["completions"]:
            self._latest = RewardBatch(given)
            self._new.append(self._latest)
        return self._latest

    def _joint_columns(self, functions: Sequence[RewardFunction]) -> list[object]:
        async def compute(function: RewardFunction, given: Mapping[str, Any]) -> Rewards:
            if not _is_async(function):
                # judges are called in a thread of their own: their requests go out first, and are
                # answered while the rewards of this process are computed
                await asyncio.sleep(0)
            rewards = function(**given)
            return await rewards if inspect.isawaitable(rewards) else rewards

        async def compute_all(batch: RewardBatch, given: Mapping[str, Any]) -> list[Rewards]:
            with_batch = {**given, "batch": batch}
            columns = await asyncio.gather(*(compute(each, with_batch) for each in functions))
            missing = {
                number
                for column, weight in zip(columns, self._weights, strict=True)
                if weight
                for number, reward in enumerate(column)
                if reward is None
            }
            given["log_metric"]("not_scored", len(missing) / len(batch.completions))
            for place, column in enumerate(columns):
                batch.columns[place] = [
                    None if number in missing else reward for number, reward in enumerate(column)
                ]
            return [batch.columns[place] for place in range(len(columns))]

        def column_of(place: int) -> RewardFunction:
            async def column(**given: Any) -> Rewards:
                batch = self._batch(given)
                # the recorder itself is the key: all its columns share this one computation
                return (await batch.shared(self, lambda: compute_all(batch, given)))[place]

            return _named(column, functions[place])

        return [column_of(place) for place in range(len(functions))]

    def _recorded_column(self, function: RewardFunction, place: int) -> RewardFunction:
        def record(given: Mapping[str, Any], rewards: Rewards) -> Rewards:
            self._batch(given).columns[place] = list(rewards)
            return rewards

        async def async_column(**given: Any) -> Rewards:
            return record(given, await cast(Awaitable[Rewards], function(**given)))

        def column(**given: Any) -> Rewards:
            return record(given, cast(Rewards, function(**given)))

        return _named(async_column if _is_async(function) else column, function)


def _is_async(function: RewardFunction) -> bool:
    # `inspect` does not look for the `__call__` of an instance inside a `partial`
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(function.__call__)


def _named(column: RewardFunction, original: RewardFunction) -> RewardFunction:
    """TRL names a reward in its logs after the function, or after the class of an instance."""
    while isinstance(original, partial):
        original = original.func
    named = wraps(original)(column)
    named.__name__ = getattr(original, "__name__", type(original).__name__)
    return named
