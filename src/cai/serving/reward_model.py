"""Rewards from a trained reward model, for trainers that ask over HTTP.

The reward is the model's output as it is. `RewardModel.score` puts what all requests wait for into
the same forward passes, so many small requests cost little more than one large one.
"""

import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cai.constitution.loader import load_constitution
from cai.constitution.schema import Constitution, Principle
from cai.errors import CaiError, UsageError
from cai.methods.judging.verdict import side
from cai.serving.chat_format import ChatFormat, chat_format_of
from cai.serving.schema import VERSION, CompareResult, Health, ScoreResult
from cai.training.reward_model.model import RewardModel
from cai.training.reward_model.principles import PrincipleStatement, statements_of
from cai.types import Message, Prompt

_NO_REWARD = "The conversation is longer than the model's context, or its output is not a number."


@dataclass(frozen=True, slots=True)
class ModelRewarder:
    """A `Rewarder` of a reward model; `statements` are the principles that it is conditioned on.

    None for a model that reads none.
    """

    model: RewardModel
    statements: Sequence[PrincipleStatement] | None = None

    @property
    def health(self) -> Health:
        constitution = self.model.facts.constitution
        return Health(
            status="ok",
            kind="reward model",
            name=self.model.name,
            version=VERSION,
            constitution=constitution.name if constitution else "",
            principles=tuple(
                f"{'not:' if each.is_negated else ''}{each.principle_id}"
                for each in self.statements or ()
            ),
        )

    @property
    def chat_format(self) -> ChatFormat | None:
        """The reward model's own, which a policy trained from the same base model shares."""
        return chat_format_of(self.model.tokenizer)

    async def score(self, prompt: Prompt, response: str) -> ScoreResult:
        try:
            (reward,) = await self._rewards(prompt, [response])
        except CaiError as error:
            return ScoreResult(reward=None, outcome="failed", reason=str(error))
        if reward is None:
            return ScoreResult(reward=None, outcome="unscored", reason=_NO_REWARD)
        return ScoreResult(reward=reward, outcome="scored")

    async def compare(self, prompt: Prompt, response_a: str, response_b: str) -> CompareResult:
        """σ(r_a − r_b), the model of Bradley and Terry (1952) that reward models are trained by."""
        try:
            reward_a, reward_b = await self._rewards(prompt, [response_a, response_b])
        except CaiError as error:
            return CompareResult(p_a=None, outcome="failed", reason=str(error))
        if reward_a is None or reward_b is None:
            return CompareResult(p_a=None, outcome="unscored", reason=_NO_REWARD)
        # σ(x) = (1 + tanh(x / 2)) / 2, and tanh does not overflow where exp(−x) does.
        p_a = 0.5 * (1 + math.tanh((reward_a - reward_b) / 2))
        return CompareResult(p_a=p_a, outcome=side(p_a))

    # Both responses of a comparison are one call: they are batched together on an idle server too,
    # where two calls would be two forward passes.
    async def _rewards(self, prompt: Prompt, responses: Sequence[str]) -> list[float | None]:
        conversations = [(*prompt.messages, Message("assistant", each)) for each in responses]
        return await self.model.score(conversations, self.statements)


@asynccontextmanager
async def open_reward_model(
    folder: str, constitution: str | None, principles: Sequence[str]
) -> AsyncGenerator[ModelRewarder]:
    """The reward model of that folder, conditioned on the named principles if it reads any.

    `principles` are ids, with `not:` before those that responses should break; none stands for all
    of the constitution. Without a constitution they are those that the model was trained with.

    Raises:
        UsageError: A principle is not known, or there are some for a model that reads none.
        ModelError, TrainingError: As `RewardModel.load`.

    Example:
        async with open_reward_model("runs/reward", None, ["no-harm"]) as rewarder:
            result = await rewarder.score(prompt, "I will not help with that.")
    """
    model = RewardModel.load(folder)
    statements = _statements(model, folder, constitution, principles)
    try:
        yield ModelRewarder(model, statements)
    finally:
        await model.close()


def _statements(
    model: RewardModel, folder: str, constitution: str | None, principles: Sequence[str]
) -> Sequence[PrincipleStatement] | None:
    if not model.is_conditioned:
        if principles or constitution:
            raise UsageError(
                f"{folder}: this reward model does not read principles. Leave out --principle and "
                "the constitution."
            )
        return None
    if constitution is not None:
        return statements_of(load_constitution(constitution), principles)
    trained_with = model.facts.constitution
    if trained_with is None or not trained_with.principles:
        raise UsageError(
            f"{folder}: the principles of this reward model are not in its folder. Name a "
            "constitution with -c."
        )
    # The folder keeps the texts alone, which is all that the model reads of a principle.
    known = tuple(Principle(id=id, text=text) for id, text in trained_with.principles.items())
    return statements_of(Constitution(name=trained_with.name, principles=known), principles)
