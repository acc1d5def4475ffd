"""The response in a row: a text of its own, or the last turn of a dialogue."""

from collections.abc import Sequence

from cai.sources.conversations import Form, read_text, up_to_user
from cai.sources.tables import RowError
from cai.types import Conversation, Message


def read_answer(value: object, label: str) -> str:
    """The text, unchanged; it is not blank.

    Raises:
        RowError: It is blank, or no text.
    """
    text = read_text(value, label)
    if not text.strip():
        raise RowError(f"{label!r} is blank, and a response is needed", "blank")
    return text


def split_answer(form: Form, turns: Conversation, label: str) -> tuple[Conversation, str]:
    """The conversation up to the user's last turn, and the one answer behind it.

    Raises:
        RowError: It does not end in one turn of the user and one of the assistant, or one of these
            is blank.
    """
    if not turns or turns[-1].role != "assistant":
        raise RowError(f"{label!r} does not end in a turn of the assistant", "malformed")
    if last_spoken(turns[:-1]) == "assistant":
        raise RowError(f"{label!r} ends in two turns of the assistant", "malformed")
    return up_to_user(form, turns[:-1], label), read_answer(turns[-1].content, label)


def last_spoken(turns: Sequence[Message]) -> str:
    """The role of the last turn that is not blank; "" where all are."""
    return next((turn.role for turn in reversed(turns) if turn.content.strip()), "")


def opening(turns: Sequence[Message]) -> str:
    """The role of the first turn behind any system turn; "" where there is none."""
    return next((turn.role for turn in turns if turn.role != "system"), "")
