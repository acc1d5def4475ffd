"""Records of one or several runs as the rows of one format, streamed.

One pass over the records is enough, except where what stays depends on all of them (balanced
lengths, labels): then a first pass surveys them and a second one writes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cai.engine.storage.run_folder import RunFolder
from cai.errors import ExportError
from cai.export.everything import whole_row
from cai.export.formats import Columns, Format, Method, Row, check_columns, check_format
from cai.export.items import Item, items_of, woven
from cai.export.rows import columns_of
from cai.export.selecting import Selection
from cai.export.source_runs import SourceRun
from cai.export.summary import ExportSummary
from cai.export.survey import Survey, response_key
from cai.export.units import LeftOut, Unit, labelled, models_of, prompt_of, text_of


@dataclass(frozen=True, slots=True)
class Export:
    """Which rows of which runs, in which columns."""

    runs: tuple[SourceRun, ...]
    format: Format
    selection: Selection
    columns: Columns

    @classmethod
    def of(
        cls,
        runs: Sequence[RunFolder],
        format: Format,
        selection: Selection = Selection(),
        columns: Columns = "trl",
    ) -> "Export":
        """The export of those runs, once it is known that it can be made.

        Raises:
            JournalError: A folder is of another version of cai.
            ExportError: A run is named twice; or a run, the columns or the selection do not go with
                the format.
        """
        if not runs:
            raise ExportError("No run is named, and an export is of at least one. Name one.")
        paths = [run.path.resolve() for run in runs]
        if len(set(paths)) < len(paths):
            twice = next(path for path in paths if paths.count(path) > 1)
            raise ExportError(f"{twice}: is named twice, and its rows would be too. Name it once.")
        check_columns(format, columns)
        selection.check(format)
        sources = tuple(SourceRun.of(number, run) for number, run in enumerate(runs))
        for source in sources:
            check_format(format, source.recipe.method, source.folder.path)
            if selection.balances_length and source.recipe.method == "score":
                raise ExportError(
                    f"{source.folder.path}: a run of `cai score` has no pairs whose lengths could "
                    "be balanced. Leave the balance out."
                )
        return cls(sources, format, selection, columns)

    @property
    def methods(self) -> tuple[Method, ...]:
        """The methods of the runs, each once."""
        return tuple(dict.fromkeys(run.recipe.method for run in self.runs))

    @property
    def names(self) -> str:
        """The runs, for messages."""
        return ", ".join(str(run.folder.path) for run in self.runs)

    def rows(self, summary: ExportSummary) -> Iterator[Row]:
        """The rows in the order of the source, of several as `woven`; counted in the summary."""
        if self.format == "everything":
            yield from self._whole_rows(summary)
        else:
            for item, unit in self.units(summary):
                yield self.row(item, unit, summary)

    def units(self, summary: ExportSummary) -> Iterator[tuple[Item, Unit]]:
        """What becomes a row each, and where it comes from; what does not is counted."""
        if self.format == "kto" or self.selection.balances_length:
            yield from self._units_in_two_passes(summary)
            return
        for item, unit, is_near in self._all_units(summary):
            if is_near:
                summary.dropped["near-duplicate"] += 1
            else:
                yield item, unit

    def row(self, item: Item, unit: Unit, summary: ExportSummary) -> Row:
        """The unit in the columns of the export; counted in the summary."""
        columns = columns_of(unit, self.columns, summary.n_rows)
        summary.n_rows += 1
        provenance = item.run.provenance(item.body, models_of(unit))
        return {**columns, "id": prompt_of(unit).id, "provenance": provenance}

    def _whole_rows(self, summary: ExportSummary) -> Iterator[Row]:
        whole = woven(
            self.runs,
            self._whole_rows_of,
            lambda placed: placed[0],
            lambda placed: placed[1]["error"] is None,
        )
        for _, row in whole:
            summary.n_considered += 1
            summary.n_rows += 1
            yield row

    def _whole_rows_of(self, run: SourceRun) -> Iterator[tuple[int, Row]]:
        """Each with its position."""
        for record in run.folder.records():
            yield record.position, whole_row(run, record, self.methods)

    def _units_in_two_passes(self, summary: ExportSummary) -> Iterator[tuple[Item, Unit]]:
        survey = Survey(len(self.runs))
        for item, unit, is_near in self._all_units(summary):
            survey.add(item.run.number, item.record.position, unit, is_near=is_near)
        if self.selection.balances_length:
            survey.balance()
        summary.dropped += survey.n_left_out
        if self.format == "kto":
            survey.note_labels()
        for item in items_of(self.runs, self.format, self.selection):
            if isinstance(item.unit, LeftOut):
                continue
            if survey.is_kept(item.run.number, item.record.position):
                for unit in self._units_of(item.unit, survey, summary):
                    yield item, unit

    def _units_of(self, unit: Unit, survey: Survey, summary: ExportSummary) -> Iterator[Unit]:
        if self.format != "kto":
            yield unit
            return
        for each in labelled(unit):
            reason = survey.reason_not_to_write(response_key(unit, each.completion))
            if reason is not None:
                summary.unwritten[reason] += 1
                continue
            summary.n_good += each.label
            summary.n_bad += not each.label
            yield each

    def _all_units(self, summary: ExportSummary) -> Iterator[tuple[Item, Unit, bool]]:
        """Every unit, and whether it is nearly an earlier one; what is no unit is counted."""
        is_near = self._likeness()
        for item in items_of(self.runs, self.format, self.selection):
            summary.n_considered += 1
            if isinstance(item.unit, LeftOut):
                summary.dropped[item.unit.reason] += 1
            else:
                yield item, item.unit, is_near(text_of(item.unit), item.example)

    def _likeness(self) -> Callable[[str, int], bool]:
        if self.selection.near_duplicates is None:
            return lambda text, example: False
        from cai.export.near_duplicates import NearDuplicates  # heavy: datasketch, scipy

        return NearDuplicates(self.selection.near_duplicates).is_near
