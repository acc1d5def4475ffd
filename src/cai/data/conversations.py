r"""What one column holds, as a conversation that ends with the user's last turn.

What form a *column* has is decided once, from its first rows:

- a text, which is the user's only turn;
- a message list, or one message: by `role` and `content`, `from` and `value` (ShareGPT), or other
  names of the two; pairs of a request and its answer; a struct of lists, as Parquet stores them;
- a dialogue written as one text, in one of the forms of `chat_markup`;
- the user turns of MT-Bench, only the first of which is a prompt: each later one continues an
  answer that does not exist yet. Zheng et al. 2023, arXiv:2306.05685.

Turns of one role that follow each other are joined, and blank ones left out, as chat templates
want alternating roles; otherwise the text of a turn is never altered. A response is a text of its
own, or the last turn of a dialogue.

Example:
    form = column_form("prompt", ["\n\nHuman: Hi.\n\nAssistant: Hello."])    # "hh-rlhf"
    turns = read_turns(form, row["prompt"], "prompt")
    messages = up_to_user(turns, "prompt")     # without the answer after the user's turn
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TypeAlias, cast

from cai.data.chat_markup import MARKUPS, common_markup, markup_of, read_marked
from cai.data.roles import read_role, tool_error
from cai.data.tables import RowError
from cai.types import Conversation, Message

Form: TypeAlias = str
"""`text`, `messages`, `turns`, or the name of a markup."""

# The names of a turn's speaker and of its text, the first of which a message has.
ROLE_KEYS = ("role", "from", "speaker", "author", "sender", "type")
_CONTENT_KEYS = ("content", "value", "text", "parts", "message", "utterance")
_REQUEST_KEYS = ("full_text", "post", "article", "prompt", "question", "text")
# Turns that have the request under one name and its answer under another.
_EXCHANGE_KEYS = (
    *(
        ("user", "assistant"),
        ("human", "assistant"),
        ("instruction", "output"),
        ("prompt", "response"),
    ),
    *(("question", "answer"), ("user", "bot"), ("input", "output"), ("human", "gpt")),
)


def column_form(column: str, values: Sequence[object]) -> Form:
    """The form of a column, from the values of its first rows."""
    # Deciding by column and not by row is what stops a hostile row from choosing its own form: a
    # prompt that imitates turn markers among ordinary prompts stays one user turn.
    non_null = [value for value in values if value is not None]
    filled = [value for value in non_null if value != []]
    if column.casefold() == "turns" or (filled and is_text_list(filled[0])):
        return "turns"
    if non_null and isinstance(non_null[0], list | dict):
        return "messages"
    return common_markup(non_null) or "text"


def read_turns(form: Form, value: object, column: str) -> Conversation:
    """All turns in their order, including blank ones and those after the user's last one.

    Raises:
        RowError: The value is not of that form.
    """
    if form == "text":
        return (Message("user", read_text(value, column)),)
    if form == "messages":
        messages = _messages(value, column)
        for i, message in enumerate(messages):
            if message.role == "system" and i > 0:
                raise RowError(
                    f"'{column}[{i}]' is a system turn; only the first turn may be one",
                    "malformed",
                )
        return messages
    if form == "turns":
        turns = read_list(value, column, "user turns")
        if not turns:
            raise RowError(
                f"{column!r} is an empty list, and a list of user turns is needed", "malformed"
            )
        return (Message("user", read_text(turns[0], f"{column}[0]")),)
    return read_marked(form, read_text(value, column), column)


def _messages(value: object, column: str) -> Conversation:
    items = message_items(value) or _request_of(value)
    items = read_list(value, column, "messages") if items is None else items
    messages: list[Message] = []
    for i, item in enumerate(items):
        label = f"{column}[{i}]"
        exchange = _exchange(item)
        if exchange is None:
            messages.append(_message(item, label))
            continue
        for role, text in zip(("user", "assistant"), exchange, strict=True):
            # The last answer may be open.
            if text is not None or role == "user":
                messages.append(Message(role, read_text(text, label)))
    return tuple(messages)


def _request_of(value: object) -> list[object] | None:
    """The text of an object about a request, as WebGPT's `question`, as the user's message."""
    fields = cast(dict[str, object], value) if isinstance(value, dict) else {}
    texts = (fields[key] for key in _REQUEST_KEYS if isinstance(fields.get(key), str))
    text = next(texts, None)
    return None if text is None else [{"role": "user", "content": text}]


def _exchange(item: object) -> tuple[object, object] | None:
    """The request and its answer, where they stand under two names or in a list of two."""
    if isinstance(item, list):
        both = cast(list[object], item)
        return (both[0], both[1]) if len(both) == 2 and is_text_list(both) else None
    if not isinstance(item, dict) or any(key in item for key in ROLE_KEYS):
        return None
    fields = cast(dict[str, object], item)
    return next(
        ((fields[a], fields[b]) for a, b in _EXCHANGE_KEYS if a in fields and b in fields), None
    )


def message_items(value: object) -> list[object] | None:
    """The messages of a value; None where it has another shape.

    A single message counts as a list of one. A struct of lists is turned into a list of messages.
    """
    if isinstance(value, list):
        return cast(list[object], value)
    if not isinstance(value, dict):
        return None
    fields = cast(dict[str, object], value)
    for key in ("messages", "conversation", "conversations", "turns"):
        if isinstance(fields.get(key), list):
            return cast(list[object], fields[key])
    role, content = _keys_of(fields)
    if role not in fields or content not in fields:
        return None
    if not isinstance(fields[role], list):
        return [fields]
    columns = {
        key: cast(list[object], entry) for key, entry in fields.items() if isinstance(entry, list)
    }
    if len({len(entry) for entry in columns.values()}) > 1:
        return None
    return [dict(zip(columns, each, strict=True)) for each in zip(*columns.values(), strict=True)]


def _keys_of(fields: Mapping[str, object]) -> tuple[str, str]:
    """The names of a turn's speaker and of its text; the usual ones where it has none."""
    if "from" in fields and "role" not in fields:
        return "from", next((key for key in ("value", *_CONTENT_KEYS) if key in fields), "value")
    role = next((key for key in ROLE_KEYS if key in fields), "role")
    return role, next((key for key in _CONTENT_KEYS if key in fields), "content")


