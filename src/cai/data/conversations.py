r"""What one column holds, as a conversation that ends with the user's last turn.

Four forms are read, and what form a *column* has is decided once, from its first rows:

- a text, which is the user's only turn;
- a message list, by `role` and `content`, or by `from` and `value` (ShareGPT);
- an hh-rlhf transcript, with its turns marked `\n\nHuman: ` and `\n\nAssistant: `. Bai et al. 2022,
  arXiv:2204.05862;
- the user turns of MT-Bench, only the first of which is a prompt: each later one continues an
  answer that does not exist yet. Zheng et al. 2023, arXiv:2306.05685.

Whatever the form, the text of a turn is never altered. A response is a text of its own, or the last
turn of a dialogue.

Example:
    form = column_form("prompt", ["\n\nHuman: Hi.\n\nAssistant: Hello."])    # "transcript"
    turns = read_turns(form, row["prompt"], "prompt")
    messages = up_to_user(form, turns, "prompt")     # without the answer after the user's turn
"""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Literal, cast

from cai.data.tables import RowError
from cai.types import Conversation, Message, Role

Form = Literal["text", "messages", "transcript", "turns"]

# The space after the colon is part of the marker; a turn that starts with a line break, or the open
# last turn of a transcript, has none. "Humans:" and "Human:no" inside a text are not markers.
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
    # Deciding by column and not by row is what stops a hostile row from choosing its own form: a
    # prompt that imitates turn markers among ordinary prompts stays one user turn.
    non_null = [value for value in values if value is not None]
    if column.casefold() == "turns":
        return "turns"
    if non_null and isinstance(non_null[0], list):
        return "messages"
    # A text in `chosen` is an answer unless it is a whole dialogue; as an answer it is no prompt.
    if column.casefold() in ("chosen", "rejected"):
        return "transcript"
    return "transcript" if non_null and all(map(is_transcript, non_null)) else "text"


def read_turns(form: Form, value: object, column: str) -> Conversation:
    """All turns in their order, including blank ones and those after the user's last one.

    Raises:
        RowError: The value is not of that form.
    """
    match form:
        case "text":
            return (Message("user", read_text(value, column)),)
        case "messages":
            items = read_list(value, column, "messages")
            messages = tuple(_message(item, f"{column}[{i}]") for i, item in enumerate(items))
            for i, message in enumerate(messages):
                if message.role == "system" and i > 0:
                    raise RowError(
                        f"'{column}[{i}]' is a system turn; only the first turn may be one",
                        "malformed",
                    )
            return messages
        case "transcript":
            text = read_text(value, column)
            if not is_transcript(text):
                raise RowError(
                    f"{column!r} does not begin with a '\\n\\nHuman: ' turn",
                    "malformed" if text.strip() else "blank",
                )
            _, *parts = _MARKER.split(text)  # nothing stands before the first marker
            return tuple(
                Message(_ROLES[role.casefold()], content)
                for role, content in zip(parts[::2], parts[1::2], strict=True)
            )
        case "turns":
            turns = read_list(value, column, "user turns")
            if not turns:
                raise RowError(
                    f"{column!r} is an empty list, and a list of user turns is needed", "malformed"
                )
            return (Message("user", read_text(turns[0], f"{column}[0]")),)


def _message(turn: object, label: str) -> Message:
    if not isinstance(turn, dict):
        raise RowError(
            f"{label!r} is {_type_name(turn)}, and a message with a role and content is needed",
            "malformed",
        )
    fields = cast(dict[str, object], turn)
    role_key, content_key = ("from", "value") if "from" in fields else ("role", "content")
    for key in (role_key, content_key):
        if key not in fields:
            raise RowError(f"{label!r} has no {key!r}", "malformed")
    name, content = fields[role_key], fields[content_key]
    role = _ROLES.get(name.casefold()) if isinstance(name, str) else None
    if role is None:
        raise RowError(
            f"{label!r} has the role {name!r:.60}, not one of {', '.join(_ROLES)}", "malformed"
        )
    label = f"{label}.{content_key}"
    if not isinstance(content, list):
        return Message(role, read_text(content, label))
    texts: list[str] = []
    for i, item in enumerate(cast(list[object], content)):
        part = cast(dict[str, object], item) if isinstance(item, dict) else {}
        # Dropping an image would leave a question about nothing, so such a row is an error.
        if part.get("type") != "text" or "text" not in part:
            raise RowError(
                f"'{label}[{i}]' is not a text part; only texts can be read", "malformed"
            )
        texts.append(read_text(part["text"], f"{label}[{i}]"))
    return Message(role, "".join(texts))


