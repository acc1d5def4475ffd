"""One call to a model as a value, and models whose every call goes through a function.

Journal, retry, caps and the choice of a server are each one async function around a call. The
methods see a Model and know of none of them.

Asking again: the only place that does.

Clients raise typed errors; what says `retryable` is asked again after an exponentially growing
pause with jitter, so that many examples in flight do not come back all at once. A rate limit, an
error of the server, a broken connection, a time-out and an answer that cannot be read may pass. A
request that is refused, for its form, its content or its length, is the same the next time.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol

from cai.errors import CaiError, ModelUnavailable
from cai.models.base import Choice, ChoiceModel, Completion, Model, Sampling
from cai.types import Conversation, Message

Answer = Completion | Choice
Ask = Callable[[], Awaitable[Answer]]


@dataclass(slots=True)
class ExampleInFlight:
    """What the scheduler knows of an example: when it was begun, and how far it has come."""

    number: int
    n_answered: int = 0


EXAMPLE: ContextVar[ExampleInFlight | None] = ContextVar("EXAMPLE", default=None)
"""The example that the present task works on; for the scheduler, no result depends on it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a model: a completion has `sampling`, a choice has `options`.

    `role` is the part that the model plays in it (respond, critique, judge …), for the accounts.
    """

    kind: Literal["complete", "choose"]
    model: str
    messages: Conversation
    sampling: Sampling | None = None
    options: tuple[str, ...] = ()
    role: str = ""


async def ask_model(model: Model, call: Call) -> Answer:
    """The model's own answer to the call."""
    if call.sampling is not None:
        return await model.complete(call.messages, call.sampling)
    assert isinstance(model, ChoiceModel)
    return await model.choose(call.messages, call.options)


class Around(Protocol):
    """Answers a call, by `ask` or without it."""

    async def __call__(self, call: Call, ask: Ask) -> Answer: ...


def wrapped(model: Model, around: Around, role: str = "") -> Model:
    """The model with `around` about each of its calls; a ChoiceModel when the model is one."""
    if isinstance(model, ChoiceModel):
        return _WrappedChoiceModel(model, around, role)
    return _WrappedModel(model, around, role)


class _WrappedModel:
    def __init__(self, model: Model, around: Around, role: str) -> None:
        self._model = model
        self._around = around
        self._role = role
        self.name = model.name
        self.is_chat = model.is_chat

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        call = Call("complete", self.name, tuple(messages), sampling, role=self._role)
        answer = await self._around(call, lambda: ask_model(self._model, call))
        assert isinstance(answer, Completion)
        return answer

    async def check(self) -> None:
        await self._model.check()

    async def close(self) -> None:
        await self._model.close()


class _WrappedChoiceModel(_WrappedModel):
    """A subclass, so that `isinstance(model, ChoiceModel)` is true only where `choose` works."""

    async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        call = Call("choose", self.name, tuple(messages), options=tuple(options), role=self._role)
        answer = await self._around(call, lambda: ask_model(self._model, call))
        assert isinstance(answer, Choice)
        return answer


LONGEST_ADVICE_S = (
    600.0  # a server that asks for a longer pause (a daily quota) is given up at once
)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently a call is asked. `jitter` gives numbers in [0, 1).

    Of a server at which three calls in ten fail, ten attempts leave six calls in a million. One
    that answers with something else than the protocol does so for good more often than by chance,
    so it is asked `attempts_unreadable` times. `counts` says how often was asked again, by cause.
    """

    attempts: int = 10
    attempts_unreadable: int = 6
    first_delay_s: float = 0.5
    max_delay_s: float = 60.0
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    counts: Counter[str] = field(default_factory=Counter[str])

    async def answer(self, call: Call, ask: Ask) -> Answer:
        """The first answer that comes.

        Raises:
            ModelUnavailable: None came; the message says how often it was asked.
            CaiError: The first error that is not retryable, as it was.
        """
        attempt = n_unreadable = 0
        while True:
            attempt += 1
            try:
                return await ask()
            except CaiError as error:
                if not error.retryable:
                    raise
                advice_s = _advice_s(error)
                n_unreadable += error.cause == "invalid answer"
                is_last = attempt >= self.attempts or n_unreadable >= self.attempts_unreadable
                if is_last or advice_s > LONGEST_ADVICE_S:
                    raise _given_up(call, error, attempt) from error
                self.counts[error.cause] += 1
            await self.sleep(self._delay_s(attempt, advice_s))

    def _delay_s(self, attempt: int, advice_s: float) -> float:
        """Half to all of the doubled pause; never less than the server's own advice."""
        pause_s = min(self.max_delay_s, self.first_delay_s * 2 ** (attempt - 1))
        jitter = self.jitter()
        if advice_s >= pause_s:
            return advice_s + jitter * self.first_delay_s
        return max(advice_s, pause_s * (0.5 + 0.5 * jitter))


def retrying(model: Model, retry: Retry | None = None) -> Model:
    """The model, asked again when a failure may pass."""
    return wrapped(model, (retry or Retry()).answer)


def _advice_s(error: CaiError) -> float:
    return (error.retry_after_s or 0.0) if isinstance(error, ModelUnavailable) else 0.0


def _given_up(call: Call, error: CaiError, attempts: int) -> ModelUnavailable:
    times = "once" if attempts == 1 else f"{attempts} times"
    message = f"{error} ({call.model} was asked {times}.)"
    return ModelUnavailable(message, _advice_s(error) or None, error.cause)
