"""Rows written to a file, or as a data set in memory.

The rows of an export with those of other files among them, each saying where it comes from.
"""

import contextlib
import gzip
import io
import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cai.atomic_write import atomic_path
from cai.data.parquet import HUB_PREFIX
from cai.engine.run_folder import RunFolder
from cai.errors import ExportError
from cai.export.data_files import FileRow, Kind
from cai.export.dedup import unit_key
from cai.export.export import Export
from cai.export.formats import Columns, Format, Row
from cai.export.mix_spec import NO_MIX, Mixing
from cai.export.mixing import Drawn, draw, woven_in
from cai.export.provenance import RowProvenance
from cai.export.rows import Labelled, columns_of, models_of, prompt_of
from cai.export.selection import Selection
from cai.export.summary import ExportSummary

if TYPE_CHECKING:
    from datasets import Dataset


_KINDS: dict[Format, Kind] = {
    "sft": "sft",
    "preference": "preference",
    "reward": "preference",
    "kto": "kto",
    "prompts": "prompts",
}


def check_mixing(mixing: Mixing, format: Format, *, reads: bool = False) -> None:
    """Finds out whether that can be mixed into that format; with `reads`, whether it can be read.

    Raises:
        ExportError: The format holds more than rows to train on.
        UsageError: The mix cannot be followed.
        SourceError: A file cannot be read.
    """
    if not mixing.mixes:
        return
    if format not in _KINDS:
        raise ExportError(
            f"Nothing can be mixed into {format!r}, which is all that runs hold. Leave the mix "
            f"out, or export {', '.join(_KINDS)}."
        )
    kind = _KINDS[format]
    mixing.check(kind)
    for mix in mixing.mixes:
        source = mix.data_file(kind, skip_bad_rows=mixing.skip_bad_rows)
        if reads:
            source.check()


def mixed_rows(export: Export, mixing: Mixing, summary: ExportSummary) -> Iterator[Row]:
    """The rows of the export, and those of the mix spread evenly among them; all are counted.

    A mix costs another pass over the runs, to learn how many rows there are and their contents.

    Raises:
        ExportError, UsageError, SourceError: As `check_mixing`, and as `draw`.
    """
    check_mixing(mixing, export.format)
    if not mixing.mixes:
        return export.rows(summary)
    own: set[int] = set()
    n_own = 0
    for _, unit in export.units(ExportSummary(export.format)):
        own.add(unit_key(unit))
        n_own += 1
    if not n_own:
        return export.rows(summary)

    def refusal(row: FileRow) -> str | None:
        return export.selection.refusal(row.unit, row.confidence, export.format)

    drawn = draw(mixing, _KINDS[export.format], own, n_own, refusal)
    summary.mixed += [each.outcome for each in drawn]
    others = [(each.outcome.n, _rows_of(each, export, summary)) for each in drawn]
    return woven_in(export.rows(summary), n_own, others)


def _rows_of(drawn: Drawn, export: Export, summary: ExportSummary) -> Iterator[Row]:
    for row in drawn.rows():
        columns = columns_of(row.unit, export.columns, summary.n_rows)
        summary.n_rows += 1
        if isinstance(row.unit, Labelled):
            summary.n_good += row.unit.label
            summary.n_bad += not row.unit.label
        provenance = asdict(_provenance(row, drawn))
        yield {**columns, "id": prompt_of(row.unit).id, "provenance": provenance}


def _provenance(row: FileRow, drawn: Drawn) -> RowProvenance:
    """What is known of a row that no run of the export wrote."""
    source, name = drawn.source, drawn.source.file.name
    return RowProvenance(
        method="export" if source.is_export else "people",
        run=None,
        origin=prompt_of(row.unit).origin,
        models=tuple(models_of(row.unit)),
        confidence=row.confidence if source.file.is_labelled else None,
        source_files=(name if name.startswith(HUB_PREFIX) else Path(name).name,),
        source_hash=source.summary.content_hash,
    )


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
    with atomic_path(path, ExportError, "Use another place.") as part:
        if path.name.endswith(".parquet"):
            from cai.export.parquet_schema import write_parquet  # heavy: pyarrow

            write_parquet(_groups(rows), export, part)
        else:
            _write_jsonl(rows, part)
        _check_rows(export, summary)
    return summary


def export_dataset(
    runs: Sequence[RunFolder],
    format: Format,
    selection: Selection = Selection(),
    columns: Columns = "trl",
    mixing: Mixing = NO_MIX,
) -> "Dataset":
    """The rows in memory. Raises as `export_file`."""
    from cai.export.parquet_schema import as_dataset  # heavy: pyarrow, datasets

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
