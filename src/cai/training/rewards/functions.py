"""The reward functions of a GRPO or RLOO run, opened from their spec, in the form that TRL calls.

Completions come in, and a reward or None for each goes out. They are computed as the joint columns
of a `RewardRecorder`, which gives them the batch. Each of several principles can be a reward of its
own, with a name in the logs and a weight; the judges are called once for all of them.

Penalties on length and evasiveness are 0 or below and are added to the rewards. With weight 0 they
change nothing and are still logged, as `rewards/length_penalty/mean` and
`rewards/evasiveness_penalty/mean`.

Example:
    spec = RewardSpec(judge=JudgeRewardSpec(roles, constitution, weight=0.5))
    with opened_rewards(spec, Path("models/rl/judging")) as opened:
        recorder.columns(opened.functions, opened.weights, is_joint=True)
"""

import asyncio
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cai.engine.run_files import JsonValue
from cai.errors import ModelUnavailable, UsageError
from cai.methods.revision_flags import is_evasive
from cai.methods.roles import candidates
from cai.runs.config import REWARD
from cai.training.reward_model.model import RewardModel
from cai.training.rewards.batch import RewardBatch, Text, text_of
from cai.training.rewards.completion_judges import (
    CompletionGroup,
    JudgedCompletions,
    PairwiseJudges,
    PointwiseJudges,
    Turns,
    conversation,
    groups_of,
    most_frequent_cause,
)
from cai.training.rewards.judge_thread import JudgeThread
from cai.training.rewards.spec import JudgeRewardSpec, RewardSpec, ScoreRewardSpec
from cai.types import Conversation, Message

Penalty = Callable[..., list[float]]


def make_length_penalty(free: int = 256, per_token: float = 0.01, most: float = 1.0) -> Penalty:
    """A reward function: −`per_token` for each token above `free`, and never below −`most`.

    Raises:
        UsageError: A number is negative.
    """
    for name, value in (("free", free), ("per_token", per_token), ("most", most)):
        if value < 0:
            raise UsageError(f"The length penalty's {name} is {value}. Give a number from 0 up.")

    def length_penalty(
        *, completion_ids: Sequence[Sequence[int]], **_others: object
    ) -> list[float]:
        return [-min(most, per_token * max(0, len(ids) - free)) for ids in completion_ids]

    return length_penalty


def evasiveness_penalty(*, completions: Sequence[Text], **_others: object) -> list[float]:
    """−1 for a stock refusal without reason or alternative, and for an empty response, else 0."""
    texts = [text_of(completion) for completion in completions]
    # an empty response is the cheapest evasion, and no pattern of a refusal matches it
    return [-1.0 if is_evasive(text) or not text.strip() else 0.0 for text in texts]


def with_penalties(
    rewards: Sequence[object],
    weights: Sequence[float] | None = None,
    *,
    length: tuple[float, Penalty] | None = None,
    evasiveness: float = 0.0,
) -> tuple[list[object], list[float]]:
    """The rewards with both penalties after them, and the weights of all, for TRL's settings.

    The length penalty comes as weight and function; without one it is the default's, with weight 0.
    """
    length_weight, length_penalty = length or (0.0, make_length_penalty())
    functions = [*rewards, length_penalty, evasiveness_penalty]
    return functions, [*(weights or [1.0] * len(rewards)), length_weight, evasiveness]


@dataclass(frozen=True, slots=True)
class OpenRewards:
    """Joint reward functions with their weights, and the thread in which judges are called."""

    functions: list[object]
    weights: list[float]
    judge_thread: JudgeThread | None


