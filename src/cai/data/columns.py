"""Columns by their names: those of prompts, ids and tags, as every kind of item has them.

Names are found whatever their case. The second column of Alpaca (`input`) and of HarmBench
(`ContextString`) belongs to the prompt and is joined to it. Tags are short texts in columns such as
`subset` or `category`, to count results by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cai.data.conversations import (
    Form,
    column_form,
    last_spoken,
    read_text,
    read_turns,
    up_to_user,
)
from cai.data.tables import Row, RowError, Table
from cai.errors import SourceError, UnknownColumns
from cai.suggest import did_you_mean
from cai.types import Conversation, Message

# The first group of which the source has a column decides; two columns of one group are ambiguous.
_PROMPT_COLUMNS = (
    ("prompt", "prompts"),
    ("messages", "conversations", "conversation", "turns", "chosen"),
    (
        *("question", "questions", "instruction", "instructions", "goal", "goals"),
        *("forbidden_prompt", "behavior", "behaviors", "query", "queries"),
    ),
    ("text", "texts"),
    ("input", "inputs"),
)


@dataclass(frozen=True, slots=True)
class Companion:
    """A column whose text, where it is not blank, belongs before or behind the prompt's."""

    column: str
    is_before: bool
    separator: str

    def join(self, text: str, other: str) -> str:
        """Both texts as one."""
        first, second = (other, text) if self.is_before else (text, other)
        return f"{first}{self.separator}{second}"


def check_named(table: Table, named: Mapping[str, str | None]) -> None:
    """Nothing, where the source has every column that is named; the keys are the options' names.

    Raises:
        SourceError: It lacks one.
    """
    for option, name in named.items():
        if name and name not in table.columns:
            raise SourceError(_missing(table, name, option))


def find_id_column(
    table: Table, named: str | None, known: Sequence[str], exclude: Sequence[str]
) -> str | None:
    """The named column, or the first that is known; None where ids come from the content."""
    ids = matching(table.columns, known) if named is None else [named]
    return next((name for name in ids if name and name not in exclude), None)


def find_prompt_column(table: Table, exclude: Sequence[str], option: str) -> str | None:
    """The column that is known to hold prompts, or None; `option` is how the user names one.

    Raises:
        SourceError: Several could.
    """
    columns = [name for name in table.columns if name not in exclude]
    return next(
        (found for group in _PROMPT_COLUMNS if (found := only_one(table, columns, group, option))),
        None,
    )


def only_one(
    table: Table, columns: Sequence[str], known: Sequence[str], option: str, noun: str = "prompt"
) -> str | None:
    """The one of these columns that is known, or None.

    Raises:
        SourceError: There are several.
    """
    found = matching(columns, known)
    if len(found) > 1:
        raise UnknownColumns(
            f"{table.name}: the {noun} could be in any of {listed(found)}. "
            f"Say which with {option} {found[0]}."
        )
    return found[0] if found else None


def matching(columns: Sequence[str], known: Sequence[str]) -> list[str]:
    """The columns that are known, in the order in which they are known."""
    return [name for wanted in known for name in columns if name.casefold() == wanted]


def _find_companion(columns: Sequence[str], column: str) -> Companion | None:
    """The column that is joined to a prompt column of that name."""
    kind = column.casefold()
    if kind in ("instruction", "instructions"):
        found = matching(columns, ("input" if kind == "instruction" else "inputs",))
        return Companion(found[0], False, "\n\n") if found else None
    if kind == "behavior":
        found = matching(columns, ("contextstring",))
        return Companion(found[0], True, "\n\n---\n\n") if found else None
    return None


def unknown_columns(table: Table, what: str, advice: str) -> UnknownColumns:
    """The error where no column is known to hold that."""
    return UnknownColumns(
        f"{table.name}: no {what}. Columns found: {listed(table.columns)}. {advice}"
    )


def _missing(table: Table, name: str, option: str) -> str:
    hint = did_you_mean(name, table.columns, f"Name one of them with {option}.")
    return f"{table.name}: no column {name!r}. Columns found: {listed(table.columns)}. {hint}"


def listed(names: Sequence[str]) -> str:
    """The names in quotes, the first twenty of them."""
    listed = ", ".join(repr(name) for name in names[:20])
    return listed if len(names) <= 20 else f"{listed} and {len(names) - 20} more"


