"""Single responses out of files and hub data sets, with the labels of people where there are any.

Example:
    checked = response_files(("said.jsonl",)).check()
    for id, response in checked.items():
        print(response.prompt.request, response.text, response.label)

A row has a prompt in one column and the response in another, or a whole dialogue, of which the last
turn is the response. What people say of a response is kept as they say it: a text or a boolean.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from cai.data.columns import (
    PromptColumn,
    TagColumns,
    cell,
    check_named,
    find_id_column,
    find_prompt_column,
    find_tag_columns,
    listed,
    matching,
    only_one,
    prompt_column,
    unknown_columns,
)
from cai.data.conversations import (
    is_message_list,
    opening,
    read_answer,
    read_text,
    read_turns,
    split_answer,
    texts_of,
)
from cai.data.source import FileSource, ItemKind, RowReader
from cai.data.tables import Row, RowError, Table
from cai.types import Conversation, Prompt

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
class LabelledResponse:
    """A response to a prompt, and what is known of it; the prompt's id is the response's own."""

    prompt: Prompt
    text: str
    model: str = ""
    label: str | bool | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


def _other_texts(response: LabelledResponse) -> Iterator[str]:
    """What a run on the response depends on beside prompt and text."""
    label = response.label
    yield from (response.model, "" if label is None else f"{type(label).__name__}:{label}")
    for name in sorted(response.tags):
        yield from (name, response.tags[name])


RESPONSES: ItemKind[LabelledResponse] = ItemKind(
    noun="response",
    with_id=lambda response, id: replace(response, prompt=replace(response.prompt, id=id)),
    id_of=lambda response: response.prompt.id,
    id_texts=lambda response: [*texts_of(response.prompt.messages), "", response.text],
    other_texts=_other_texts,
    label=lambda response: response.label,
    models=lambda response: (response.model,),
)


def response_files(
    names: tuple[str, ...],
    options: ResponseOptions = ResponseOptions(),
    *,
    skip_bad_rows: bool = False,
) -> FileSource[LabelledResponse]:
    """Files or hub data sets of responses, read as the options say."""
    return FileSource(names, "responses", partial(select_responses, options=options), skip_bad_rows)


def select_responses(table: Table, options: ResponseOptions) -> RowReader[LabelledResponse]:
    """The columns that are named, or else those found.

    Raises:
        SourceError: A named column is not there, or none or several could hold what is needed.
    """
    selection = _select_columns(table, options)
    return RowReader(
        kind=RESPONSES,
        columns=selection.columns,
        id_column=selection.id_column,
        parse=partial(_responses_of_row, selection),
        column="responses",
        description=selection.description,
    )


def has_response(table: Table) -> bool:
    """Whether one of its columns is known to hold responses."""
    return bool(matching(table.columns, _RESPONSES))


def has_label(table: Table) -> bool:
    """Whether one of its columns is known to hold what people say of a response."""
    return bool(matching(table.columns, _LABELS))


@dataclass(frozen=True, slots=True)
class _ResponseColumns:
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

    @property
    def description(self) -> str:
        """Such as: from 'completion', prompts in 'prompt', labels in 'label'."""
        prompts = " and ".join(map(repr, self.prompt.columns))
        parts = [f" from {self.response!r}", f"prompts in {prompts}"]
        if self.response is None:
            parts = [f", the last turns of the dialogues in {prompts}"]
        parts += [f"labels in {self.label!r}"] if self.label else []
        parts += [f"tags in {listed(self.tags.columns)}"] if self.tags.columns else []
        return ", ".join(parts)


def _select_columns(table: Table, options: ResponseOptions) -> _ResponseColumns:
    check_named(
        table,
        {
            "--prompt-column": options.prompt_column,
            "--response-column": options.response_column,
            "--label-column": options.label_column,
            "--id-column": options.id_column,
        },
    )
    head = table.head(table.columns)
    response = options.response_column or only_one(
        table, table.columns, _RESPONSES, "--response-column", "response"
    )
    # The response goes first: of 'input' and 'output' only the other one can hold the prompt.
    name = options.prompt_column or find_prompt_column(table, [response or ""], "--prompt-column")
    if name is None:
        raise unknown_columns(
            table,
            "column is known to hold the prompts",
            "Say which with --prompt-column NAME.",
        )
    prompt = prompt_column(table, name, head)
    if response is None and prompt.form not in ("messages", "transcript"):
        raise unknown_columns(
            table,
            "column is known to hold the responses",
            "Say which with --response-column NAME.",
        )
    label = options.label_column or only_one(
        table, table.columns, _LABELS, "--label-column", "label"
    )
    columns = _ResponseColumns(
        prompt=prompt,
        response=response,
        has_lists=response is not None and any(is_message_list(row.get(response)) for row in head),
        label=label,
        model=next(iter(matching(table.columns, _MODELS)), None),
        id_column=find_id_column(table, options.id_column, _IDS, [response or "", name]),
        tags=TagColumns(),
    )
    tags = find_tag_columns(table, options.tag_columns, columns.columns, head)
    return replace(columns, tags=tags)


def _responses_of_row(columns: _ResponseColumns, row: Row, origin: str) -> list[LabelledResponse]:
    """The one response of a row, as yet without an id.

    Raises:
        RowError: Something is missing or wrong.
    """
    messages, text = _contents(columns, row)
    model = row.get(columns.model) if columns.model else None
    return [
        LabelledResponse(
            Prompt("", messages, origin),
            text,
            "" if model is None else read_text(model, columns.model or ""),
            _label(row, columns.label) if columns.label else None,
            columns.tags.read(row),
        )
    ]


def _contents(columns: _ResponseColumns, row: Row) -> tuple[Conversation, str]:
    prompt, response = columns.prompt, columns.response
    if response is None:
        turns = read_turns(prompt.form, cell(row, prompt.column), prompt.column)
        return split_answer(prompt.form, turns, prompt.column)
    value = cell(row, response)
    if not columns.has_lists:
        return prompt.whole(row), read_answer(value, response)
    turns = read_turns("messages", value, response)
    if opening(turns) == "assistant":
        turns = (*prompt.whole(row), *turns)
    return split_answer("messages", turns, response)


def _label(row: Row, column: str) -> str | bool | None:
    value = row.get(column)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise RowError(
            f"{column!r} is {value!r:.60}, and a text, an integer or a boolean is needed",
            "wrong label",
        )
    return read_text(value, column).strip() or None
