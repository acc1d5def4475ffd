"""Columns by their names: those of prompts, ids and tags, which every kind of item has.

Names are compared whatever their case. What belongs to a prompt in another column (`companions`) is
joined to it. Tags are short texts in columns such as
`subset` or `category`, to count results by.

Example:
    name = find_prompt_column(table, exclude=(), option="--column")     # "instruction"
    prompts = prompt_column(table, name, table.head(table.columns))
    for number, row in table.rows(prompts.columns):
        messages = prompts.up_to_user(row)      # instruction and input as one user turn
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cai.data.companions import Companions, find_companions
from cai.data.conversations import (
    Form,
    column_form,
    last_role,
    read_text,
    read_turns,
    up_to_user,
)
from cai.data.tables import Row, RowError, Table
from cai.errors import SourceError, UnknownColumns
from cai.suggest import did_you_mean
from cai.types import Conversation

# The first group of which the source has a column decides; two columns of one group are ambiguous.
# Of a pair, `chosen` is the prompt's column only where nothing else is, and it has dialogues.
_PROMPT_COLUMNS = (
    ("prompt", "prompts"),
    ("messages", "conversations", "conversation", "contents", "turns"),
    (
        *("question", "questions", "goal", "goals"),
        *("forbidden_prompt", "behavior", "behaviors", "query", "queries"),
    ),
    ("instruction", "instructions"),
    ("text", "texts"),
    ("input", "inputs"),
    ("user_prompt", "user_input", "user_message", "human", "user", "problem", "task"),
    ("body", "request", "info", "post", "context", "history", "dialogue", "dialog", "chat"),
    ("chosen",),
)
_TAG_COLUMNS = (
    *("subset", "category", "source", "dataset", "task", "type", "domain"),
    *("harm_category", "risk_area", "tag", "tags"),
)
# Columns of one response a row, and of the model that gave it.
RESPONSES = ("response", "completion", "answer", "output", "generation")
MODELS = ("response_model", "model", "generator")
# Longer values are texts about the item, and a table of results has a row for each value.
_MAX_TAG_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class PromptColumn:
    """Which columns hold the prompts of a source, and in which form."""

    column: str
    companions: Companions
    form: Form

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, *self.companions.columns)

    def turns(self, row: Row) -> Conversation:
        """All turns of the prompt's own column."""
        return read_turns(self.form, cell(row, self.column), self.column)

    def up_to_user(self, row: Row) -> Conversation:
        """The conversation up to the user's last turn; a `RowError` without one."""
        return self.companions.joined(row, up_to_user(self.turns(row), self.column))

    def whole(self, row: Row) -> Conversation:
        """The conversation; a `RowError` where its last turn is not the user's."""
        turns = self.turns(row)
        messages = up_to_user(turns, self.column)
        if last_role(turns) != "user":
            raise RowError(
                f"{self.column!r} ends in a turn of the assistant, and a prompt ends in the user's",
                "malformed",
            )
        return self.companions.joined(row, messages)


def prompt_column(
    table: Table, name: str, head: Sequence[Row], used: Sequence[str] = ()
) -> PromptColumn:
    """How the column of that name is read, from its values in the first rows.

    Columns in `used` hold something else, and do not belong to the prompt.
    """
    form = column_form(name, [row.get(name) for row in head])
    return PromptColumn(name, find_companions(table, name, form, used, head), form)


def find_prompt_column(table: Table, exclude: Sequence[str], option: str) -> str | None:
    """The column that is known to hold prompts, or None; `option` is how the user names one.

    Raises:
        SourceError: Several could.
    """
    columns = [name for name in table.columns if name not in exclude]
    names = (only_one(table, columns, group, option) for group in _PROMPT_COLUMNS)
    return next(filter(None, names), None)


def find_id_column(
    table: Table, named: str | None, known: Sequence[str], exclude: Sequence[str]
) -> str | None:
    """The named column, or the first that is known; None where ids come from the content."""
    ids = matching(table.columns, known) if named is None else [named]
    return next((name for name in ids if name and name not in exclude), None)


