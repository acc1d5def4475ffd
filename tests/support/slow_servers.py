"""Scripted models as servers have them: with limits and names of their own, slow, hung or away."""

import asyncio
from collections.abc import Sequence
from itertools import repeat

from cai.engine.calls import Call
from cai.errors import CaiError, ModelUnavailable
from cai.models.base import Completion, Limits, Sampling, Usage
from cai.models.scripted import ScriptedModel
from cai.types import Message

AWAY = ModelUnavailable("Connection refused.", cause="unreachable")


def call_of(text: str = "Which gate is mine?", max_tokens: int = 8, model: str = "server") -> Call:
    return Call("complete", model, (Message("user", text),), Sampling(max_tokens=max_tokens))


class SlowServer:
    """Answers in `takes_s`, while `open` is set; raises `error` where there is one.

    `texts` are the questions in the order in which they came.
    """

    is_chat = True

    def __init__(
        self,
        name: str = "server",
        limits: Limits = Limits(start=2, calls=2),
        usage: Usage = Usage(5, 3),
        takes_s: float = 0.0,
        error: CaiError | None = None,
    ) -> None:
        self.name = name
        self.limits = limits
        self.takes_s = takes_s
        self.error = error
        self.open = asyncio.Event()
        self.open.set()
        self.now = self.most = self.n_cancelled = 0
        self._script = ScriptedModel(repeat(Completion("Left.", usage=usage)), name=name)
        self.texts: list[str] = []

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        self.texts.append(messages[-1].content)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.error is not None:
                raise self.error
            is_open = self.open  # of this call, also when it is another one later
            await asyncio.sleep(self.takes_s)
            await is_open.wait()
            return await self._script.complete(messages, sampling)
        except asyncio.CancelledError:
            self.n_cancelled += 1
            raise
        finally:
            self.now -= 1

    async def check(self) -> None:
        await self._script.check()

    async def close(self) -> None:
        await self._script.close()


class WordsOnly:
    """A model of a kind that has no log-probabilities; it says A."""

    name, is_chat = "words", True

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        return Completion("A")

    async def check(self) -> None: ...

    async def close(self) -> None: ...


class Spread:
    """One model behind several servers."""

    is_chat = True

    def __init__(self, *endpoints: SlowServer) -> None:
        self.name = endpoints[0].name
        self.endpoints = endpoints
        self.complete = endpoints[0].complete
        self.check = endpoints[0].check
        self.close = endpoints[0].close


class Hand:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s
