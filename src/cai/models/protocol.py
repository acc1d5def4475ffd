"""What a model can do, and nothing of how: the only face of a model that the methods know."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from cai.types import Message

StopReason = Literal["stop", "length", "filtered"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a completion is drawn.

    `temperature` 0 is greedy. `top_k` 0 and `top_p` 1 are off. `stop` strings end the text and are
    not part of it. `seed` alone decides the randomness of this one call: it is derived from (run
    seed, example id, step); None lets the model choose.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call as the model counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer. `reasoning` is text that the model thought before it, kept apart."""

    text: str
    stop_reason: StopReason = "stop"
    usage: Usage = Usage()
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Log-probabilities of the options in nats, normalised over the options; same order."""

    logprobs: tuple[float, ...]
    usage: Usage = Usage()

    @classmethod
    def normalised(cls, logprobs: Iterable[float], usage: Usage = Usage()) -> "Choice":
        """The choice with these log-probabilities, shifted so that probabilities add up to 1."""
        values = tuple(logprobs)
        total = log_sum_exp(values)
        return cls(tuple(value - total for value in values), usage)


def log_sum_exp(values: Sequence[float]) -> float:
    """The logarithm of the sum of the exponentials, in nats."""
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


class Model(Protocol):
    """Answers a conversation.

    `name` says model and endpoint and is part of the journal key: what answers differently is
    named differently. `complete` raises `ModelUnavailable` for what may pass, `ContextLengthError`
    for a request that is too long, another `ModelError` for what will not pass.
    """

    @property
    def name(self) -> str: ...

    @property
    def is_chat(self) -> bool:
        """Whether it takes conversations; a base model takes only one `text` message."""
        ...

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion: ...

    async def check(self) -> None:
        """Finds out before a run whether the model can be used.

        Raises:
            ModelError: It cannot; the message says why.
        """
        ...

    async def close(self) -> None:
        """Frees what it holds; a later call takes it anew."""
        ...


@runtime_checkable
class ChoiceModel(Model, Protocol):
    """A model that can also say how probable each of some given answers is."""

    async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice: ...
