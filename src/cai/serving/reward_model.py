"""Rewards of a trained reward model; what all requests wait for goes into the same passes."""

import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cai.constitution.loader import load_constitution
from cai.constitution.schema import Constitution, Principle
from cai.errors import CaiError, UsageError
from cai.methods.judging.verdict import side
from cai.serving.chat_format import ChatForm, form_of
from cai.serving.schema import VERSION, CompareResult, Health, ScoreResult
from cai.training.reward_model.model import RewardModel
from cai.training.reward_model.principles import Statement, statements_of
from cai.types import Message, Prompt

_NO_NUMBER = "The conversation is longer than the model reads, or the model gives no number."


@dataclass(frozen=True, slots=True)
class ModelRewarder:
    """`statements` are the principles that a conditioned model reads, None for any other."""

    model: RewardModel
    statements: Sequence[Statement] | None = None

    @property
    def health(self) -> Health:
        known = self.model.facts.constitution
        return Health(
            status="ok",
            kind="reward model",
            name=self.model.name,
            version=VERSION,
            constitution=known.name if known else "",
            principles=tuple(
                f"{'not:' if each.is_negated else ''}{each.principle_id}"
                for each in self.statements or ()
            ),
        )

    @property
    def chat_form(self) -> ChatForm | None:
        """The reward model's own, which a policy trained from the same model shares."""
        return form_of(self.model.tokenizer)

    async def score(self, prompt: Prompt, response: str) -> ScoreResult:
        try:
            (reward,) = await self._rewards(prompt, [response])
        except CaiError as error:
            return ScoreResult(reward=None, outcome="failed", reason=str(error))
        if reward is None:
            return ScoreResult(reward=None, outcome="unscored", reason=_NO_NUMBER)
        return ScoreResult(reward=reward, outcome="scored")

    async def compare(self, prompt: Prompt, response_a: str, response_b: str) -> CompareResult:
        """By σ(r_a − r_b), the model of Bradley and Terry (1952)."""
        try:
            reward_a, reward_b = await self._rewards(prompt, [response_a, response_b])
        except CaiError as error:
            return CompareResult(p_a=None, outcome="failed", reason=str(error))
        if reward_a is None or reward_b is None:
            return CompareResult(p_a=None, outcome="unparsed", reason=_NO_NUMBER)
        p_a = 0.5 * (1 + math.tanh((reward_a - reward_b) / 2))
        return CompareResult(p_a=p_a, outcome=side(p_a))

    async def _rewards(self, prompt: Prompt, responses: Sequence[str]) -> list[float | None]:
        conversations = [(*prompt.messages, Message("assistant", each)) for each in responses]
        return await self.model.score(conversations, self.statements)


@asynccontextmanager
async def model_rewarder(
    folder: str, constitution: str | None, principles: Sequence[str]
) -> AsyncGenerator[ModelRewarder]:
    """The reward model of that folder, with the named principles where it reads any.

    `principles` are ids, with `not:` before those to be broken; all of the constitution's without.
    Without a constitution they are those that the model was trained with.

    Raises:
        UsageError: A principle is not known, or there are some for a model that reads none.
        ModelError, TrainingError: As `RewardModel.load`.
    """
    model = RewardModel.load(folder)
    statements = _statements(model, folder, constitution, principles)
    try:
        yield ModelRewarder(model, statements)
    finally:
        await model.close()


def _statements(
    model: RewardModel, folder: str, constitution: str | None, principles: Sequence[str]
) -> Sequence[Statement] | None:
    if not model.is_conditioned:
        if principles or constitution:
            raise UsageError(
                f"{folder}: this reward model does not read principles. Leave out --principle and "
                "the constitution."
            )
        return None
    if constitution is not None:
        return statements_of(load_constitution(constitution), principles)
    known = model.facts.constitution
    if known is None or not known.principles:
        raise UsageError(
            f"{folder}: the principles of this reward model are not in its folder. Name a "
            "constitution with -c."
        )
    parts = tuple(Principle(id=id, text=text) for id, text in known.principles.items())
    return statements_of(Constitution(name=known.name, principles=parts), principles)
