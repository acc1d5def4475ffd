"""Single responses out of files and hub data sets: `check_responses`, then `read_responses`.

A row has a prompt in one column and the response in another, or a whole dialogue, of which the last
turn is the response. What people say of a response is kept as they say it: a text or a boolean.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cai.data.columns import cell, listed
from cai.data.conversations import opening, read_answer, read_text, read_turns, split_answer
from cai.data.response_columns import (
    ResponseOptions,
    ResponseSelection,
    select_response_columns,
)
from cai.data.rows import BadRow, BadRows, Ids, Sources, describe_kinds, texts_of
from cai.data.scan import Digest, Part, Pass, Reader, open_parts, scan
from cai.data.tables import FaultKind, Row, RowError
from cai.types import Conversation, Prompt


@dataclass(frozen=True, slots=True)
class Response:
    """A response to a prompt, and what is known of it; the prompt's id is the response's own."""

    prompt: Prompt
    text: str
    model: str = ""
    label: str | bool | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class ResponsePart:
    """What one file or data set holds, and how it is read."""

    name: str
    format: str
    columns: tuple[str, ...]
    selection: ResponseSelection
    n_responses: int

    def describe(self) -> str:
        """Such as: 225 responses from 'completion', prompts in 'prompt', labels in 'label'."""
        selection = self.selection
        n = f"{self.n_responses} response{'' if self.n_responses == 1 else 's'}"
        prompts = " and ".join(map(repr, selection.prompt.columns))
        parts = [f"{n} from {selection.response!r}", f"prompts in {prompts}"]
        if selection.response is None:
            parts = [f"{n}, the last turns of the dialogues in {prompts}"]
        parts += [f"labels in {selection.label!r}"] if selection.label else []
        parts += [f"tags in {listed(selection.tags.columns)}"] if selection.tags.columns else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class ResponseSummary:
    """What a full pass found. Of the bad rows, all are counted by kind and the first few kept.

    `labels` counts responses by their label; its key is None for those without one.
    `content_hash` covers all that a response is read as, in the order of the responses.
    """

    parts: tuple[ResponsePart, ...]
    n_responses: int
    labels: Mapping[str | bool | None, int]
    models: frozenset[str]
    n_bad: int
    bad_kinds: Mapping[FaultKind, int]
    bad_rows: tuple[BadRow, ...]
    content_hash: str

    def describe(self) -> str:
        """One line a part, and one for the rows that are passed over."""
        lines = [f"{part.name}: {part.describe()}" for part in self.parts]
        return "\n".join([*lines, *([describe_kinds(self.bad_kinds)] if self.n_bad else [])])


def check_responses(
    sources: Sources,
    options: ResponseOptions = ResponseOptions(),
    *,
    skip_bad_rows: bool = False,
    limit: int | None = None,
) -> ResponseSummary:
    """What the sources hold, after reading them to the end, or to the first `limit` responses.

    Ids are unique over all sources together.

    Raises:
        SourceError: A source cannot be read, none of its rows is a response, or a row is bad and
            bad rows are not skipped.
    """
    parts = _open_parts(sources, options)
    found, digest = Pass(parts, BadRows(skip_bad_rows)), Digest()
    labels: Counter[str | bool | None] = Counter()
    models: set[str] = set()
    for _, response in found.over(_reader(parts), "prompt with a response", limit):
        labels[response.label] += 1
        models.update(filter(None, [response.model]))
        digest.add(*_hashed(response))
    bad = found.bad_rows
    return ResponseSummary(
        parts=found.summaries(ResponsePart),
        n_responses=found.n,
        labels=dict(labels),
        models=frozenset(models),
        n_bad=bad.n,
        bad_kinds=dict(bad.kinds),
        bad_rows=tuple(bad.first),
        content_hash=digest.hex,
    )


def read_responses(
    sources: Sources, options: ResponseOptions = ResponseOptions(), *, skip_bad_rows: bool = False
) -> Iterator[Response]:
    """The responses in the order of the sources, streamed. Options as for `check_responses`.

    Raises:
        SourceError: A source cannot be read, or a row is bad and bad rows are not skipped.
    """
    parts = _open_parts(sources, options)
    for _, response in scan(parts, _reader(parts), BadRows(skip_bad_rows)):
        yield response


def _open_parts(sources: Sources, options: ResponseOptions) -> list[Part[ResponseSelection]]:
    return open_parts(sources, "responses", lambda table: select_response_columns(table, options))


def _reader(parts: Sequence[Part[ResponseSelection]]) -> Reader[ResponseSelection, Response]:
    ids = Ids([part.table for part in parts])

    def read(selection: ResponseSelection, row: Row, origin: str, place: int) -> list[Response]:
        response = _read_row(selection, row, origin)
        [id] = ids.name(row, selection.id_column, [_texts(response)], place)
        return [replace(response, prompt=replace(response.prompt, id=id))]

    return read


def _read_row(selection: ResponseSelection, row: Row, origin: str) -> Response:
    """The response, as yet without an id."""
    messages, text = _contents(selection, row)
    model = row.get(selection.model) if selection.model else None
    return Response(
        Prompt("", messages, origin),
        text,
        "" if model is None else read_text(model, selection.model or ""),
        _label(row, selection.label) if selection.label else None,
        selection.tags.read(row),
    )


def _contents(selection: ResponseSelection, row: Row) -> tuple[Conversation, str]:
    prompt, response = selection.prompt, selection.response
    if response is None:
        turns = read_turns(prompt.form, cell(row, prompt.column), prompt.column)
        return split_answer(prompt.form, turns, prompt.column)
    value = cell(row, response)
    if not selection.has_lists:
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


def _texts(response: Response) -> list[str]:
    """What an id is made of."""
    return [*texts_of(response.prompt.messages), "", response.text]


def _hashed(response: Response) -> Iterator[str]:
    label = response.label
    yield from (response.prompt.id, *_texts(response), response.model)
    yield "" if label is None else f"{type(label).__name__}:{label}"
    for name in sorted(response.tags):
        yield from (name, response.tags[name])
