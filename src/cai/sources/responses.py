"""Single responses out of files and hub data sets: `check_responses`, then `read_responses`.

A row has a prompt in one column and the response in another, or a whole dialogue, of which the last
turn is the response. What people say of a response is kept as they say it: a text or a boolean.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cai.sources.answers import opening, read_answer, split_answer
from cai.sources.columns import listed
from cai.sources.conversations import read_text, read_turns
from cai.sources.files import open_table
from cai.sources.prompt_column import cell
from cai.sources.response_columns import (
    FOUND_BY_NAME,
    ResponseOptions,
    ResponseSelection,
    select_response_columns,
)
from cai.sources.rows import (
    BadRow,
    BadRows,
    Ids,
    Sources,
    describe_kinds,
    given_id,
    nothing_read,
    place_of,
    source_names,
    texts_of,
)
from cai.sources.tables import FaultKind, Row, RowError, Table
from cai.types import Conversation, Prompt, content_hash


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
    options: ResponseOptions = FOUND_BY_NAME,
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
    counts: Counter[int] = Counter()
    labels: Counter[str | bool | None] = Counter()
    models: set[str] = set()
    bad = BadRows()
    digest = hashlib.blake2b(digest_size=6)
    for index, item in _scan(parts):
        if isinstance(item, BadRow):
            if not skip_bad_rows:
                raise item.error
            bad.add(item)
            continue
        counts[index] += 1
        labels[item.label] += 1
        models.update(filter(None, [item.model]))
        digest.update(_hash(item).encode())
        if counts.total() == limit:
            break
    if not counts:
        raise nothing_read([part.table.name for part in parts], bad.first, "prompt with a response")
    return ResponseSummary(
        parts=tuple(part.summary(counts[index]) for index, part in enumerate(parts)),
        n_responses=counts.total(),
        labels=dict(labels),
        models=frozenset(models),
        n_bad=bad.n,
        bad_kinds=dict(bad.kinds),
        bad_rows=tuple(bad.first),
        content_hash=digest.hexdigest(),
    )


def read_responses(
    sources: Sources, options: ResponseOptions = FOUND_BY_NAME, *, skip_bad_rows: bool = False
) -> Iterator[Response]:
    """The responses in the order of the sources, streamed. Options as for `check_responses`.

    Raises:
        SourceError: A source cannot be read, or a row is bad and bad rows are not skipped.
    """
    for _, item in _scan(_open_parts(sources, options)):
        if isinstance(item, Response):
            yield item
        elif not skip_bad_rows:
            raise item.error


@dataclass(frozen=True, slots=True)
class _Part:
    table: Table
    selection: ResponseSelection

    def summary(self, n_responses: int) -> ResponsePart:
        table = self.table
        return ResponsePart(table.name, table.form, table.columns, self.selection, n_responses)


def _open_parts(sources: Sources, options: ResponseOptions) -> list[_Part]:
    tables = [open_table(name) for name in source_names(sources, "responses")]
    return [_Part(table, select_response_columns(table, options)) for table in tables]


def _scan(parts: Sequence[_Part]) -> Iterator[tuple[int, Response | BadRow]]:
    """Every row of every part, as what it is, with the part's place."""
    ids = Ids([part.table for part in parts])
    for index, part in enumerate(parts):
        for number, row in part.table.rows(part.selection.columns):
            origin, place = part.table.origin(number), place_of(index, number)
            try:
                if isinstance(row, RowError):
                    raise row
                response = _read_row(part.selection, row, origin)
                id = _id(part.selection.id_column, ids, row, response, place)
            except RowError as error:
                yield index, BadRow(origin, str(error), error.kind)
            else:
                yield index, replace(response, prompt=replace(response.prompt, id=id))


def _id(column: str | None, ids: Ids, row: Row, response: Response, place: int) -> str:
    if column is None:
        return ids.derive([*texts_of(response.prompt.messages), "", response.text], place)
    return ids.claim(given_id(row.get(column), column), place)


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


def _hash(response: Response) -> str:
    label = "" if response.label is None else f"{type(response.label).__name__}:{response.label}"
    tags = [text for name in sorted(response.tags) for text in (name, response.tags[name])]
    prompt = response.prompt
    about = (response.model, label, *tags)
    return content_hash(prompt.id, *texts_of(prompt.messages), "", response.text, *about)
