"""A run folder, a file or a hub data set as the rows of training.

A run gives the rows that `cai export` would write of it. A file is one of people's data, or what
`cai export` wrote, read through `cai.sources`.
"""

from pathlib import Path
from typing import cast

from cai.engine.storage.run_folder import RunFolder
from cai.export.data_files import DataFile, FileSummary, Kind
from cai.export.exporting import Export
from cai.export.selecting import Selection
from cai.export.summary import ExportSummary
from cai.export.units import models_of
from cai.jobs.run_source import is_run
from cai.sources.files import open_table
from cai.sources.tables import RowError
from cai.training.data.rows import Provenance, SourceRows, Told, TrainingRow


def read_units(
    source: str | Path,
    kind: Kind,
    selection: Selection = Selection(),
    *,
    skip_bad_rows: bool = False,
) -> SourceRows:
    """The rows of that kind in the order of the source.

    Of files the selection's split and least margin hold; its other settings are about runs.

    Raises:
        SourceError: A file cannot be read, has not the columns that are needed, or has a bad row
            and bad rows are not skipped.
        JournalError: A run folder is of another version of cai.
        ExportError: The run's method has no rows of that kind, or the selection none of them.
    """
    if is_run(str(source)):
        return _of_run(str(source), kind, selection)
    selection.check(kind)
    file = DataFile(str(source), kind, skip_bad_rows=skip_bad_rows)
    summary = file.check()
    left_out, told, rows = +summary.bad, Told(), list[TrainingRow]()
    for row in file.rows(left_out):
        reason = selection.refusal(row.unit, row.confidence, kind)
        if reason is not None:
            left_out[reason] += 1
            continue
        told.add_models(row.unit)
        rows.append(TrainingRow(row.unit, file.name, row.confidence))
    return SourceRows(rows, left_out, told.provenance.joined(provenance_of_file(summary)))


def provenance_of_file(summary: FileSummary) -> Provenance:
    """What the rows of a file say of where they come from; people made what says nothing."""
    told = Told()
    if not summary.is_export:
        return Provenance(methods=("people",))
    for _, row in open_table(summary.name).rows(["provenance"]):
        value = None if isinstance(row, RowError) else row.get("provenance")
        if isinstance(value, dict):
            told.add(cast(dict[str, object], value))
    return told.provenance


def _of_run(source: str, kind: Kind, selection: Selection) -> SourceRows:
    summary, told = ExportSummary(kind), Told()
    rows: list[TrainingRow] = []
    with RunFolder.existing(Path(source)) as run:
        for item, unit in Export.of([run], kind, selection).units(summary):
            told.add(item.run.provenance(item.body, models_of(unit)))
            rows.append(TrainingRow.of_run(unit, source))
    return SourceRows(rows, summary.dropped + summary.unwritten, told.provenance)
