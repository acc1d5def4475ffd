"""Rows written to a file, or as a data set in memory."""

import contextlib
import gzip
import io
import json
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cai.engine.storage.run_folder import RunFolder
from cai.errors import ExportError
from cai.export.exporting import Export
from cai.export.formats import Columns, Format, Row
from cai.export.mixed import mixed_rows
from cai.export.mixes import NO_MIX, Mixing
from cai.export.selecting import Selection
from cai.export.summary import ExportSummary

if TYPE_CHECKING:
    from datasets import Dataset

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")

_ROWS_A_GROUP = 1024


def export_file(
    runs: Sequence[RunFolder],
    format: Format,
    path: Path,
    selection: Selection = Selection(),
    columns: Columns = "trl",
    mixing: Mixing = NO_MIX,
) -> ExportSummary:
    """Writes one file, by its suffix: .jsonl, .jsonl.gz or .parquet. It appears when it is whole.

    Raises:
        JournalError: A folder is of another version of cai.
        ExportError: The suffix is not known, a run or the selection or the columns or the mix do
            not go with the format, nothing is left to write, or the file cannot be written.
        UsageError: The mix cannot be followed.
        SourceError: A file that is mixed in cannot be read.
    """
    if not path.name.endswith(SUFFIXES):
        raise ExportError(
            f"{path}: the name ends in none of {', '.join(SUFFIXES)}. Use one of them."
        )
    export, summary = Export.of(runs, format, selection, columns), ExportSummary(format)
    rows = mixed_rows(export, mixing, summary)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name.endswith(".parquet"):
            from cai.export.schemas import write_parquet  # heavy: pyarrow

            write_parquet(_groups(rows), export, part)
        else:
            _write_jsonl(rows, part)
        _check_rows(export, summary)
        os.replace(part, path)
    except OSError as error:
        raise ExportError(
            f"{path}: cannot be written ({error.strerror or error}). Use another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return summary


def export_dataset(
    runs: Sequence[RunFolder],
    format: Format,
    selection: Selection = Selection(),
    columns: Columns = "trl",
    mixing: Mixing = NO_MIX,
) -> "Dataset":
    """The rows in memory. Raises as `export_file`."""
    from cai.export.schemas import as_dataset  # heavy: pyarrow, datasets

    export, summary = Export.of(runs, format, selection, columns), ExportSummary(format)
    rows = list(mixed_rows(export, mixing, summary))
    _check_rows(export, summary)
    return as_dataset(rows, export)


def _check_rows(export: Export, summary: ExportSummary) -> None:
    if not summary.n_rows:
        raise ExportError(
            f"{export.names}: no row is left to write. {summary.describe()}. Leave out less, or "
            "export another run."
        )


def _write_jsonl(rows: Iterable[Row], path: Path) -> None:
    with _text_file(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def _text_file(path: Path) -> Generator[IO[str]]:
    """UTF-8; half a surrogate pair, which models can write, becomes its JSON escape."""
    with path.open("wb") as raw:
        binary: io.BufferedIOBase = raw
        if path.name.endswith(".gz.part"):
            # no name and no time inside: equal rows give equal bytes
            binary = gzip.GzipFile("", "wb", fileobj=raw, mtime=0)
        with io.TextIOWrapper(binary, "utf-8", errors="backslashreplace", newline="\n") as file:
            yield file


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) == _ROWS_A_GROUP:
            yield group
            group = []
    if group:
        yield group
