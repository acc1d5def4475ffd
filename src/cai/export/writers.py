"""The rows of an export, mixed with those of other files, in a file or as a data set in memory.

Example:
    summary = export_file(
        [RunFolder.existing(Path("runs/judge"))], "preference", Path("preference.jsonl"),
        Selection(min_margin=0.1), mixing=Mixing.of(["helpful.jsonl:helpfulness"]),
    )
    print(summary.describe())   # preference: 480 rows; left out: 8 unsure; mixed in: …
"""

import gzip
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cai.atomic_write import atomic_path, atomic_write
from cai.data.parquet import HUB_PREFIX
from cai.engine.run_folder import RunFolder
from cai.errors import ExportError
from cai.export.data_files import FileRow, Kind
from cai.export.dedup import unit_key
from cai.export.export import Export, ExportSummary
from cai.export.formats import SUFFIXES, Format, Row
from cai.export.mix_spec import NO_MIX, Mixing
from cai.export.mixing import Drawn, draw, interleave
from cai.export.provenance import RowProvenance, public_name, read_metadata
from cai.export.rows import Labelled, models_of, prompt_of
from cai.export.selection import Selection
from cai.export.trainers.table import DEFAULT

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
    """Checks that the mix is possible for that format; with `reads`, also that it can be read.

    Raises:
        ExportError: The format has more than rows to train on.
        UsageError: The mix is not possible.
        SourceError: A file cannot be read.
    """
    if not mixing.mixes:
        return
    if format not in _KINDS:
        raise ExportError(
            f"Nothing can be mixed into {format!r}, which has whole records of runs. Leave the mix "
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

    Raises:
        ExportError, UsageError, SourceError: As `check_mixing`, and as `draw`.
    """
    check_mixing(mixing, export.format)
    if not mixing.mixes:
        return export.rows(summary)
    # Another pass over the runs: shares depend on the number of rows, and no row of a file may
    # repeat one of the export.
    own: set[int] = set()
    n_own = 0
    for _, unit in export.units(ExportSummary(export.format)):
        own.add(unit_key(unit))
        n_own += 1
    if not n_own:
        return export.rows(summary)

    def refusal(row: FileRow) -> str | None:
        unread = export.refusal(row.unit)
        return unread or export.selection.refusal(row.unit, row.confidence, export.format)

    drawn = draw(mixing, _KINDS[export.format], own, n_own, refusal)
    summary.mixed += [each.outcome for each in drawn]
    others = [(each.outcome.n, _drawn_rows(each, export, summary)) for each in drawn]
    return interleave(export.rows(summary), n_own, others)


def _drawn_rows(drawn: Drawn, export: Export, summary: ExportSummary) -> Iterator[Row]:
    source, name = drawn.source, drawn.source.file.name
    for row in drawn.rows():
        columns = export.trainer.row(row.unit, export.format, summary.n_rows)
        export.count(row.unit, summary)
        if isinstance(row.unit, Labelled):
            summary.n_good += row.unit.label
            summary.n_bad += not row.unit.label
        prompt = prompt_of(row.unit)
        provenance = RowProvenance(
            method="export" if source.is_export else "people",
            run=None,
            origin=public_name(prompt.origin),
            models=tuple(models_of(row.unit)),
            confidence=row.confidence if source.file.is_labelled else None,
            source_files=(name if name.startswith(HUB_PREFIX) else Path(name).name,),
            source_hash=source.summary.content_hash,
        )
        own = {"id": prompt.id, "metadata": read_metadata(prompt)}
        yield {**columns, **own, "provenance": asdict(provenance)}


def export_file(
    runs: Sequence[RunFolder],
    format: Format,
    path: Path,
    selection: Selection = Selection(),
    trainer: str = DEFAULT,
    mixing: Mixing = NO_MIX,
) -> ExportSummary:
    """Writes one file, by its suffix: .jsonl, .jsonl.gz or .parquet. It appears when it is whole.

    What the trainer needs beside it is written next, into the same folder.

    Raises:
        JournalError: A folder is of another version of cai.
        ExportError: The suffix is unknown or not read by the trainer; the run, selection, trainer
            or mix is not possible for the format; no row is left to write; or a file cannot be
            written.
        UsageError: The mix is not possible.
        SourceError: A file that is mixed in cannot be read.
    """
    if not path.name.endswith(SUFFIXES):
        raise ExportError(
            f"{path}: the suffix is not one of {', '.join(SUFFIXES)}. Use one of them."
        )
    export, summary = Export.of(runs, format, selection, trainer), ExportSummary(format)
    export.trainer.check_file(path)
    # Before the rows, as it may be refused.
    config = export.trainer.config(format, path)
    rows = mixed_rows(export, mixing, summary)
    with atomic_path(path, ExportError, "Use another place.") as part:
        if path.name.endswith(".parquet"):
            from cai.export.parquet_schema import write_parquet  # heavy: pyarrow

            write_parquet(rows, export, part)
        else:
            with part.open("wb") as raw:
                binary: io.BufferedIOBase = raw
                if path.name.endswith(".gz"):
                    # Without a name and a time inside, equal rows give equal bytes.
                    binary = gzip.GzipFile("", "wb", fileobj=raw, mtime=0)
                # Half a surrogate pair, which models can write, becomes its JSON escape.
                with io.TextIOWrapper(binary, "utf-8", "backslashreplace", newline="\n") as file:
                    for row in rows:
                        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        # Inside, so that an export without rows leaves no file, and an older one as it was.
        _check_rows(export, summary)
    for name, text in config.items():
        atomic_write(path.with_name(name), text, ExportError, "Use another place.")
        summary.config_files.append(path.with_name(name))
    return summary


def export_dataset(
    runs: Sequence[RunFolder],
    format: Format,
    selection: Selection = Selection(),
    trainer: str = DEFAULT,
    mixing: Mixing = NO_MIX,
) -> "Dataset":
    """The rows in memory. Raises as `export_file`."""
    from cai.export.parquet_schema import as_dataset  # heavy: pyarrow, datasets

    export, summary = Export.of(runs, format, selection, trainer), ExportSummary(format)
    rows = list(mixed_rows(export, mixing, summary))
    _check_rows(export, summary)
    return as_dataset(rows, export)


def _check_rows(export: Export, summary: ExportSummary) -> None:
    if not summary.n_rows:
        raise ExportError(
            f"{export.names}: no row is left to write. {summary.describe()}. Leave out less, or "
            "export another run."
        )
