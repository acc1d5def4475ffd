"""Replies of servers that judge, for tests of commands: they like the longer response."""

import re
from collections.abc import Callable
from math import log

from openai_server import Json, Received, chat, chat_tokens

Reply = Callable[[Received], Json]


def shown(received: Received) -> tuple[str, str]:
    """What stands at A and at B in the request."""
    text = next(
        message["content"]
        for message in received.body["messages"]
        if "<response_a>" in message["content"]
    )
    found = [
        re.findall(f"<{tag}>\n(.*?)\n</{tag}>", text, re.DOTALL)[-1]
        for tag in ("response_a", "response_b")
    ]
    return found[0], found[1]


def letter(received: Received) -> str:
    """That of the longer response; A of two that are equally long."""
    first, second = shown(received)
    return "A" if len(first) >= len(second) else "B"


def by_letters(received: Received) -> Json:
    """Gives the longer response 0.9 in log-probabilities, and assesses when that is asked."""
    if "logprobs" not in received.body:
        return chat("Both are about the lamp.")
    return both(0.9 if letter(received) == "A" else 0.1)


def both(p: float) -> Json:
    """The letters A and B with these probabilities."""
    return chat_tokens([("A", log(p)), ("B", log(1 - p))])


def in_words(received: Received) -> Json:
    """Says a letter and shows no log-probabilities, whatever is asked for."""
    return chat(f"Verdict: {letter(received)}")
