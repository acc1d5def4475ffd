"""Thoughts that a model writes before its answer, in `<think>…</think>`."""

OPENING = "<think>"
CLOSING = "</think>"


def split_reasoning(text: str) -> tuple[str, str]:
    """The reasoning, without its tags, and the answer; the reasoning is empty when there is none.

    Only a leading block counts: a tag later in the text is part of the answer. A block that is
    never closed was cut short, so all of it is reasoning and the answer is empty.
    """
    opened = text.lstrip()
    if not opened.startswith(OPENING):
        return "", text
    reasoning, _, answer = opened.removeprefix(OPENING).partition(CLOSING)
    return reasoning.strip(), answer.lstrip()
