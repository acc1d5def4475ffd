"""One call to a model as a value, middleware around such calls, and their retry.

Journal, retry, caps and the choice of a server are each one async function around a call: the
methods use a `Model` and know none of them. Only this module retries. Clients raise typed errors; a
`retryable` one is retried after an exponentially growing pause with jitter, so that the many calls
that fail together do not return together (Brooker 2015, "Exponential Backoff And Jitter"). Rate
limits, server errors, broken connections, timeouts and unreadable replies may pass. A request that
is refused for its form, its content or its length is refused again.

Example:
    async def logged(call: Call, call_next: CallNext) -> Answer:
        print(call.role, call.model)
        return await call_next()

    model = wrap_model(retrying(model), logged, role="judge")
"""

import asyncio
import random
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

from cai.errors import CaiError, ModelError, ModelUnavailable
from cai.models.base import Choice, ChoiceModel, Completion, Model, Sampling
from cai.types import Conversation, Message

Answer = Completion | Choice
CallNext = Callable[[], Awaitable[Answer]]

# A server that requests a longer pause has a daily quota: waiting for it would look like a hang.
LONGEST_ADVICE_S = 600.0
_LEAST_EQUAL, _CHANCE = 3, 1e-6
_VARYING = re.compile(r"[0-9a-f-]*\d[0-9a-f-]*", re.IGNORECASE)  # times, ids of requests


@dataclass(slots=True)
class ExampleInFlight:
    """An example as the scheduler knows it: its number by start, and its calls answered so far."""

    number: int
    n_answered: int = 0


EXAMPLE: ContextVar[ExampleInFlight | None] = ContextVar("EXAMPLE", default=None)
"""The example of the current task; for the scheduler, no result depends on it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a model: a completion has `sampling`, a choice has `options`.

    `role` is the model's part in it (respond, critique, judge …), for the ledger.
    """

    kind: Literal["complete", "choose"]
    model: str
    messages: Conversation
    sampling: Sampling | None = None
    options: tuple[str, ...] = ()
    role: str = ""


async def call_model(model: Model, call: Call) -> Answer:
    """The model's own answer to the call."""
    if call.sampling is not None:
        return await model.complete(call.messages, call.sampling)
    # A cast: to check a protocol while the program runs takes as long as to store the answer.
    return await cast(ChoiceModel, model).choose(call.messages, call.options)


class Middleware(Protocol):
    """Answers a call, with or without `call_next`."""

    async def __call__(self, call: Call, call_next: CallNext) -> Answer: ...


def wrap_model(model: Model, middleware: Middleware, role: str = "") -> Model:
    """The model with the middleware around each call; a ChoiceModel if the model is one."""
    if isinstance(model, ChoiceModel):
        return _WrappedChoiceModel(model, middleware, role)
    return _WrappedModel(model, middleware, role)


class _WrappedModel:
    def __init__(self, model: Model, middleware: Middleware, role: str) -> None:
        self._model = model
        self._middleware = middleware
        self._role = role
        self.name = model.name
        self.is_chat = model.is_chat

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        call = Call("complete", self.name, tuple(messages), sampling, role=self._role)
        answer = await self._middleware(call, lambda: call_model(self._model, call))
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
        answer = await self._middleware(call, lambda: call_model(self._model, call))
        assert isinstance(answer, Choice)
        return answer


@dataclass(slots=True)
class _Seen:
    """How many calls of a model were answered, and how many are failing by server errors now."""

    n_answered: int = 0
    n_failing: int = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """The number of attempts and the pauses between them. `jitter` returns numbers in [0, 1).

    If three calls in ten fail at a server, ten attempts leave six calls in a million. A reply that
    does not follow the protocol is more often permanent, so it has only `attempts_unreadable`. A
    server error is permanent where chance does not explain it: the same words three times or more
    for one request, while the server answers others. `counts` has the retries by cause.
    """

    attempts: int = 10
    attempts_unreadable: int = 6
    first_delay_s: float = 0.5
    max_delay_s: float = 60.0
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    counts: Counter[str] = field(default_factory=Counter[str])
    _seen: dict[str, "_Seen"] = field(default_factory=lambda: defaultdict(_Seen))

    async def answer(self, call: Call, call_next: CallNext) -> Answer:
        """The first answer that arrives.

        Raises:
            ModelUnavailable: Every attempt failed; the message has their number.
            CaiError: The first error that is not retryable, unchanged.
        """
        seen, equal = self._seen[call.model], _EqualErrors()
        try:
            return await self._attempts(call, call_next, seen, equal)
        finally:
            seen.n_failing -= equal.n > 0

    async def _attempts(
        self, call: Call, call_next: CallNext, seen: "_Seen", equal: "_EqualErrors"
    ) -> Answer:
        attempt = n_unreadable = 0
        while True:
            attempt += 1
            try:
                answer = await call_next()
                seen.n_answered += 1
                return answer
            except CaiError as error:
                if not error.retryable:
                    raise
                if error.cause == "server error" and equal.are_no_chance(str(error), seen):
                    raise ModelError(
                        f"{error} The server says so to this request alone, {equal.n} times now. "
                        "Change the request, or look at the server's log.",
                        "refused request",
                    ) from error
                advice_s = 0.0  # the server's own, from its Retry-After
                if isinstance(error, ModelUnavailable):
                    advice_s = error.retry_after_s or 0.0
                n_unreadable += error.cause == "invalid answer"
                is_last = attempt >= self.attempts or n_unreadable >= self.attempts_unreadable
                if is_last or advice_s > LONGEST_ADVICE_S:
                    times = "once" if attempt == 1 else f"{attempt} times"
                    message = f"{error} ({call.model} was called {times}.)"
                    raise ModelUnavailable(message, advice_s or None, error.cause) from error
                self.counts[error.cause] += 1
            pause_s = min(self.max_delay_s, self.first_delay_s * 2 ** (attempt - 1))
            # Half to all of the pause, and never less than the advice. All calls of a rate limit
            # get the same advice, so a little jitter goes on top of it too.
            jitter = self.jitter()
            if advice_s >= pause_s:
                pause_s = advice_s + jitter * self.first_delay_s
            else:
                pause_s = max(advice_s, pause_s * (0.5 + 0.5 * jitter))
            await self.sleep(pause_s)


@dataclass(slots=True)
class _EqualErrors:
    """The server errors of one call: how many in a row had the same words."""

    n: int = 0
    words: str = ""
    n_answered: int = 0  # calls of the model at the first of these

    def are_no_chance(self, message: str, seen: _Seen) -> bool:
        """Whether, with this one, they are of the request's own making."""
        seen.n_failing += not self.n
        words = _VARYING.sub("", message)
        if words != self.words:
            self.n, self.words, self.n_answered = 0, words, seen.n_answered
        self.n += 1
        # If the server failed by chance, as often as now, one request in a million would meet so
        # many.
        rate = seen.n_failing / (seen.n_failing + seen.n_answered - self.n_answered)
        return self.n >= _LEAST_EQUAL and rate**self.n < _CHANCE


def retrying(model: Model, retry: Retry | None = None) -> Model:
    """The model, whose retryable failures are retried."""
    return wrap_model(model, (retry or Retry()).answer)
