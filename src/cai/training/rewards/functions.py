"""Reward functions in the form that TRL calls: completions in, a reward or None for each out.

Of several principles each can be a reward of its own, with a name in the logs and a weight; the
judges are asked once for all of them.

Several rewards as one judgement: what one of them could not score has none of the others.

TRL adds up what it is given and takes what is missing for zero, unless every reward of a completion
is missing. A completion that a judge could not read would so be worth as much as one that lost
every contest, since the penalties beside the judge always have a value. Here such a completion has
no reward at all, and TRL leaves it out of the advantages.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from cai.errors import ModelUnavailable
from cai.training.rewards.judge_thread import AskingRoom
from cai.training.rewards.judges import (
    DirectJudge,
    Group,
    GroupJudge,
    Turns,
    conversation,
    groups_of,
    mean_score,
    mean_wins,
)
from cai.types import Conversation, Message

T = TypeVar("T")

Rewards = list[float | None]


class JudgedBatch(Generic[T]):
    """What the judges say of a batch, asked once however many rewards are read from it."""

    def __init__(self, room: AskingRoom, judge: Callable[[Group], Awaitable[T]]) -> None:
        self._room = room
        self._judge = judge
        self._latest: tuple[object, asyncio.Future[list[tuple[Group, T]]]] | None = None

    async def of(
        self, prompts: Sequence[Turns], completions: Sequence[Turns], ids: Sequence[str]
    ) -> list[tuple[Group, T]]:
        if self._latest is None or self._latest[0] is not completions:
            work = self._room.result_of(self._all(groups_of(prompts, completions, ids)))
            self._latest = (completions, asyncio.ensure_future(work))
        return await asyncio.shield(self._latest[1])

    async def _all(self, groups: Sequence[Group]) -> list[tuple[Group, T]]:
        found = await asyncio.gather(*(self._judge(group) for group in groups))
        return list(zip(groups, found, strict=True))


class JudgeReward(Generic[T]):
    """A reward that is read from what judges say of the groups of a batch."""

    def __init__(
        self, name: str, judged: JudgedBatch[T], read: Callable[[Group, T], Rewards]
    ) -> None:
        self.__name__ = name
        self._judged = judged
        self._read = read

    async def __call__(
        self,
        prompts: Sequence[Turns],
        completions: Sequence[Turns],
        id: Sequence[str],
        log_metric: Callable[[str, float], None],
        **columns: Any,
    ) -> Rewards:
        """A reward for each completion, None where it could not be judged.

        Raises:
            ModelUnavailable: Nothing in the whole batch could be judged.
        """
        rewards: Rewards = [None] * len(completions)
        for group, found in await self._judged.of(prompts, completions, id):
            for place, reward in zip(group.places, self._read(group, found), strict=True):
                rewards[place] = reward
        n_scored = sum(reward is not None for reward in rewards)
        log_metric(f"{self.__name__}/not_scored", 1 - n_scored / len(rewards))
        if not n_scored:
            raise ModelUnavailable(
                f"{self.__name__}: not one of {len(rewards)} completions could be judged. Look at "
                "the judge, then go on with --resume."
            )
        return rewards


def win_rewards(
    room: AskingRoom, judge: GroupJudge, principles: Sequence[str] = ()
) -> list[JudgeReward[Any]]:
    """The mean probability of winning in the group; with principles, one reward for each."""
    judged = JudgedBatch(room, judge.contests)

    def reward(principle: str | None) -> JudgeReward[Any]:
        return JudgeReward(
            f"judge/{principle}" if principle else "judge",
            judged,
            lambda group, contests: mean_wins(len(group.completions), contests, principle),
        )

    return [reward(principle) for principle in principles or (None,)]


def score_rewards(
    room: AskingRoom, judge: DirectJudge, principles: Sequence[str] = ()
) -> list[JudgeReward[Any]]:
    """The mean score; with principles, one reward for each."""
    judged = JudgedBatch(room, judge.scores)

    def reward(principle: str | None) -> JudgeReward[Any]:
        return JudgeReward(
            f"score/{principle}" if principle else "score",
            judged,
            lambda group, scores: [mean_score(group, each, principle) for each in scores],
        )

    return [reward(principle) for principle in principles or (None,)]


class TrainedReward:
    """The reward of a trained reward model."""

    def __init__(self, name: str, rewards_of: Callable[[Sequence[Conversation]], Rewards]) -> None:
        self.__name__ = name
        self._rewards_of = rewards_of

    def __call__(
        self, prompts: Sequence[Turns], completions: Sequence[Turns], **columns: Any
    ) -> Rewards:
        """A reward for each completion, None where it is too long for the reward model."""
        return self._rewards_of(
            [
                (*conversation(prompt), Message("assistant", completion[-1]["content"]))
                for prompt, completion in zip(prompts, completions, strict=True)
            ]
        )


class Together:
    """The rewards of a batch, computed once however many columns are read from it."""

    def __init__(self, functions: Sequence[Any], weights: Sequence[float]) -> None:
        self._functions = functions
        self._counts = [weight != 0 for weight in weights]
        self._latest: tuple[object, asyncio.Future[list[Rewards]]] | None = None

    async def of(self, completions: Sequence[object], given: dict[str, Any]) -> list[Rewards]:
        """One list of rewards for each function, with holes in the same places."""
        if self._latest is None or self._latest[0] is not completions:
            work = asyncio.ensure_future(self._all(completions, given))
            self._latest = (completions, work)
        return await asyncio.shield(self._latest[1])

    async def _all(self, completions: Sequence[object], given: dict[str, Any]) -> list[Rewards]:
        # judges first, so that they answer while the others are computed here
        order = sorted(range(len(self._functions)), key=lambda n: not is_async(self._functions[n]))
        found = await asyncio.gather(
            *(_called(self._functions[n], completions, given) for n in order)
        )
        columns = [rewards for _, rewards in sorted(zip(order, found, strict=True))]
        lost = {
            place
            for column, counts in zip(columns, self._counts, strict=True)
            if counts
            for place, reward in enumerate(column)
            if reward is None
        }
        log_metric = cast(Callable[[str, float], None], given["log_metric"])
        log_metric("not_scored", len(lost) / len(completions))
        return [
            [None if place in lost else reward for place, reward in enumerate(column)]
            for column in columns
        ]


class Column:
    """One of the rewards, by its own name in the logs."""

    def __init__(self, together: Together, place: int, name: str) -> None:
        self.__name__ = name
        self._together = together
        self._place = place

    async def __call__(self, completions: Sequence[object], **given: Any) -> Rewards:
        """A reward for each completion, None for those that a reward could not be found for."""
        return (await self._together.of(completions, given))[self._place]


def columns_of(functions: Sequence[Any], weights: Sequence[float]) -> list[Column]:
    """The same rewards; those of weight 0 are looked at only, and leave nothing out."""
    together = Together(functions, weights)
    return [Column(together, place, each.__name__) for place, each in enumerate(functions)]


def is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(function.__call__)


async def _called(function: Any, completions: Sequence[object], given: dict[str, Any]) -> Rewards:
    found = function(completions=completions, **given)
    return await cast(Awaitable[Rewards], found) if inspect.isawaitable(found) else found
