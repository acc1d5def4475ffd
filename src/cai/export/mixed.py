"""The rows of an export with those of other files among them, each saying where it comes from."""

from collections.abc import Iterator
from pathlib import Path

from cai.errors import ExportError
from cai.export.contents import unit_key
from cai.export.data_files import FileRow, Kind
from cai.export.exporting import Export
from cai.export.formats import Format, Row
from cai.export.mixes import Mixing
from cai.export.mixing import Drawn, draw, woven_in
from cai.export.rows import columns_of
from cai.export.summary import ExportSummary
from cai.export.units import Labelled, models_of, prompt_of
from cai.sources.columnar import HUB_PREFIX

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
    keys = export.runs[0].provenance(None, ())
    for row in drawn.rows():
        columns = columns_of(row.unit, export.columns, summary.n_rows)
        summary.n_rows += 1
        if isinstance(row.unit, Labelled):
            summary.n_good += row.unit.label
            summary.n_bad += not row.unit.label
        provenance = {**dict.fromkeys(keys), **_provenance(row, drawn)}
        yield {**columns, "id": prompt_of(row.unit).id, "provenance": provenance}


def _provenance(row: FileRow, drawn: Drawn) -> dict[str, object]:
    """What is known of a row that no run of the export wrote."""
    name = drawn.source.name
    return {
        "method": "export" if drawn.summary.is_export else "people",
        "origin": prompt_of(row.unit).origin,
        "models": models_of(row.unit),
        "confidence": row.confidence if drawn.source.is_labelled else None,
        "source_files": [name if name.startswith(HUB_PREFIX) else Path(name).name],
        "source_hash": drawn.summary.content_hash,
    }
