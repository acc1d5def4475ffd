"""What reward functions see and return, kept for the watcher: TRL shows completions to them alone.

A watched function is called by TRL like its original, under its original's name, and returns the
same. Reward models that TRL runs itself (modules, or names of them) are passed through; then the
sum of rewards is known only from the trainer's own logs.
"""

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import cast

from cai.errors import UsageError
from cai.evaluation.policies.text_metrics import ResponseBatch

Turn = Mapping[str, object]
Text = str | Sequence[Turn]
"""A prompt or completion of TRL: plain text, or a conversation."""

Rewards = Sequence[float | None]
RewardFunction = Callable[..., Rewards | Awaitable[Rewards]]


def text_of(completion: Text) -> str:
    """The text of a completion: that of its turns, where it is a conversation."""
    if isinstance(completion, str):
        return completion
    return "\n".join(str(turn.get("content") or "") for turn in completion)


@dataclass(slots=True)
class _Call:
    """One generation of the trainer: the same list goes to every reward function."""

    completions: Sequence[Text]
    prompts: Sequence[Text]
    completion_ids: Sequence[Sequence[int]]
    rewards: dict[int, Rewards] = field(default_factory=dict[int, Rewards])


class RewardTape:
    """Records the completions of a GRPO or RLOO trainer and the rewards that they get."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._weights: tuple[float, ...] = ()
        self.has_all = False
        """Whether every reward is recorded, and so their sum is known."""

    def watched(
        self, functions: Sequence[object], weights: Sequence[float] | None = None
    ) -> list[object]:
        """The reward functions in a form for the trainer, each recorded.

        Raises:
            UsageError: There are not as many weights as functions, or none of them is a function
                of ours to record.
        """
        self._weights = tuple(weights or [1.0] * len(functions))
        if len(self._weights) != len(functions):
            raise UsageError(
                f"{len(self._weights)} weights for {len(functions)} rewards. Give one for each."
            )
        watched = [
            self._recorded(place, cast(RewardFunction, function))
            if _is_function(function)
            else function
            for place, function in enumerate(functions)
        ]
        self.has_all = all(map(_is_function, functions))
        if not any(map(_is_function, functions)):
            raise UsageError(
                "Only reward models are given, and completions are shown to functions alone. "
                "Add a penalty with weight 0 to have the run watched."
            )
        return watched

    def take(self) -> list[ResponseBatch]:
        """What was recorded since the last time, one batch for each generation."""
        calls, self._calls = self._calls, []
        return [self._batch(call) for call in calls]

    def _batch(self, call: _Call) -> ResponseBatch:
        return ResponseBatch(
            prompts=[
                prompt if isinstance(prompt, str) else json.dumps(prompt, default=str)
                for prompt in call.prompts
            ],
            responses=[text_of(completion) for completion in call.completions],
            rewards=self._sums(call),
            n_tokens=[len(ids) for ids in call.completion_ids],
        )

    def _sums(self, call: _Call) -> Rewards | None:
        """Weighted sums as TRL takes them: what a function did not score is left out of them."""
        if len(call.rewards) < len(self._weights):
            return None
        columns = [call.rewards[place] for place in range(len(self._weights))]
        sums: list[float | None] = []
        for row in zip(*columns, strict=True):
            scored = [
                weight * reward
                for weight, reward in zip(self._weights, row, strict=True)
                if reward is not None and reward == reward
            ]
            sums.append(sum(scored) if scored else None)
        return sums

    def _recorded(self, place: int, function: RewardFunction) -> RewardFunction:
        if _is_async(function):

            async def watched_later(**given: object) -> Rewards:
                rewards = await cast(Awaitable[Rewards], function(**given))
                self._record(place, given, rewards)
                return rewards

            return _named(watched_later, function)

        def watched(**given: object) -> Rewards:
            rewards = cast(Rewards, function(**given))
            self._record(place, given, rewards)
            return rewards

        return _named(watched, function)

    def _record(self, place: int, given: Mapping[str, object], rewards: Rewards) -> None:
        completions = cast(Sequence[Text], given["completions"])
        if not self._calls or self._calls[-1].completions is not completions:
            prompts = cast(Sequence[Text], given["prompts"])
            ids = cast(Sequence[Sequence[int]], given["completion_ids"])
            self._calls.append(_Call(completions, prompts, ids))
        self._calls[-1].rewards[place] = list(rewards)


def _is_function(reward: object) -> bool:
    """A module is callable too: TRL tells them apart by their class, and so by `forward` here."""
    return callable(reward) and not callable(getattr(reward, "forward", None))


def _is_async(function: RewardFunction) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(function.__call__)


def _named(watched: RewardFunction, original: RewardFunction) -> RewardFunction:
    """TRL names a reward in its logs after the function, or after the class of an instance."""
    plain = original
    while isinstance(plain, partial):
        plain = plain.func
    named = wraps(plain)(watched)
    named.__name__ = getattr(plain, "__name__", type(plain).__name__)
    return named
