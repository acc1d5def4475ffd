"""Columns that belong to a prompt in another column, and where in the conversation they go.

Which these are is declared once, in `_KNOWN`. A text that the conversation holds already is not put
in twice, and a text column that nothing reads is named in the line that says what was read.

Example:
    companions = find_companions(table, "question", "text", exclude=("chosen", "rejected"), head)
    companions.joined(row, messages)        # the system text first, the passage before the question
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from cai.data.conversations import (
    Form,
    column_form,
    is_message_list,
    is_text_list,
    read_list,
    read_text,
    read_turns,
)
from cai.data.roles import tool_error
from cai.data.tables import Row, RowError, Table
from cai.types import Conversation, Message

Place = Literal["system", "earlier turns", "before", "after", "tools"]

_CONTEXTS = (
    *("context", "contexts", "passage", "passages", "document", "documents", "article"),
    *("background", "contextstring", "reference_text", "source_text", "paragraph", "story"),
)
_INSTRUCTIONS = ("instruction", "instructions")


@dataclass(frozen=True, slots=True)
class _Known:
    """Names of columns that belong to a prompt, where they go, and beside which columns."""

    names: tuple[str, ...]
    place: Place
    beside: tuple[str, ...] = ()  # names of the prompt's column; (): any, dialogues too


_KNOWN = (
    _Known(("tools", "functions", "available_tools"), "tools"),
    _Known(
        (
            *("system", "system_prompt", "system_message", "system_instruction", "sys_prompt"),
            *("system_prompts", "sys", "developer", "developer_prompt", "persona"),
        ),
        "system",
    ),
    _Known(
        (
            *("history", "chat_history", "conversation_history", "dialogue_history"),
            *("dialog_history", "previous_turns", "previous_messages"),
        ),
        "earlier turns",
    ),
    # HarmBench puts the context before the behaviour (Mazeika et al. 2024, arXiv:2402.04249).
    _Known(_CONTEXTS, "before"),
    _Known(_INSTRUCTIONS, "before", ("prompt", "question", "query", "text", "input", "inputs")),
    # Alpaca puts the input after the instruction.
    _Known(("input",), "after", ("instruction", "prompt", "task")),
    _Known(("inputs",), "after", ("instructions", "instruction", "prompts", "prompt")),
    _Known(("query",), "after", ("prompt",)),
)


@dataclass(frozen=True, slots=True)
class Companion:
    """A column that belongs to the prompt."""

    column: str
    place: Place
    form: Form


@dataclass(frozen=True, slots=True)
class Companions:
    """The columns that belong to the prompts of a source."""

    each: tuple[Companion, ...] = ()
    separator: str = "\n\n"  # between what stands before and the request

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(each.column for each in self.each)

    def joined(self, row: Row, messages: Conversation) -> Conversation:
        """The conversation with what belongs to it; its last turn stays the user's.

        Raises:
            RowError: A companion cannot be read, or defines tools.
        """
        for each in self.each:
            value = row.get(each.column)
            if value is None or value in ("", [], {}, "[]", "{}", "null"):
                continue
            if each.place == "tools":
                raise tool_error(f"{each.column!r} has definitions of tools")
            if each.place == "earlier turns" and each.form != "text":
                messages = _after(_earlier_turns(each, value), messages)
                continue
            messages = self._with_text(each, _text_of(value, each.column), messages)
        return messages

    def _with_text(self, each: Companion, text: str, messages: Conversation) -> Conversation:
        if not text.strip():
            return messages
        if each.place == "system":
            return _with_system(text, messages)
        request = messages[-1].content
        if text.strip() in request:
            return messages
        parts = (
            [request, "\n\n", text] if each.place == "after" else [text, self.separator, request]
        )
        return (*messages[:-1], Message("user", "".join(parts)))


def find_companions(
    table: Table, prompt: str | None, form: Form, used: Sequence[str], head: Sequence[Row]
) -> Companions:
    """The columns that belong to the prompt in that column; of dialogues where it is None."""
    name = (prompt or "").casefold()
    each: list[Companion] = []
    for known in _KNOWN:
        is_beside = not known.beside or (name in known.beside and form == "text")
        for column in table.columns if is_beside else ():
            if column.casefold() in known.names and column not in used and column != prompt:
                values = [row.get(column) for row in head]
                each.append(Companion(column, known.place, _companion_form(column, values)))
    return Companions(tuple(each), "\n\n---\n\n" if name == "behavior" else "\n\n")


def _companion_form(column: str, values: Sequence[object]) -> Form:
    return column_form(column, [value for value in values if value not in (None, "", [])])


def unused_texts(
    table: Table, used: Iterable[str], head: Sequence[Row], known: Iterable[str] = ()
) -> list[str]:
    """The columns with texts, or lists or objects, that nothing reads."""
    taken, passed = set(used), set(known)
    return [
        column
        for column in table.columns
        if column not in taken
        and column.casefold() not in passed
        and any(isinstance(row.get(column), str | list | dict) and row[column] for row in head)
    ]


def _with_system(text: str, messages: Conversation) -> Conversation:
    if messages[0].role != "system":
        return (Message("system", text), *messages)
    first = messages[0].content
    if text.strip() in first:
        return messages
    return (Message("system", f"{text}\n\n{first}" if first.strip() else text), *messages[1:])


def _after(earlier: Conversation, messages: Conversation) -> Conversation:
    """The turns of the history, then those of the prompt, which may repeat the history."""
    system = messages[:1] if messages[0].role == "system" else ()
    later = messages[len(system) :]
    if later[: len(earlier)] == earlier:
        return messages
    if earlier and earlier[0].role == "system":
        system, earlier = _with_system(earlier[0].content, system or earlier[:1]), earlier[1:]
    if earlier and earlier[-1] == later[0] and len(later) == 1:
        earlier = earlier[:-1]
    # A user's turn that was not answered, and the request after it, are one turn.
    if earlier and earlier[-1].role == "user":
        first = Message("user", f"{earlier[-1].content}\n\n{later[0].content}")
        return (*system, *earlier[:-1], first, *later[1:])
    return (*system, *earlier, *later)


def _earlier_turns(companion: Companion, value: object) -> Conversation:
    column = companion.column
    if companion.form != "turns":
        turns = read_turns(companion.form, value, column)
        return tuple(turn for turn in turns if turn.content.strip())
    texts = [read_text(text, column) for text in read_list(value, column, "turns")]
    if len(texts) % 2:
        raise RowError(
            f"{column!r} has {len(texts)} texts, and requests and answers in turn are needed",
            "malformed",
        )
    return tuple(Message("assistant" if i % 2 else "user", text) for i, text in enumerate(texts))


def _text_of(value: object, column: str) -> str:
    """A text, or several with blank lines between them."""
    if is_text_list(value):
        return "\n\n".join(filter(None, cast(list[str | None], value)))
    if is_message_list(value):
        turns = read_turns("messages", value, column)
        return "\n\n".join(turn.content for turn in turns)
    return read_text(value, column)
