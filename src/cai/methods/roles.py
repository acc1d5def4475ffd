"""Who is asked, and about what: a model in a role, a judge, and the principles that are applied.

A judge is read by its log-probabilities, or by what it writes.

Example:
    respond = RoleModel.of(open_model("embedded"), Sampling(temperature=0.7))
    completion = await respond.complete((Message("user", "How do I …?"),), seed=0)
    probabilities, choice = await Judge.of(open_model("embedded")).choose(turns, ("A", "B"))
    principle = draw_principle(load_constitution("harmless"), ("harm",), seed=0)
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from cai.constitution.schema import Constitution, Principle
from cai.errors import ModelError, NoLogprobs, UsageError
from cai.models.base import Choice, ChoiceModel, Completion, Model, Sampling, Usage
from cai.templates import TemplateSet, load_templates
from cai.types import Conversation, Message

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RoleModel:
    """A model in a role: the templates it is asked through, and how its answers are sampled."""

    model: Model
    templates: TemplateSet
    sampling: Sampling = Sampling()

    @classmethod
    def of(
        cls, model: Model, sampling: Sampling = Sampling(), templates: str | None = None
    ) -> "RoleModel":
        """The model through the named template set, or through the shipped one of its kind.

        Raises:
            UsageError: A base model, which has no chat template, is to be asked by chat templates.
            PromptError: The template set cannot be loaded.
        """
        loaded = load_templates(templates or ("chat" if model.is_chat else "transcript"))
        if loaded.is_chat and not model.is_chat:
            raise UsageError(
                f"{model.name} has no chat template, and the template set {loaded.name!r} is for "
                "chat models. Use --prompts transcript, or a folder whose set.yaml says "
                "`base: transcript`."
            )
        return cls(model, loaded, sampling)

    async def complete(
        self, turns: Sequence[Message], seed: int, json_schema: str = ""
    ) -> Completion:
        """The answer, stripped; a model that cannot follow `json_schema` answers without it.

        Raises:
            ModelError: The call failed.
        """
        # Transcript templates end a turn by a stop string of their own.
        stop = self.sampling.stop + self.templates.settings.stop
        sampling = replace(self.sampling, seed=seed, stop=stop, json_schema=json_schema)
        answer = await self.model.complete(self.templates.request(turns), sampling)
        return replace(answer, text=answer.text.strip())


async def gather_all(work: Iterable[Awaitable[T]]) -> list[T]:
    """All results, in order. One failure cancels no other call; the first is raised at the end."""
    # Plain asyncio.gather raises at the first failure and leaves the other calls running without
    # anybody waiting for them; a TaskGroup cancels calls that are paid for already.
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def candidates(constitution: Constitution, tags: Sequence[str]) -> tuple[Principle, ...]:
    """The principles that carry any of the tags (all without tags) and have a weight above 0.

    Raises:
        UsageError: None has any of them.
    """
    found = constitution.select(tags)
    if not found:
        known = sorted({tag for each in constitution.principles for tag in each.tags})
        raise UsageError(
            f"No principle of {constitution.name!r} with a weight above 0 has a tag of "
            f"{', '.join(tags)}. Its tags: {', '.join(known) or 'none'}."
        )
    return found


def shared_weights(principles: Sequence[Principle]) -> tuple[float, ...]:
    """The weight of each; those of one group share a single weight, the mean of theirs."""
    n_of_group = Counter(each.group for each in principles if each.group)
    return tuple(each.weight / n_of_group.get(each.group or "", 1) for each in principles)


def draw_principle(constitution: Constitution, tags: Sequence[str], seed: int) -> Principle:
    """One principle at random, in proportion to the weights. Raises as `candidates`."""
    found = candidates(constitution, tags)
    return random.Random(seed).choices(found, shared_weights(found))[0]


def draw_principles(
    constitution: Constitution, tags: Sequence[str], n: int, seed: int
) -> tuple[Principle, ...]:
    """`n` different principles at random, by weight, or all there are. Raises as `candidates`."""
    # Without replacement, each draw by the weights of those that are left.
    left = list(candidates(constitution, tags))
    weights = list(shared_weights(left))
    rng = random.Random(seed)
    drawn: list[Principle] = []
    while left and len(drawn) < n:
        index = rng.choices(range(len(left)), weights)[0]
        drawn.append(left.pop(index))
        del weights[index]
    return tuple(drawn)


# Log-probabilities come as rounded decimals, whose exponentials may exceed 1 by that much.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class OptionReading:
    """What the log-probabilities of some options say.

    `probabilities` are those of the options, in [0, 1], which add up to 1; None where they cannot
    be read, for that `reason`. `mass` is that of all options before that, None if unknown.
    """

    probabilities: tuple[float, ...] | None
    mass: float | None = None
    reason: str = ""
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Judge:
    """A model as judge.

    `reads_logprobs` says whether its options are read from log-probabilities, which the model must
    then give, or from what it writes. `has_fallback` says whether a call of which they cannot be
    read is read from words. The sampling of its role is for rationales and for written verdicts.
    """

    role: RoleModel
    reads_logprobs: bool
    has_fallback: bool = False

    @classmethod
    def of(cls, model: Model, sampling: Sampling = Sampling(temperature=0.0)) -> "Judge":
        """The model through the shipped templates of its kind, by log-probabilities if it can."""
        return cls(RoleModel.of(model, sampling), isinstance(model, ChoiceModel), has_fallback=True)

    @property
    def name(self) -> str:
        return self.role.model.name

    async def choose(
        self, turns: Conversation, options: Sequence[str]
    ) -> tuple[tuple[float, ...], Choice]:
        """The probability of each option in [0, 1], and the choice that they are read from.

        Raises:
            NoLogprobs: The model gives no log-probabilities.
            ModelError: The call failed, or what came are no log-probabilities.
        """
        model = self.role.model
        if not isinstance(model, ChoiceModel):
            raise NoLogprobs(
                f"{self.name} gives no log-probabilities. Read what it writes instead."
            )
        choice = await model.choose(self.role.templates.request(turns), options)
        probabilities = [math.exp(value) for value in choice.logprobs]
        # A server can send anything here. NaN fails this comparison too, as it must.
        if not all(0 <= p <= 1 + _ROUNDING for p in probabilities):
            raise ModelError(f"{self.name} gives {choice.logprobs} as log-probabilities.")
        return tuple(min(p, 1.0) for p in probabilities), choice

    async def read(
        self, turns: Conversation, options: Sequence[str], min_mass: float
    ) -> OptionReading:
        """The same, unread where the options together have less than `min_mass`.

        Raises:
            ModelError: The call failed, or what came are no log-probabilities.
        """
        try:
            probabilities, choice = await self.choose(turns, options)
        except NoLogprobs as error:
            return OptionReading(None, reason=str(error))
        # A letter with next to no probability is the share of two rare words, and no verdict: a
        # model that thinks first writes "Okay" there, and "A" as in "A user asks".
        reason = why_low_mass(choice.mass, options, min_mass)
        if reason:
            return OptionReading(None, choice.mass, reason, choice.usage)
        return OptionReading(probabilities, choice.mass, usage=choice.usage)


def why_low_mass(mass: float | None, options: Sequence[str], min_mass: float) -> str:
    """Why options of that probability together are not read; "" where they are, or none is known.

    A server that shows no distribution tells no mass.
    """
    if mass is None or mass >= min_mass:
        return ""
    return (
        f"The options {', '.join(options)} have {mass:.2%} of the probability together, less than "
        f"{min_mass:.0%}: the model would rather write something else, as one that thinks first "
        "does."
    )
