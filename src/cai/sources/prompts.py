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
from itertools import islice
from pathlib import Path

from cai.errors import SourceError
from cai.sources.columns import Selection, select_columns
from cai.sources.conversations import Form, column_form, read_conversation, read_text
from cai.sources.files import open_table
from cai.sources.tables import HEAD_ROWS, Row, RowError, Table
from cai.types import Conversation, Message, Prompt, content_hash

BAD_ROWS_KEPT = 20

Sources = str | Path | Sequence[str | Path]

_FORM_NOTES: dict[Form, str] = {
    "text": "texts",
    "messages": "conversations up to the last user turn",
    "transcript": "hh-rlhf dialogues, last answer split off",
    "turns": "first turn of each",
}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no prompt: where it is and what is wrong with it."""

    origin: str
    reason: str


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
    n_bad = 0
    bad_rows: list[BadRow] = []
    digest = hashlib.blake2b(digest_size=6)
    for place, item in _scan(parts):
        if isinstance(item, BadRow):
            if not skip_bad_rows:
                raise _stopped(item)
            n_bad += 1
            bad_rows += [item] if n_bad <= BAD_ROWS_KEPT else []
            continue
        counts[place] += 1
        digest.update(content_hash(item.id, *_texts(item.messages)).encode())
        if counts.total() == limit:
            break
    if not counts:
        raise SourceError(_nothing(parts, bad_rows))
    summaries = tuple(part.summary(counts[place]) for place, part in enumerate(parts))
    return SourceSummary(summaries, counts.total(), n_bad, tuple(bad_rows), digest.hexdigest())


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
            raise _stopped(item)


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
        column, companion = self.selection.column, self.selection.companion
        if column not in row:
            raise RowError(f"has no {column!r}, only {', '.join(map(repr, row)):.300}")
        messages = read_conversation(self.form, row[column], column)
        other = row.get(companion.column) if companion else None
        if companion is None or other is None:
            return messages
        text = read_text(other, companion.column)
        if not text.strip():
            return messages
        return (*messages[:-1], Message("user", companion.join(messages[-1].content, text)))


class _Ids:
    """The ids given so far, each with its place: source and row number in one integer.

    They are kept as hashes, some hundred bytes a prompt; the texts would take twice that.
    """

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._repeats: Counter[str] = Counter()

    def claim(self, id: str, place: int) -> int | None:
        """The place of the prompt that has this id already, or None: then it is this one's."""
        first = self._places.setdefault(hash(id), place)
        return None if first == place else first

    def derive(self, messages: Conversation, place: int) -> str:
        """An id made from the content."""
        base = id = content_hash(*_texts(messages))
        while self.claim(id, place) is not None:
            self._repeats[base] += 1
            id = f"{base}-{self._repeats[base] + 1}"
        return id


_ROW_BITS = 48


def _scan(parts: Sequence[_Part]) -> Iterator[tuple[int, Prompt | BadRow]]:
    """Every row of every part, as what it is, with the part's place."""
    ids = _Ids()
    for index, part in enumerate(parts):
        for number, row in part.table.rows(part.selection.columns):
            origin = part.table.origin(number)
            try:
                if isinstance(row, RowError):
                    raise row
                messages = part.messages(row)
                id = _row_id(parts, ids, row, messages, (index << _ROW_BITS) | number)
            except RowError as error:
                yield index, BadRow(origin, str(error))
            else:
                yield index, Prompt(id, messages, origin)


def _row_id(parts: Sequence[_Part], ids: _Ids, row: Row, messages: Conversation, place: int) -> str:
    column = parts[place >> _ROW_BITS].selection.id_column
    if column is None:
        return ids.derive(messages, place)
    id = _given_id(row.get(column), column)
    first = ids.claim(id, place)
    if first is not None:
        origin = parts[first >> _ROW_BITS].table.origin(first & ((1 << _ROW_BITS) - 1))
        raise RowError(
            f"the id {id!r:.100} is already that of {origin}; "
            "ids must be unique (--id-column '' makes them from the content)"
        )
    return id


def _given_id(value: object, label: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    id = read_text(value, label)
    if not id.strip():
        raise RowError(f"{label!r} is blank, and each row needs an id of its own")
    return id


def _open_parts(sources: Sources, column: str | None, id_column: str | None) -> list[_Part]:
    names = [sources] if isinstance(sources, str | Path) else sources
    if not names:
        raise SourceError("No source of prompts is named. Give a file, or hub:owner/name.")
    return [_open_part(str(name), column, id_column) for name in names]


def _open_part(source: str, column: str | None, id_column: str | None) -> _Part:
    table = open_table(source)
    selection = select_columns(table, column, id_column)
    head = islice(table.rows(selection.columns), HEAD_ROWS)
    values = [row.get(selection.column) for _, row in head if not isinstance(row, RowError)]
    return _Part(table, selection, column_form(selection.column, values))


def _texts(messages: Conversation) -> list[str]:
    return [text for message in messages for text in (message.role, message.content)]


def _stopped(row: BadRow) -> SourceError:
    return SourceError(f"{row.origin}: {row.reason}. Mend the row, or pass --skip-bad-rows.")


def _nothing(parts: Sequence[_Part], bad_rows: Sequence[BadRow]) -> str:
    names = ", ".join(part.table.name for part in parts)
    if not bad_rows:
        return f"{names}: holds no rows. Give a source with at least one prompt."
    first = bad_rows[0]
    return (
        f"{names}: no row is a prompt; the first: {first.origin}: {first.reason}. Mend the source."
    )