def up_to_user(form: Form, turns: Conversation, label: str) -> Conversation:
    """The turns up to the user's last one.

    Raises:
        RowError: There is no user turn, or the last one is blank.
    """
    ends = [i for i, turn in enumerate(turns) if turn.role == "user"]
    if not ends:
        raise RowError(f"{label!r} has no user turn", "malformed")
    if not turns[ends[-1]].content.strip():
        fault = "is blank" if len(turns) == 1 else "ends in a blank user turn"
        raise RowError(f"{label!r} {fault}", "blank")
    turns = turns[: ends[-1] + 1]
    if form != "transcript":
        return turns
    # Chat templates want alternating roles. Real transcripts have blank turns and two turns of one
    # role in a row, so blank ones are dropped and neighbours of one role are joined.
    non_blank = [turn for turn in turns if turn.content.strip()]
    return tuple(
        Message(run[0].role, "\n\n".join(turn.content for turn in run))
        for run in (list(run) for _, run in groupby(non_blank, key=lambda turn: turn.role))
    )


def split_answer(form: Form, turns: Conversation, label: str) -> tuple[Conversation, str]:
    """The conversation up to the user's last turn, and the one answer after it.

    Raises:
        RowError: It does not end in one turn of the user and one of the assistant, or one of these
            is blank.
    """
    if not turns or turns[-1].role != "assistant":
        raise RowError(f"{label!r} does not end in a turn of the assistant", "malformed")
    if last_role(turns[:-1]) == "assistant":
        raise RowError(f"{label!r} ends in two turns of the assistant", "malformed")
    return up_to_user(form, turns[:-1], label), read_answer(turns[-1].content, label)


def read_text(value: object, label: str) -> str:
    """The text, unchanged.

    Raises:
        RowError: It is not a text, or cannot be written as UTF-8.
    """
    if value is None:
        raise RowError(f"{label!r} is null, and a text is needed", "missing")
    if not isinstance(value, str):
        raise RowError(f"{label!r} is {_type_name(value)}, and a text is needed", "malformed")
    try:
        # JSON escapes can spell half of a surrogate pair. It is refused here, and not when a result
        # that was paid for is written to a file.
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(
            f"{label!r} holds half of a surrogate pair at character {error.start + 1}, "
            "which no UTF-8 file can hold",
            "malformed",
        ) from None
    return value


def read_answer(value: object, label: str) -> str:
    """The text, unchanged.

    Raises:
        RowError: It is not a text, or is blank.
    """
    text = read_text(value, label)
    if not text.strip():
        raise RowError(f"{label!r} is blank, and a response is needed", "blank")
    return text


def read_list(value: object, label: str, items: str) -> list[object]:
    """The list; `items` names what is in it, for messages.

    Raises:
        RowError: It is not a list.
    """
    if value is None:
        raise RowError(f"{label!r} is null, and a list of {items} is needed", "missing")
    if not isinstance(value, list):
        raise RowError(
            f"{label!r} is {_type_name(value)}, and a list of {items} is needed", "malformed"
        )
    return cast(list[object], value)


def _type_name(value: object) -> str:
    kind = type(value).__name__
    names = {"NoneType": "null", "bool": "a boolean", "int": "a number", "float": "a number"}
    names |= {"str": "a text", "list": "a list", "dict": "an object"}
    return names.get(kind, f"a value of type {kind}")


def is_transcript(value: object) -> bool:
    """Whether it is a text that begins with a turn marker."""
    return isinstance(value, str) and _MARKER.match(value) is not None


def is_message_list(value: object) -> bool:
    """Whether it is a list with an object in it, as messages are."""
    return isinstance(value, list) and any(
        isinstance(item, dict) for item in cast(list[object], value)
    )


def first_role(turns: Sequence[Message]) -> str:
    """The role of the first turn after any system turn; "" without one."""
    return next((turn.role for turn in turns if turn.role != "system"), "")


def last_role(turns: Sequence[Message]) -> str:
    """The role of the last turn that is not blank; "" without one."""
    return next((turn.role for turn in reversed(turns) if turn.content.strip()), "")


def texts_of(messages: Conversation) -> list[str]:
    """Roles and contents in turn: what a conversation's hash is made of."""
    return [text for message in messages for text in (message.role, message.content)]
