"""Prompts out of files and hub data sets: `check_prompts` first, then `read_prompts`.

Checking reads everything once before anything is paid for, so that a broken row at the end of a
file is found at the start of a run. Reading streams; of rows already read, only the ids are kept.

A prompt's id is that of its row, or else twelve digits of its content, which stay the same when
rows are moved or others come and go. The second and third prompt of one content get `-2`, `-3`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cai.data.columns import PromptColumn, Selection, select_columns
from cai.data.conversations import Form
from cai.data.rows import BadRow, BadRows, Ids, Sources, texts_of
from cai.data.scan import Digest, Part, Pass, Reader, open_parts, scan
from cai.data.tables import Row
from cai.types import Prompt

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
    n_prompts: int

    def describe(self) -> str:
        """Such as: 500 prompts from column 'chosen' (hh-rlhf dialogues, last answer split off)."""
        selection = self.selection
        companion = selection.companion
        joined = f", joined with {companion.column!r}" if companion else ""
        count = f"{self.n_prompts} prompt{'' if self.n_prompts == 1 else 's'}"
        return f"{count} from column {selection.column!r} ({_FORM_NOTES[selection.form]}{joined})"


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
    found, digest = Pass(parts, BadRows(skip_bad_rows)), Digest()
    for _, prompt in found.over(_reader(parts), "prompt", limit):
        digest.add(prompt.id, *texts_of(prompt.messages))
    bad = found.bad_rows
    return SourceSummary(found.summaries(PartSummary), found.n, bad.n, tuple(bad.first), digest.hex)


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
    parts = _open_parts(sources, column, id_column)
    for _, prompt in scan(parts, _reader(parts), BadRows(skip_bad_rows)):
        yield prompt


def _open_parts(
    sources: Sources, column: str | None, id_column: str | None
) -> list[Part[Selection]]:
    return open_parts(sources, "prompts", lambda table: select_columns(table, column, id_column))


def _reader(parts: Sequence[Part[Selection]]) -> Reader[Selection, Prompt]:
    ids = Ids([part.table for part in parts])

    def read(selection: Selection, row: Row, origin: str, place: int) -> list[Prompt]:
        column = PromptColumn(selection.column, selection.companion, selection.form)
        messages = column.up_to_user(row)
        [id] = ids.name(row, selection.id_column, [texts_of(messages)], place)
        return [Prompt(id, messages, origin)]

    return read