@dataclass(frozen=True, slots=True)
class PromptColumn:
    """Where prompts stand in a source, and in which form."""

    column: str
    companion: Companion | None
    form: Form

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, self.companion.column) if self.companion else (self.column,)

    def up_to_user(self, row: Row) -> Conversation:
        """The conversation up to the user's last turn; answers behind it are left out.

        Raises:
            RowError: The row has none.
        """
        return self._joined(up_to_user(self.form, self._turns(row), self.column), row)

    def whole(self, row: Row) -> Conversation:
        """The conversation, of which the user's turn is the last: its answer stands elsewhere.

        Raises:
            RowError: The row has none, or it ends in words of the assistant.
        """
        turns = self._turns(row)
        messages = up_to_user(self.form, turns, self.column)
        if last_spoken(turns) != "user":
            raise RowError(
                f"{self.column!r} ends in a turn of the assistant, and a prompt ends in the user's",
                "malformed",
            )
        return self._joined(messages, row)

    def _turns(self, row: Row) -> Conversation:
        return read_turns(self.form, cell(row, self.column), self.column)

    def _joined(self, messages: Conversation, row: Row) -> Conversation:
        other = row.get(self.companion.column) if self.companion else None
        if self.companion is None or other is None:
            return messages
        text = read_text(other, self.companion.column)
        if not text.strip():
            return messages
        joined = self.companion.join(messages[-1].content, text)
        return (*messages[:-1], Message("user", joined))


def prompt_column(table: Table, name: str, head: Sequence[Row]) -> PromptColumn:
    """How the column of that name is read, from its values in the first rows."""
    form = column_form(name, [row.get(name) for row in head])
    return PromptColumn(name, _find_companion(table.columns, name), form)


def cell(row: Row, column: str) -> object:
    """The value of a row in that column.

    Raises:
        RowError: The row has no such entry.
    """
    if column not in row:
        raise RowError(f"has no {column!r}, only {', '.join(map(repr, row)):.300}", "missing")
    return row[column]


MAX_TAG_CHARACTERS = 100
_TAG_COLUMNS = (
    *("subset", "category", "source", "dataset", "task", "type", "domain"),
    *("harm_category", "risk_area", "tag", "tags"),
)


@dataclass(frozen=True, slots=True)
class TagColumns:
    """The columns whose values become tags, under the columns' names."""

    columns: tuple[str, ...] = ()
    is_named: bool = False

    def read(self, row: Row) -> dict[str, str]:
        """The tags that the row has, by column; an empty value is no tag.

        In columns that were found and not named, a value that is no short text is no tag either.

        Raises:
            RowError: A named column holds something that is no short text, number or boolean.
        """
        tags = {column: self._value(row, column) for column in self.columns}
        return {column: value for column, value in tags.items() if value}

    def _value(self, row: Row, column: str) -> str:
        value = row.get(column)
        if value is None or _is_tag(value):
            return "" if value is None else _written(value)
        if not self.is_named:
            return ""
        raise RowError(
            f"{column!r} is no tag: a text of at most {MAX_TAG_CHARACTERS} characters on one line "
            "is needed",
            "malformed",
        )


def find_tag_columns(
    table: Table, named: Sequence[str], used: Sequence[str], head: Sequence[Row]
) -> TagColumns:
    """The named columns; where none is named, those known to hold tags and nothing else at first.

    Raises:
        SourceError: A named column is not there.
    """
    if named:
        for column in named:
            check_named(table, {"--tag-column": column})
        return TagColumns(tuple(dict.fromkeys(named)), is_named=True)
    found = [column for column in matching(table.columns, _TAG_COLUMNS) if column not in used]
    return TagColumns(tuple(column for column in found if _holds_tags(column, head)))


def _holds_tags(column: str, head: Sequence[Row]) -> bool:
    filled = [row[column] for row in head if row.get(column) is not None]
    return all(isinstance(value, str) and _is_tag(value) for value in filled)


def _is_tag(value: object) -> bool:
    if isinstance(value, str):
        return len(value.strip()) <= MAX_TAG_CHARACTERS and "\n" not in value.strip()
    return isinstance(value, int | float)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return read_text(value, "tag").strip() if isinstance(value, str) else str(value)