def _message(turn: object, label: str) -> Message:
    if not isinstance(turn, dict):
        raise RowError(
            f"{label!r} is {_type_name(turn)}, and a message with a role and content is needed",
            "malformed",
        )
    fields = cast(dict[str, object], turn)
    role_key, content_key = _keys_of(fields)
    for key in ("tool_calls", "function_call"):
        if fields.get(key):
            raise tool_error(f"{label!r} has a tool call ({key!r})")
    for key in (role_key, content_key):
        if key not in fields:
            raise RowError(f"{label!r} has no {key!r}", "malformed")
    role, content = read_role(fields[role_key], label), fields[content_key]
    label = f"{label}.{content_key}"
    # As chat templates write them (Hermes, Qwen); a user's text that says so stays a text.
    if role == "assistant" and isinstance(content, str) and "</tool_call>" in content:
        raise tool_error(f"{label!r} has a tool call ('</tool_call>')")
    if not isinstance(content, list):
        return Message(role, read_text(content, label))
    texts: list[str] = []
    for i, item in enumerate(cast(list[object], content)):
        part = cast(dict[str, object], item) if isinstance(item, dict) else {"text": item}
        if part.get("type") in ("tool_use", "tool_result"):
            raise tool_error(f"'{label}[{i}]' is a {part['type']}")
        # Dropping an image would leave a question about nothing, so such a row is an error.
        if part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
            raise RowError(
                f"'{label}[{i}]' is not a text part; only texts can be read", "malformed"
            )
        texts.append(read_text(part["text"], f"{label}[{i}]"))
    return Message(role, "".join(texts))


def up_to_user(turns: Conversation, label: str) -> Conversation:
    """The turns up to the user's last one, joined where one role has several in a row.

    Raises:
        RowError: There is no user turn, or the last one is blank.
    """
    ends = [i for i, turn in enumerate(turns) if turn.role == "user"]
    if not ends:
        raise RowError(f"{label!r} has no user turn", "malformed")
    if not turns[ends[-1]].content.strip():
        fault = "is blank" if len(turns) == 1 else "ends in a blank user turn"
        raise RowError(f"{label!r} {fault}", "blank")
    return joined_turns(turns[: ends[-1] + 1])


def joined_turns(turns: Sequence[Message]) -> Conversation:
    """The turns without blank ones, and with those of one role that follow each other joined."""
    if len(turns) == 1:
        return tuple(turns)
    non_blank = [turn for turn in turns if turn.content.strip()]
    return tuple(
        Message(run[0].role, "\n\n".join(turn.content for turn in run))
        for run in (list(run) for _, run in groupby(non_blank, key=lambda turn: turn.role))
    )


def split_answer(turns: Conversation, label: str) -> tuple[Conversation, str]:
    """The conversation up to the user's last turn, and the one answer after it.

    Raises:
        RowError: It does not end in one turn of the user and one of the assistant, or one of these
            is blank.
    """
    if not turns or turns[-1].role != "assistant":
        raise RowError(f"{label!r} does not end in a turn of the assistant", "malformed")
    if last_role(turns[:-1]) == "assistant":
        raise RowError(f"{label!r} ends in two turns of the assistant", "malformed")
    return up_to_user(turns[:-1], label), read_answer(turns[-1].content, label)


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
    """Whether it is a text that is a whole dialogue."""
    return isinstance(value, str) and markup_of(value) != ""


def is_dialogue(form: Form) -> bool:
    """Whether a value of that form may hold a whole dialogue."""
    return form == "messages" or form in MARKUPS


def is_message_list(value: object) -> bool:
    """Whether it is a message, or a list with an object in it, as messages are."""
    items = message_items(value)
    return items is not None and any(isinstance(item, dict | list) for item in items)


def is_text_list(value: object) -> bool:
    """Whether it is a list of texts, some of which may be null; not an empty one."""
    items = cast(list[object], value) if isinstance(value, list) else []
    return bool(items) and all(item is None or isinstance(item, str) for item in items)


def first_role(turns: Sequence[Message]) -> str:
    """The role of the first turn after any system turn; "" without one."""
    return next((turn.role for turn in turns if turn.role != "system"), "")


def last_role(turns: Sequence[Message]) -> str:
    """The role of the last turn that is not blank; "" without one."""
    return next((turn.role for turn in reversed(turns) if turn.content.strip()), "")


def texts_of(messages: Conversation) -> list[str]:
    """Roles and contents in turn: what a conversation's hash is made of."""
    return [text for message in messages for text in (message.role, message.content)]
