"""One call to a model as a value, and models whose every call goes through a function.

Journal, retry, caps and the choice of a server are each one async function around a call. The
methods see a Model and know of none of them.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol

from cai.models.protocol import Choice, ChoiceModel, Completion, Model, Sampling
from cai.types import Conversation, Message

Answer = Completion | Choice
Ask = Callable[[], Awaitable[Answer]]


@dataclass(slots=True)
class Example:
    """What the scheduler knows of an example: when it was begun, and how far it has come."""

    number: int
    n_answered: int = 0


EXAMPLE: ContextVar[Example | None] = ContextVar("EXAMPLE", default=None)
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
