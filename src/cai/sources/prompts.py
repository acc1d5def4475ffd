"""Prompts out of files and hub data sets: `check_prompts` first, then `read_prompts`.

Checking reads everything once before anything is paid for, so that a broken row at the end of a
file is found at the start of a run. Reading streams; of rows already read, only the ids are kept.

A prompt's id is that of its row, or else twelve digits of its content, which stay the same when
rows are moved or others come and go. The second and third prompt of one content get `-2`, `-3`.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cai.sources.columns import Selection, select_columns
from cai.sources.conversations import Form, column_form
from cai.sources.files import open_table
from cai.sources.prompt_column import PromptColumn
from cai.sources.rows import (
    BadRow,
    BadRows,
    Ids,
    Sources,
    given_id,
    head_rows,
    nothing_read,
    place_of,
    source_names,
    texts_of,
)
from cai.sources.tables import Row, RowError, Table
from cai.types import Conversation, Prompt, content_hash

_FORM_NOTES: dict[Form, str] = {
    "text": "texts",
    "messages": "conversations up to the last user turn",
    "transcript": "hh-rlhf dialogues, last answer split off",
    "turns": "first turn of each",
}


@dataclass(frozen=True, slots=True)
class PartSummary:
    """What one file or data set holds, and how it is read."""

    name: str
    format: str
    columns: tuple[str, ...]
    selection: Selection
    form: Form
    n_prompts: int

    def describe(self) -> str:
        """Such as: 500 prompts from column 'chosen' (hh-rlhf dialogues, last answer split off)."""
        companion = self.selection.companion
        joined = f", joined with {companion.column!r}" if companion else ""
        count = f"{self.n_prompts} prompt{'' if self.n_prompts == 1 else 's'}"
        return f"{count} from column {self.selection.column!r} ({_FORM_NOTES[self.form]}{joined})"


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """What a full pass found. Of the bad rows, all are counted and the first few kept.

    `content_hash` covers ids and messages in their order; nothing else there can change a run.
    """

    parts: tuple[PartSummary, ...]
    n_prompts: int
    n_bad: int
    bad_rows: tuple[BadRow, ...]
    content_hash: str

    def describe(self) -> str:
        """One line a part, and one for the rows that are passed over."""
        lines = [f"{part.name}: {part.describe()}" for part in self.parts]
        if self.n_bad:
            lines.append(f"{self.n_bad} row{'' if self.n_bad == 1 else 's'} skipped")
        return "\n".join(lines)


def check_prompts(
    sources: Sources,
    *,
    column: str | None = None,
    id_column: str | None = None,
    skip_bad_rows: bool = False,
    limit: int | None = None,
) -> SourceSummary:
    """What the sources hold, after reading them to the end, or to the first `limit` prompts.

    `column` and `id_column` name columns that are else found; `id_column` "" ignores the ids of the
    source. Ids are unique over all sources together.

    Raises:
        SourceError: A source cannot be read, none of its rows is a prompt, or a row is bad and bad
            rows are not skipped.
    """
    parts = _open_parts(sources, column, id_column)
    counts: Counter[int] = Counter()
    bad_rows = BadRows()
    digest = hashlib.blake2b(digest_size=6)
    for place, item in _scan(parts):
        if isinstance(item, BadRow):
            if not skip_bad_rows:
                raise item.error
            bad_rows.add(item)
            continue
        counts[place] += 1
        digest.update(content_hash(item.id, *texts_of(item.messages)).encode())
        if counts.total() == limit:
            break
    if not counts:
        raise nothing_read([part.table.name for part in parts], bad_rows.first, "prompt")
    summaries = tuple(part.summary(counts[place]) for place, part in enumerate(parts))
    return SourceSummary(
        summaries, counts.total(), bad_rows.n, tuple(bad_rows.first), digest.hexdigest()
    )


def read_prompts(
    sources: Sources,
    *,
    column: str | None = None,
    id_column: str | None = None,
    skip_bad_rows: bool = False,
) -> Iterator[Prompt]:
    """The prompts in the order of the sources, streamed. Options as for `check_prompts`.

    Raises:
        SourceError: A source cannot be read, or a row is bad and bad rows are not skipped.
    """
    for _, item in _scan(_open_parts(sources, column, id_column)):
        if isinstance(item, Prompt):
            yield item
        elif not skip_bad_rows:
            raise item.error


@dataclass(frozen=True, slots=True)
class _Part:
    table: Table
    selection: Selection
    form: Form

    def summary(self, n_prompts: int) -> PartSummary:
        table = self.table
        return PartSummary(
            table.name, table.form, table.columns, self.selection, self.form, n_prompts
        )

    def messages(self, row: Row) -> Conversation:
        """The conversation of a row, with its companion's text joined to the user's."""
        selection = self.selection
        return PromptColumn(selection.column, selection.companion, self.form).up_to_user(row)


def _scan(parts: Sequence[_Part]) -> Iterator[tuple[int, Prompt | BadRow]]:
    """Every row of every part, as what it is, with the part's place."""
    ids = Ids([part.table for part in parts])
    for index, part in enumerate(parts):
        for number, row in part.table.rows(part.selection.columns):
            origin = part.table.origin(number)
            try:
                if isinstance(row, RowError):
                    raise row
                prompt = _read_row(part, ids, row, origin, place_of(index, number))
            except RowError as error:
                yield index, BadRow(origin, str(error), error.kind)
            else:
                yield index, prompt


def _read_row(part: _Part, ids: Ids, row: Row, origin: str, place: int) -> Prompt:
    messages = part.messages(row)
    column = part.selection.id_column
    if column is None:
        return Prompt(ids.derive(texts_of(messages), place), messages, origin)
    return Prompt(ids.claim(given_id(row.get(column), column), place), messages, origin)


def _open_parts(sources: Sources, column: str | None, id_column: str | None) -> list[_Part]:
    return [_open_part(name, column, id_column) for name in source_names(sources, "prompts")]


def _open_part(source: str, column: str | None, id_column: str | None) -> _Part:
    table = open_table(source)
    selection = select_columns(table, column, id_column)
    values = [row.get(selection.column) for row in head_rows(table, selection.columns)]
    return _Part(table, selection, column_form(selection.column, values))
