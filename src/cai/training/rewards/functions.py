"""Reward functions in the form that TRL calls: completions in, a reward or None for each out.

They are computed as the joint columns of a `RewardRecorder`, which hands them the batch. Of several
principles each can be a reward of its own, with a name in the logs and a weight; the judges are
queried once for all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from cai.errors import ModelUnavailable
from cai.training.rewards.batch import RewardBatch
from cai.training.rewards.judge_thread import JudgeThread
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


class JudgedGroups(Generic[T]):
    """What judges say of the groups of a batch, queried once for all rewards read from it."""

    def __init__(self, judge_thread: JudgeThread, judge: Callable[[Group], Awaitable[T]]) -> None:
        self._room = judge_thread
        self._judge = judge

    async def of(self, batch: RewardBatch, ids: Sequence[str]) -> list[tuple[Group, T]]:
        """The groups in the order of their prompts, each with its verdicts or scores."""
        groups = groups_of(batch.prompts, batch.completions, ids)
        # begun here and not in a coroutine that waits for its turn: the requests are to be on their
        # way before a reward model blocks the event loop
        return await batch.shared(
            self, lambda: asyncio.wrap_future(self._room.begin(self._all(groups)))
        )

    async def _all(self, groups: Sequence[Group]) -> list[tuple[Group, T]]:
        found = await asyncio.gather(*(self._judge(group) for group in groups))
        return list(zip(groups, found, strict=True))


class JudgeReward(Generic[T]):
    """A reward that is read from what judges say of the groups of a batch."""

    def __init__(
        self, name: str, judged: JudgedGroups[T], read: Callable[[Group, T], Rewards]
    ) -> None:
        self.__name__ = name
        self._judged = judged
        self._read = read

    async def __call__(
        self,
        batch: RewardBatch,
        id: Sequence[str],
        log_metric: Callable[[str, float], None],
        **columns: Any,
    ) -> Rewards:
        """A reward for each completion, None where it could not be judged.

        Raises:
            ModelUnavailable: Nothing in the whole batch could be judged.
        """
        rewards: Rewards = [None] * len(batch.completions)
        for group, found in await self._judged.of(batch, id):
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
    judge_thread: JudgeThread, judge: GroupJudge, principles: Sequence[str] = ()
) -> list[JudgeReward[Any]]:
    """The mean probability of winning in the group, in [0, 1]; or one reward for each principle."""
    judged = JudgedGroups(judge_thread, judge.matchups)

    def reward(principle: str | None) -> JudgeReward[Any]:
        return JudgeReward(
            f"judge/{principle}" if principle else "judge",
            judged,
            lambda group, matchups: mean_wins(len(group.completions), matchups, principle),
        )

    return [reward(principle) for principle in principles or (None,)]


def score_rewards(
    judge_thread: JudgeThread, judge: DirectJudge, principles: Sequence[str] = ()
) -> list[JudgeReward[Any]]:
    """The mean score, in [−1, 1]; or one reward for each principle."""
    judged = JudgedGroups(judge_thread, judge.scores)

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
