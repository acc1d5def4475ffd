r"""What one column holds, as a conversation that ends with the user's last turn.

Four forms are read, and what form a *column* has is decided once, from its first rows:

- a text, which is the user's only turn;
- a message list, by `role` and `content`, or by `from` and `value` (ShareGPT);
- an hh-rlhf transcript, with its turns marked `\n\nHuman: ` and `\n\nAssistant: `. Bai et al. 2022,
  arXiv:2204.05862;
- the user turns of MT-Bench, of which only the first is a prompt: each later one continues an
  answer that does not exist yet. Zheng et al. 2023, arXiv:2306.05685.

Deciding by column and not by row is what keeps a hostile row from choosing: a prompt that imitates
turn markers among ordinary prompts stays one user turn. Whatever the form, a turn's text is kept as
it is, and answers behind the last user turn are left out.

The response in a row: a text of its own, or the last turn of a dialogue.
"""

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Literal, cast

from cai.data.tables import RowError
from cai.types import Conversation, Message, Role

Form = Literal["text", "messages", "transcript", "turns"]

_MARKER = re.compile(r"\n\n(Human|Assistant):(?: |(?=\n)|\Z)")
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}


def column_form(column: str, values: Sequence[object]) -> Form:
    """The form of a column, from the values of its first rows."""
    filled = [value for value in values if value is not None]
    if column.casefold() == "turns":
        return "turns"
    if filled and isinstance(filled[0], list):
        return "messages"
    # A text in `chosen` is an answer unless it is a whole dialogue; as an answer it is no prompt.
    if column.casefold() in ("chosen", "rejected"):
        return "transcript"
    if filled and all(is_transcript(value) for value in filled):
        return "transcript"
    return "text"


def read_conversation(form: Form, value: object, column: str) -> Conversation:
    """The conversation up to the user's last turn; system turns come first.

    Raises:
        RowError: The value is not of that form, or has no user turn with text in it.
    """
    return up_to_user(form, read_turns(form, value, column), column)


def read_turns(form: Form, value: object, column: str) -> Conversation:
    """All turns as they stand, also those behind the user's last one; blank ones too.

    Raises:
        RowError: The value is not of that form.
    """
    return _READERS[form](value, column)


def up_to_user(form: Form, turns: Conversation, label: str) -> Conversation:
    """The turns up to the user's last one, as templates want them.

    Raises:
        RowError: There is no user turn, or the last one is blank.
    """
    ends = [place for place, turn in enumerate(turns) if turn.role == "user"]
    if not ends:
        raise _malformed(f"{label!r} has no user turn")
    if not turns[ends[-1]].content.strip():
        found = "is blank" if len(turns) == 1 else "ends in a blank user turn"
        raise RowError(f"{label!r} {found}", "blank")
    kept = turns[: ends[-1] + 1]
    return _in_turn(kept) if form == "transcript" else kept


def read_text(value: object, label: str) -> str:
    """The text, unchanged.

    Raises:
        RowError: It is not a text, or cannot be written as UTF-8.
    """
    if value is None:
        raise RowError(f"{label!r} is null, and a text is needed", "missing")
    if not isinstance(value, str):
        raise _malformed(f"{label!r} is {_kind(value)}, and a text is needed")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _malformed(
            f"{label!r} holds half of a surrogate pair at character {error.start + 1}, "
            "which no UTF-8 file can hold"
        ) from None
    return value


def _from_text(value: object, label: str) -> Conversation:
    return (Message("user", read_text(value, label)),)


def read_list(value: object, label: str, items: str) -> list[object]:
    """The list.

    Raises:
        RowError: It is none; the reason says that a list of these items is needed.
    """
    if value is None:
        raise RowError(f"{label!r} is null, and a list of {items} is needed", "missing")
    if not isinstance(value, list):
        raise _malformed(f"{label!r} is {_kind(value)}, and a list of {items} is needed")
    return cast(list[object], value)


def _from_messages(value: object, label: str) -> Conversation:
    turns = read_list(value, label, "messages")
    messages = [_message(turn, f"{label}[{place}]") for place, turn in enumerate(turns)]
    for place, message in enumerate(messages):
        if message.role == "system" and place > 0:
            raise _malformed(f"'{label}[{place}]' is a system turn; only the first turn may be one")
    return tuple(messages)


def _from_transcript(value: object, label: str) -> Conversation:
    text = read_text(value, label)
    if not is_transcript(text):
        raise RowError(
            f"{label!r} does not begin with a '\\n\\nHuman: ' turn",
            "malformed" if text.strip() else "blank",
        )
    _, *parts = _MARKER.split(text)
    return tuple(
        Message(_ROLES[turn_role.casefold()], said)
        for turn_role, said in zip(parts[::2], parts[1::2], strict=True)
    )


def is_transcript(value: object) -> bool:
    """Whether it is a text that begins with a turn marker."""
    return isinstance(value, str) and _MARKER.match(value) is not None


def is_message_list(value: object) -> bool:
    """Whether it is a list with an object in it, as messages are."""
    return isinstance(value, list) and any(
        isinstance(item, dict) for item in cast(list[object], value)
    )


def _in_turn(turns: Conversation) -> Conversation:
    """The same, where some roles have two turns in a row, or a blank one between."""
    spoken = [turn for turn in turns if turn.content.strip()]
    runs = [list(run) for _, run in groupby(spoken, key=lambda turn: turn.role)]
    return tuple(Message(run[0].role, "\n\n".join(turn.content for turn in run)) for run in runs)


def _from_turns(value: object, label: str) -> Conversation:
    turns = read_list(value, label, "user turns")
    if not turns:
        raise _malformed(f"{label!r} is an empty list, and a list of user turns is needed")
    return _from_text(turns[0], f"{label}[0]")


_READERS: dict[Form, Callable[[object, str], Conversation]] = {
    "text": _from_text,
    "messages": _from_messages,
    "transcript": _from_transcript,
    "turns": _from_turns,
}


def _message(turn: object, label: str) -> Message:
    if not isinstance(turn, dict):
        raise _malformed(
            f"{label!r} is {_kind(turn)}, and a message with a role and content is needed"
        )
    fields = cast(dict[str, object], turn)
    role_key, content_key = ("from", "value") if "from" in fields else ("role", "content")
    for key in (role_key, content_key):
        if key not in fields:
            raise _malformed(f"{label!r} has no {key!r}")
    name = fields[role_key]
    role = _ROLES.get(name.casefold()) if isinstance(name, str) else None
    if role is None:
        raise _malformed(f"{label!r} has the role {name!r:.60}, not one of {', '.join(_ROLES)}")
    return Message(role, _content(fields[content_key], f"{label}.{content_key}"))


def _content(value: object, label: str) -> str:
    """The text of a message, whose parts, where it is in parts, must all be text."""
    if not isinstance(value, list):
        return read_text(value, label)
    parts = cast(list[object], value)
    return "".join(_part(part, f"{label}[{place}]") for place, part in enumerate(parts))


def _part(part: object, label: str) -> str:
    fields = cast(dict[str, object], part) if isinstance(part, dict) else {}
    if fields.get("type") != "text" or "text" not in fields:
        raise _malformed(f"{label!r} is not a text part; only texts can be read")
    return read_text(fields["text"], label)


def _malformed(reason: str) -> RowError:
    return RowError(reason, "malformed")


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"a value of type {type(value).__name__}"


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


def texts_of(messages: Conversation) -> list[str]:
    """Roles and contents in turn: what a conversation's hash is made of."""
    return [text for message in messages for text in (message.role, message.content)]
