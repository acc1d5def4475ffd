"""What stands between a method and a model: wrappers that are themselves Models.

Journal and retry (later rate limit, budget, load) are each one async function around a call. A
wrapped model can `choose` exactly when the model inside can.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from cai.models.protocol import Choice, ChoiceModel, Completion, Model, Sampling
from cai.types import Conversation, Message

Answer = Completion | Choice
Ask = Callable[[], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a model: a completion has `sampling`, a choice has `options`."""

    kind: Literal["complete", "choose"]
    model: str
    messages: Conversation
    sampling: Sampling | None = None
    options: tuple[str, ...] = ()


class Around(Protocol):
    """Answers a call, by `ask` or without it."""

    async def __call__(self, call: Call, ask: Ask) -> Answer: ...


def wrapped(model: Model, around: Around) -> Model:
    """The model with `around` about each of its calls; a ChoiceModel when the model is one."""
    if isinstance(model, ChoiceModel):
        return _WrappedChoiceModel(model, around)
    return _WrappedModel(model, around)


class _WrappedModel:
    def __init__(self, model: Model, around: Around) -> None:
        self._model = model
        self._around = around

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def is_chat(self) -> bool:
        return self._model.is_chat

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        call = Call("complete", self.name, tuple(messages), sampling=sampling)
        answer = await self._around(call, lambda: self._model.complete(messages, sampling))
        assert isinstance(answer, Completion)
        return answer

    async def check(self) -> None:
        await self._model.check()

    async def close(self) -> None:
        await self._model.close()


class _WrappedChoiceModel(_WrappedModel):
    """A subclass, so that `isinstance(model, ChoiceModel)` is true only where `choose` works."""

    def __init__(self, model: ChoiceModel, around: Around) -> None:
        super().__init__(model, around)
        self._choice_model = model

    async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        call = Call("choose", self.name, tuple(messages), options=tuple(options))
        answer = await self._around(call, lambda: self._choice_model.choose(messages, options))
        assert isinstance(answer, Choice)
        return answer