@dataclass(frozen=True, slots=True)
class TagColumns:
    """The columns whose values become tags, under the columns' names."""

    columns: tuple[str, ...] = ()
    is_named: bool = False

    def read(self, row: Row) -> dict[str, str]:
        """The tags of the row by column; an empty value is not a tag.

        Raises:
            RowError: A named column has something else than a short text, a number or a boolean. In
                columns that were not named such a value is ignored.
        """
        tags: dict[str, str] = {}
        for column in self.columns:
            value = row.get(column)
            if isinstance(value, str) and _is_tag(value):
                tags[column] = read_text(value, "tag").strip()
            elif _is_tag(value):
                tags[column] = str(value).lower() if isinstance(value, bool) else str(value)
            elif value is not None and self.is_named:
                raise RowError(
                    f"{column!r} is not a tag: a text of at most {_MAX_TAG_CHARACTERS} characters "
                    "on one line is needed",
                    "malformed",
                )
        return {column: tag for column, tag in tags.items() if tag}


def find_tag_columns(
    table: Table, named: Sequence[str], used: Sequence[str], head: Sequence[Row]
) -> TagColumns:
    """The named columns, or else those known for tags whose first rows have short texts only.

    Raises:
        SourceError: The source lacks a named column.
    """
    if named:
        for column in named:
            check_named(table, {"tag_column": column})
        return TagColumns(tuple(dict.fromkeys(named)), is_named=True)
    unused = [column for column in matching(table.columns, _TAG_COLUMNS) if column not in used]
    values = {
        column: [row[column] for row in head if row.get(column) is not None] for column in unused
    }
    # Numbers are tags only where the user says so: in `source` or `type` they are often indices.
    return TagColumns(
        tuple(c for c in unused if all(isinstance(v, str) and _is_tag(v) for v in values[c]))
    )


def _is_tag(value: object) -> bool:
    if isinstance(value, str):
        return len(value.strip()) <= _MAX_TAG_CHARACTERS and "\n" not in value.strip()
    return isinstance(value, int | float)


def check_named(table: Table, options: Mapping[str, object]) -> None:
    """Checks that the source has every column that is named in a field such as `prompt_column`.

    Raises:
        SourceError: It lacks one.
    """
    for field, name in options.items():
        if field.endswith("column") and isinstance(name, str) and name not in ("", *table.columns):
            # Every field has the name of its command line option.
            option = f"--{field.replace('_', '-')}"
            hint = did_you_mean(name, table.columns, f"Name one of them with {option}.")
            raise SourceError(
                f"{table.name}: no column {name!r}. Its columns: {listed(table.columns)}. {hint}"
            )


def unknown_columns(table: Table, what: str, advice: str) -> UnknownColumns:
    """The error where no column is known to hold that."""
    return UnknownColumns(
        f"{table.name}: no {what}. Its columns: {listed(table.columns)}. {advice}"
    )


def only_one(
    table: Table, columns: Sequence[str], known: Sequence[str], option: str, noun: str = "prompt"
) -> str | None:
    """The one of these columns that is known, or None.

    Raises:
        SourceError: There are several.
    """
    matches = matching(columns, known)
    if len(matches) > 1:
        raise UnknownColumns(
            f"{table.name}: the {noun} could be in any of {listed(matches)}. "
            f"Name it with {option} {matches[0]}."
        )
    return matches[0] if matches else None


def matching(columns: Sequence[str], known: Sequence[str]) -> list[str]:
    """The columns whose names are known, in the order of the known names."""
    return [name for wanted in known for name in columns if name.casefold() == wanted]


def listed(names: Sequence[str]) -> str:
    """The names in quotes, the first twenty of them."""
    text = ", ".join(repr(name) for name in names[:20])
    return text if len(names) <= 20 else f"{text} and {len(names) - 20} more"


def cell(row: Row, column: str) -> object:
    """The value of a row in that column.

    Raises:
        RowError: The row has no such entry.
    """
    if column not in row:
        raise RowError(f"has no {column!r}, only {', '.join(map(repr, row)):.300}", "missing")
    return row[column]


def both_columns(table: Table, names: tuple[str, str]) -> tuple[str, str] | None:
    """The columns of these names, where the source has both."""
    first, second = (matching(table.columns, [name]) for name in names)
    return (first[0], second[0]) if first and second else None
