"""A model with scripted replies: for tests, and to try templates without a model.

Example:
    model = ScriptedModel(["I cannot choose.", "(A)"], choices=[(-0.1, -2.4)])
    await model.complete([Message("user", "A or B?")], Sampling())  # I cannot choose.
    model.requests[0].text  # A or B?
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cai.errors import ModelError, UsageError
from cai.models.base import Choice, Completion, Sampling, mass_of
from cai.types import Message

_T = TypeVar("_T")
Reply = str | Completion | Exception
Replier = Callable[[Sequence[Message], Sampling], str]
Chooser = Callable[[Sequence[Message], Sequence[str]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A recorded request. `sampling` is None in `choose`, `options` are empty in `complete`."""

    messages: tuple[Message, ...]
    sampling: Sampling | None = None
    options: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The contents of all messages, one below the other."""
        return "\n".join(message.content for message in self.messages)


class ScriptedModel:
    """Gives the replies in order, or by a function of the request, and records every request.

    An exception among the replies is raised in its turn. `choices` are the log-probabilities of
    each `choose`, in any scale: they are normalised. Where their probabilities add up to 1 or less,
    the sum is the mass of the choice.
    """

    def __init__(
        self,
        replies: Iterable[Reply] | Replier = (),
        *,
        choices: Iterable[Sequence[float] | Exception] | Chooser = (),
        name: str = "scripted",
        is_chat: bool = True,
    ) -> None:
        if isinstance(replies, str):
            # A text is iterable too, and each of its letters would be a reply.
            raise UsageError("A script is a list of replies, not one text. Put it in a list.")
        self._replies = replies if callable(replies) else iter(replies)
        self._choices = choices if callable(choices) else iter(choices)
        self.name = name
        self.is_chat = is_chat
        self.requests: list[SeenRequest] = []

    async def check(self) -> None:
        """Nothing to check."""

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        self.requests.append(SeenRequest(tuple(messages), sampling))
        if callable(self._replies):
            reply: Reply = self._replies(messages, sampling)
        else:
            reply = self._next(self._replies, "replies")
        return reply if isinstance(reply, Completion) else Completion(reply)

    async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        self.requests.append(SeenRequest(tuple(messages), options=tuple(options)))
        if callable(self._choices):
            logprobs = self._choices(messages, options)
        else:
            logprobs = self._next(self._choices, "choices")
        if len(logprobs) != len(options):
            raise UsageError(
                f"The script gives {len(logprobs)} log-probabilities for the {len(options)} "
                f"options {', '.join(options)}. Give one for each."
            )
        return Choice.normalised(logprobs, mass=mass_of(logprobs))

    async def close(self) -> None:
        """Nothing to close."""

    def _next(self, script: Iterator[_T | Exception], kind: str) -> _T:
        try:
            given = next(script)
        except StopIteration:  # the request at hand is recorded already
            raise ModelError(
                f"{self.name}: the script has no more {kind} after "
                f"{len(self.requests) - 1} requests. Give it more."
            ) from None
        if isinstance(given, Exception):
            raise given
        return given
