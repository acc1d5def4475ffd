"""Reward functions in the form that TRL calls: completions in, a reward or None for each out.

Of several principles each can be a reward of its own, with a name in the logs and a weight; the
judges are asked once for all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from cai.errors import ModelUnavailable
from cai.training.rewards.asking_room import AskingRoom
from cai.training.rewards.batch import Group, Turns, conversation, groups_of
from cai.training.rewards.direct import DirectJudge, mean_score
from cai.training.rewards.group_judge import GroupJudge, mean_wins
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
