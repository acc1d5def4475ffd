"""One pass over the rows of several files or data sets, whatever a row is read as.

Prompts, pairs and responses differ in their columns, in how a row becomes its items, and in what is
counted of these. The rest is the same for all three and stands here.

From what a user names to a table: the format is told by the file's name.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeAlias, TypeVar

from cai.data.json_files import open_json
from cai.data.parquet import HUB_PREFIX, open_hub, open_parquet
from cai.data.rows import BadRow, BadRows, Sources, nothing_read, place_of, source_names
from cai.data.tables import Row, RowError, Table
from cai.data.text_files import open_csv, open_jsonl, open_text
from cai.errors import SourceError
from cai.types import content_hash

_OPENERS: dict[str, Callable[[Path], Table]] = {
    ".jsonl": open_jsonl,
    ".ndjson": open_jsonl,
    ".json": open_json,
    ".csv": open_csv,
    ".tsv": partial(open_csv, delimiter="\t"),
    ".txt": open_text,
    ".parquet": open_parquet,
}


def open_table(source: str) -> Table:
    """The rows of a file, or of a hub data set where it is written `hub:owner/name`.

    Raises:
        SourceError: There is no such file, or it cannot be read as what its name says.
    """
    if source.startswith(HUB_PREFIX):
        return open_hub(source)
    path = Path(source)
    _check_file(path)
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    form = plain.suffix.lower()
    if form not in _OPENERS:
        raise SourceError(
            f"{path}: {form or 'no ending'!r} does not tell a format. Name the file by one of "
            f"{', '.join(_OPENERS)}, each but Parquet also with .gz behind it."
        )
    if form == ".parquet" and plain != path:
        raise SourceError(f"{path}: Parquet is not read through gzip. Unpack it: gunzip {path}")
    return _OPENERS[form](path)


def _check_file(path: Path) -> None:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise SourceError(
            f"{str(path)!a}: the name is not UTF-8, and it becomes part of every record. Rename it."
        ) from None
    try:
        if path.is_dir():
            raise SourceError(
                f"{path}: is a folder. Name the files in it, for example {path}/*.jsonl"
            )
        if not path.exists():
            raise SourceError(f"{path}: no such file. Check the path.")
        if not path.is_file():
            raise SourceError(
                f"{path}: is not a regular file, and prompts are read twice: once to check them, "
                "once to run them. Save it as a file first."
            )
        if path.stat().st_size == 0:
            raise SourceError(f"{path}: is empty. Give a file with at least one prompt.")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}. Check the path.") from error


class Selected(Protocol):
    """How a source is read."""

    @property
    def columns(self) -> Sequence[str]:
        """Every column that is read."""
        ...


S = TypeVar("S", bound=Selected)
T = TypeVar("T")
P = TypeVar("P")

Reader: TypeAlias = Callable[[S, Row, str, int], Sequence[T]]
"""The items of a row, by selection, row, origin and place; raises RowError where it has none."""


@dataclass(frozen=True, slots=True)
class Part(Generic[S]):
    """One file or data set, opened, and how it is read."""

    table: Table
    selection: S


def open_parts(sources: Sources, noun: str, select: Callable[[Table], S]) -> list[Part[S]]:
    """The sources, of which `select` says how each is read.

    Raises:
        SourceError: There is none, or one cannot be read.
    """
    tables = [open_table(name) for name in source_names(sources, noun)]
    return [Part(table, select(table)) for table in tables]


def scan(
    parts: Sequence[Part[S]], read: Reader[S, T], bad_rows: BadRows
) -> Iterator[tuple[int, T]]:
    """The items of every row of every part, each with the number of its part; streamed.

    Raises:
        SourceError: A source cannot be read, or a row is bad and bad rows are not skipped.
    """
    for index, part in enumerate(parts):
        for number, row in part.table.rows(part.selection.columns):
            origin = part.table.origin(number)
            try:
                if isinstance(row, RowError):
                    raise row
                items = read(part.selection, row, origin, place_of(index, number))
            except RowError as error:
                bad_rows.add(BadRow(origin, str(error), error.kind))
            else:
                yield from ((index, item) for item in items)


class Digest:
    """A hash over contents, each a row of texts, in their order."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=6)

    def add(self, *texts: str) -> None:
        self._hash.update(content_hash(*texts).encode())

    @property
    def hex(self) -> str:
        """Twelve hex digits, as `content_hash`."""
        return self._hash.hexdigest()


@dataclass(slots=True)
class Pass(Generic[S]):
    """What is counted of the parts in a full pass; `counts` has the items by number of part."""

    parts: Sequence[Part[S]]
    bad_rows: BadRows
    counts: Counter[int] = field(default_factory=Counter[int])

    def over(self, read: Reader[S, T], noun: str, limit: int | None) -> Iterator[tuple[int, T]]:
        """The items as from `scan`, counted, to the end or to the first `limit` of them.

        Raises:
            SourceError: As `scan`, or no row is what the noun says.
        """
        for index, item in scan(self.parts, read, self.bad_rows):
            self.counts[index] += 1
            yield index, item
            if self.n == limit:
                return
        if not self.counts:
            names = [part.table.name for part in self.parts]
            raise nothing_read(names, self.bad_rows.first, noun)

    @property
    def n(self) -> int:
        """The items of all parts."""
        return self.counts.total()

    def summaries(self, make: Callable[[str, str, tuple[str, ...], S, int], P]) -> tuple[P, ...]:
        """What each part is made into: by name, format, columns, selection and number of items."""
        return tuple(
            make(
                part.table.name,
                part.table.form,
                part.table.columns,
                part.selection,
                self.counts[index],
            )
            for index, part in enumerate(self.parts)
        )
