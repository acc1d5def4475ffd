"""Which columns hold a prompt and its response: named by the user, or found by the names in use."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cai.data.columns import (
    PromptColumn,
    TagColumns,
    check_named,
    find_companion,
    find_id_column,
    find_prompt_column,
    find_tag_columns,
    listed,
    matching,
    only_one,
)
from cai.data.conversations import column_form, is_message_list
from cai.data.rows import head_rows
from cai.data.tables import Row, Table
from cai.errors import UnknownColumns

_RESPONSES = ("response", "completion", "answer", "output", "generation")
_LABELS = ("label", "final_label")
_MODELS = ("response_model", "model", "generator")
# Ids of the response: one prompt can have several, so that its id is none.
_IDS = ("id", "response_id", "uid", "uuid", "example_id")


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """What the user says of a source of responses; all else is found.

    `id_column` "" makes the ids from the content.
    """

    prompt_column: str | None = None
    response_column: str | None = None
    label_column: str | None = None
    id_column: str | None = None
    tag_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResponseSelection:
    """How a source is read; without `response` the prompt's column has dialogues, answer and all.

    `has_lists` where responses are message lists.
    """

    prompt: PromptColumn
    response: str | None
    has_lists: bool
    label: str | None
    model: str | None
    id_column: str | None
    tags: TagColumns

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, each once."""
        single = filter(None, (self.response, self.label, self.model, self.id_column))
        return tuple(dict.fromkeys([*self.prompt.columns, *single, *self.tags.columns]))


def select_response_columns(table: Table, options: ResponseOptions) -> ResponseSelection:
    """The columns that are named, or else those found.

    Raises:
        SourceError: A named column is not there, or none or several could hold what is needed.
    """
    check_named(
        table,
        {
            "--prompt-column": options.prompt_column,
            "--response-column": options.response_column,
            "--label-column": options.label_column,
            "--id-column": options.id_column,
        },
    )
    head = head_rows(table, table.columns)
    response = options.response_column or only_one(
        table, table.columns, _RESPONSES, "--response-column", "response"
    )
    prompt = _find_prompt(table, options.prompt_column, response, head)
    label = options.label_column or only_one(
        table, table.columns, _LABELS, "--label-column", "label"
    )
    used = [response or "", prompt.column]
    selection = ResponseSelection(
        prompt,
        response,
        response is not None and any(is_message_list(row.get(response)) for row in head),
        label,
        next(iter(matching(table.columns, _MODELS)), None),
        find_id_column(table, options.id_column, _IDS, used),
        TagColumns(),
    )
    tags = find_tag_columns(table, options.tag_columns, selection.columns, head)
    return replace(selection, tags=tags)


def has_response(table: Table) -> bool:
    """Whether one of its columns is known to hold responses."""
    return bool(matching(table.columns, _RESPONSES))


def has_label(table: Table) -> bool:
    """Whether one of its columns is known to hold what people say of a response."""
    return bool(matching(table.columns, _LABELS))


def _find_prompt(
    table: Table, named: str | None, response: str | None, head: Sequence[Row]
) -> PromptColumn:
    column = named or find_prompt_column(table, [response or ""], "--prompt-column")
    if column is None:
        raise UnknownColumns(
            f"{table.name}: no column is known to hold the prompts. "
            f"Columns found: {listed(table.columns)}. Say which with --prompt-column NAME."
        )
    form = column_form(column, [row.get(column) for row in head])
    if response is None and form not in ("messages", "transcript"):
        raise UnknownColumns(
            f"{table.name}: no column is known to hold the responses. "
            f"Columns found: {listed(table.columns)}. Say which with --response-column NAME."
        )
    return PromptColumn(column, find_companion(table.columns, column), form)