@contextmanager
def opened_rewards(spec: RewardSpec, folder: Path) -> Generator[OpenRewards]:
    """The rewards, ready to be called; judges are called through a journal in `folder`.

    Raises:
        CaiError: A reward model or a judge cannot be opened, or there is a cap and no price.
    """
    functions: list[object] = []
    weights = [each.weight for each in spec.trained]
    for each in spec.trained:
        model, statements = RewardModel.load(each.spec), each.statements or None
        model.check_statements(statements)
        functions.append(_model_reward(partial(model.rewards, statements=statements)))
    parts = [("judge", spec.judge), ("score", spec.score)]
    roles = [role for _, part in parts if part is not None for role in part.judges]
    if spec.judge is not None and spec.judge.reference is not None:
        roles.append(spec.judge.reference)
    with ExitStack() as stack:
        judge_thread = None
        if roles:
            config: dict[str, JsonValue] = {"method": REWARD, **spec.describe(), "seed": spec.seed}
            models = [each.model for each in roles]
            judge_thread = stack.enter_context(
                JudgeThread(folder, config, models, spec.caps, spec.prices, spec.concurrency)
            )
        for name, part in parts:
            if part is None:
                continue
            assert judge_thread is not None
            judge = _opened_judge(part, judge_thread, spec.seed)
            if not part.apart:
                functions.append(JudgeRewardFunction(judge_thread, judge, name))
                weights.append(part.weight)
                continue
            principles = candidates(part.constitution, part.settings.tags)
            total = sum(each.weight for each in principles)
            for each in principles:
                functions.append(JudgeRewardFunction(judge_thread, judge, name, each.id))
                # so that the apart rewards of a part weigh as much together as its one would
                weights.append(part.weight * each.weight / total)
        penalties = spec.penalties
        length = make_length_penalty(penalties.free_tokens, penalties.per_token)
        # last, and at weight 0 too: TRL then logs them, so that a drift towards either shows
        functions, weights = with_penalties(
            functions,
            weights,
            length=(penalties.length, length),
            evasiveness=penalties.evasiveness,
        )
        yield OpenRewards(functions, weights, judge_thread)


def _opened_judge(
    spec: JudgeRewardSpec | ScoreRewardSpec, judge_thread: JudgeThread, seed: int
) -> PairwiseJudges | PointwiseJudges:
    judges = judge_thread.prepare_judges(spec.judges, spec.constitution, spec.settings)
    if isinstance(spec, ScoreRewardSpec):
        return PointwiseJudges(judges, spec.constitution, spec.settings, seed)
    reference = spec.reference
    if reference is not None:
        model = judge_thread.engine.wrap(reference.model, "reference")
        reference = replace(reference, model=model)
    return PairwiseJudges(
        judges,
        spec.constitution,
        spec.settings,
        opponents=spec.opponents,
        reference=reference,
        seed=seed,
    )


class JudgeRewardFunction:
    """A reward read from what judges say of the groups of a batch, under all principles or one."""

    def __init__(
        self,
        judge_thread: JudgeThread,
        judge: PairwiseJudges | PointwiseJudges,
        name: str,
        principle: str | None = None,
    ) -> None:
        self.__name__ = f"{name}/{principle}" if principle else name
        self._judge_thread = judge_thread
        self._judge = judge
        self._principle = principle

    async def __call__(
        self,
        batch: RewardBatch,
        id: Sequence[str],
        log_metric: Callable[[str, float], None],
        **columns: Any,
    ) -> list[float | None]:
        """A reward for each completion, None where it could not be judged.

        Raises:
            ModelUnavailable: Nothing in the whole batch could be judged.
        """

        async def judge_groups(groups: Sequence[CompletionGroup]) -> list[JudgedCompletions]:
            return list(await asyncio.gather(*map(self._judge.judge, groups)))

        # submitted by `shared` at once, and not in a coroutine that waits for its turn: the
        # requests must be under way before a reward model blocks the event loop of this thread
        judged = await batch.shared(
            self._judge,
            lambda: asyncio.wrap_future(
                self._judge_thread.submit(
                    judge_groups(groups_of(batch.prompts, batch.completions, id))
                )
            ),
        )
        rewards: list[float | None] = [None] * len(batch.completions)
        for each in judged:
            group_rewards = each.rewards(self._principle)
            for index, reward in zip(each.group.indices, group_rewards, strict=True):
                rewards[index] = reward
        n_scored = sum(reward is not None for reward in rewards)
        log_metric(f"{self.__name__}/not_scored", 1 - n_scored / len(rewards))
        # an optimizer step on a batch without rewards would be one on the KL penalty alone
        if not n_scored:
            cause = most_frequent_cause(judged) or "no judge call was made"
            raise ModelUnavailable(
                f"{self.__name__}: not one of {len(rewards)} completions could be judged. "
                f"Most frequent cause: {cause.rstrip('.')}. "
                "Check the judge, then continue with --resume."
            )
        return rewards


def _model_reward(
    rewards_of: Callable[[Sequence[Conversation]], list[float | None]],
) -> Callable[..., list[float | None]]:
    """The reward of a trained reward model, None where a completion is too long for it."""

    def reward_model(
        prompts: Sequence[Turns], completions: Sequence[Turns], **columns: Any
    ) -> list[float | None]:
        return rewards_of(
            [
                (*conversation(prompt), Message("assistant", completion[-1]["content"]))
                for prompt, completion in zip(prompts, completions, strict=True)
            ]
        )

    return reward_model
