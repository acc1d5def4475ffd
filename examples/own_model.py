"""A model of one's own: any class with the five members of `cai.Model`.

This one wraps a plain function from a conversation to a text, such as a call of a client library.
Everything else works with it as with any other model: `cai.revise`, `cai.Run`, the journal.
"""

import asyncio
from collections.abc import Callable, Sequence

import cai

Speak = Callable[[list[dict[str, str]]], str]


class FunctionModel:
    """A function as a model.

    The name is part of the journal's key: whatever answers differently needs another name.
    """

    is_chat = True

    def __init__(self, name: str, speak: Speak) -> None:
        self.name = name
        self._speak = speak

    async def complete(
        self, messages: Sequence[cai.Message], sampling: cai.Sampling
    ) -> cai.Completion:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        # In a thread, so that a slow function does not stop the other examples in flight.
        return cai.Completion(await asyncio.to_thread(self._speak, turns))

    async def check(self) -> None:
        """Is asked before a run; raise `cai.errors.ModelError` here for a missing key or server."""

    async def close(self) -> None:
        """Nothing is held."""


def speak(turns: list[dict[str, str]]) -> str:
    """Where your own call goes; this stand-in knows one rule, that insults should go."""
    asked = turns[-1]["content"]
    if asked.startswith("Critique"):
        return 'The response says "What a silly question." and this is rude.'
    if asked.startswith("Rewrite"):
        return "First, find the crack in the chair. Then bind the chair with strong thread."
    return f"What a silly question. {speak([{'role': 'user', 'content': 'Rewrite'}])}"


async def main() -> None:
    model: cai.Model = FunctionModel("own:stand-in", speak)
    constitution = cai.Constitution(
        name="manners",
        principles=(cai.Principle(id="no-insults", text="The response holds no insult."),),
    )
    chain = await cai.revise(model, constitution, "How can I mend the baker's chair?")
    print(f"before: {chain.response.text}")
    print(f"after:  {chain.final}")


if __name__ == "__main__":
    asyncio.run(main())
