"""Single responses out of files and hub data sets, with human labels where there are any.

Example:
    checked = response_files(("responses.jsonl",)).check()
    for id, response in checked.items():
        print(response.prompt.request, response.text, response.label)

A row has a prompt in one column and the response in another, or a whole dialogue whose last turn is
the response. A label stays as it is in the file: a text or a boolean.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial

from cai.data.candidates import CandidateColumn, find_candidates
from cai.data.chat_markup import without_closing
from cai.data.columns import (
    MODELS,
    RESPONSES,
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
from cai.data.companions import unused_texts
from cai.data.conversations import (
    first_role,
    is_dialogue,
    is_message_list,
    read_answer,
    read_text,
    read_turns,
    split_answer,
    texts_of,
)
from cai.data.roles import RoleNames
from cai.data.source import FileSource, ItemKind, RowReader
from cai.data.tables import Row, RowError, Table
from cai.types import Conversation, Prompt

_LABELS = ("label", "final_label")
# Ids of the response; that of the prompt does not serve, as one prompt can have several.
_IDS = ("id", "response_id", "uid", "uuid", "example_id")


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """What the user specifies of a source of responses; all else is detected."""

    prompt_column: str | None = None
    response_column: str | None = None
    label_column: str | None = None
    id_column: str | None = None  # "": ids from the content
    tag_columns: tuple[str, ...] = ()
    roles: RoleNames = ()  # names of roles that are not known


@dataclass(frozen=True, slots=True)
class LabelledResponse:
    """A response to a prompt, and what is known of it; the prompt has the id of the response."""

    prompt: Prompt
    text: str
    model: str = ""
    label: str | bool | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


_RESPONSE_KIND: ItemKind[LabelledResponse] = ItemKind(
    noun="response",
    with_id=lambda response, id: replace(response, prompt=replace(response.prompt, id=id)),
    with_metadata=lambda response, metadata: replace(
        response, prompt=replace(response.prompt, metadata=metadata)
    ),
    id_of=lambda response: response.prompt.id,
    id_texts=lambda response: [*texts_of(response.prompt.messages), "", response.text],
    # The type goes into the hash too: the text "True" and the boolean are different labels.
    other_texts=lambda response: (
        response.model,
        response.prompt.metadata,
        "" if response.label is None else f"{type(response.label).__name__}:{response.label}",
        *(text for name_and_value in sorted(response.tags.items()) for text in name_and_value),
    ),
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
    select = partial(select_responses, options=options)
    return FileSource(names, "responses", select, skip_bad_rows, options.roles)


def select_responses(table: Table, options: ResponseOptions) -> RowReader[LabelledResponse]:
    """The named columns, or else those with known names.

    Raises:
        SourceError: The source lacks a named column, or none or several could hold what is needed.
    """
    check_named(table, asdict(options))
    head = table.head(table.columns)
    candidates = None if options.response_column else find_candidates(table, head)
    if candidates is not None:
        response = candidates.column
    else:
        response = options.response_column or only_one(
            table, table.columns, RESPONSES, "--response-column", "response"
        )
    # The response goes first: of 'input' and 'output' only the other one can hold the prompt.
    name = options.prompt_column or find_prompt_column(table, [response or ""], "--prompt-column")
    if name is None:
        raise unknown_columns(
            table, "column is known to hold the prompts", "Name it with --prompt-column NAME."
        )
    prompt = prompt_column(table, name, head, used=[response] if response else ())
    if response is None and not is_dialogue(prompt.form):
        raise unknown_columns(
            table, "column is known to hold the responses", "Name it with --response-column NAME."
        )
    label = options.label_column or only_one(
        table, table.columns, _LABELS, "--label-column", "label"
    )
    columns = _ResponseColumns(
        prompt=prompt,
        response=response,
        candidates=candidates,
        has_lists=response is not None and any(is_message_list(row.get(response)) for row in head),
        label=label,
        model=next(iter(matching(table.columns, MODELS)), None),
        id_column=find_id_column(table, options.id_column, _IDS, [response or "", name]),
        tags=TagColumns(),
    )
    tags = find_tag_columns(table, options.tag_columns, columns.columns, head)
    columns = replace(columns, tags=tags)
    unused = unused_texts(table, columns.columns, head, known=_IDS)
    columns = replace(columns, unused=tuple(unused))
    return RowReader(
        kind=_RESPONSE_KIND,
        table=table,
        columns=columns.columns,
        id_column=columns.id_column,
        parse=columns.parse,
        column="responses",
        description=columns.description,
    )


def has_response(table: Table) -> bool:
    """Whether one of its columns is known to hold responses."""
    return bool(matching(table.columns, RESPONSES))


def has_label(table: Table) -> bool:
    """Whether one of its columns is known to hold labels of responses."""
    return bool(matching(table.columns, _LABELS))


@dataclass(frozen=True, slots=True)
class _ResponseColumns:
    """Which columns of a source are read, and how."""

    prompt: PromptColumn
    response: str | None  # None: the prompt's column has dialogues that end with the response
    candidates: CandidateColumn | None  # where a row has several responses
    has_lists: bool  # whether responses are message lists
    label: str | None
    model: str | None
    id_column: str | None
    tags: TagColumns
    unused: tuple[str, ...] = ()  # texts that nothing reads

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, each once."""
        several = self.candidates.columns if self.candidates else ()
        single = filter(None, (self.response, self.label, self.model, self.id_column))
        return tuple(dict.fromkeys([*self.prompt.columns, *several, *single, *self.tags.columns]))

    @property
    def description(self) -> str:
        """Such as: from 'completion', prompts in 'prompt', labels in 'label'."""
        prompts = " and ".join(map(repr, self.prompt.columns))
        parts = [f" from {self.response!r}", f"prompts in {prompts}"]
        if self.response is None:
            parts = [f", the last turns of the dialogues in {prompts}"]
        parts += [f"labels in {self.label!r}"] if self.label else []
        parts += [f"tags in {listed(self.tags.columns)}"] if self.tags.columns else []
        parts += [f"not used: {listed(self.unused)}"] if self.unused else []
        return ", ".join(parts)

    def parse(self, row: Row, origin: str) -> list[LabelledResponse]:
        """The responses of a row, as yet without an id; a `RowError` without one."""
        model = row.get(self.model) if self.model else None
        label = row.get(self.label) if self.label else None
        # Numbers such as 0 and 1 are names of classes here, of which the source knows the meaning.
        if isinstance(label, int) and not isinstance(label, bool):
            label = str(label)
        elif isinstance(label, str):
            label = read_text(label, self.label or "").strip() or None
        elif label is not None and not isinstance(label, bool):
            raise RowError(
                f"{self.label!r} is {label!r:.60}, and a text, an integer or a boolean is needed",
                "wrong label",
            )
        name = "" if model is None else read_text(model, self.model or "")
        tags = self.tags.read(row)
        if self.candidates is not None:
            prompt = Prompt("", self.prompt.up_to_user(row), origin)
            return [
                LabelledResponse(prompt, each.text, each.model or name, label, tags)
                for each in self.candidates.read(row)
            ]
        messages, text = self._contents(row)
        return [LabelledResponse(Prompt("", messages, origin), text, name, label, tags)]

    def _contents(self, row: Row) -> tuple[Conversation, str]:
        prompt, response = self.prompt, self.response
        if response is None:
            messages, text = split_answer(prompt.turns(row), prompt.column)
            return prompt.companions.joined(row, messages), text
        value = cell(row, response)
        if not self.has_lists:
            answer = without_closing(prompt.form, read_answer(value, response))
            return prompt.whole(row), answer
        # A list may have the response alone, or the whole conversation with it.
        turns = read_turns("messages", value, response)
        if first_role(turns) == "assistant":
            return split_answer((*prompt.whole(row), *turns), response)
        messages, text = split_answer(turns, response)
        return prompt.companions.joined(row, messages), text
