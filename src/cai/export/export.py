"""Records of one or several runs as the rows of one format, streamed.

One pass over the records is enough, except where what stays depends on all of them (balanced
lengths, labels): then a first pass surveys them and a second one writes.

The units of one or several runs, one after the other.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cai.engine.run_files import Record
from cai.engine.run_folder import RunFolder
from cai.errors import ExportError
from cai.export.dedup import Survey, response_key
from cai.export.examples import (
    demonstration_of_judged,
    demonstration_of_scored,
    demonstrations_of_chain,
    demonstrations_of_samples,
    labelled_of_scored,
    pair_of_chain,
    pairs_of_judged,
)
from cai.export.formats import PAIRED, Columns, Format, Method, Row, check_columns, check_format
from cai.export.provenance import SourceRun, prompt_of_body, whole_row
from cai.export.rows import LeftOut, Unit, columns_of, labelled, models_of, prompt_of, text_of
from cai.export.selection import Selection
from cai.export.summary import ExportSummary
from cai.methods.judging.pointwise import Scored
from cai.methods.judging.ranking import Judged
from cai.methods.revision import Chain
from cai.methods.sampling import Samples
from cai.runs.config import JudgeRunConfig, ReviseRunConfig
from cai.runs.records import Body
from cai.types import Prompt

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Item:
    """A unit, or what is none, and the example that it comes from."""

    run: SourceRun
    record: Record
    body: Body | None
    unit: Unit | LeftOut

    @property
    def example(self) -> int:
        """A number that only this example of the export has."""
        return self.run.number << 48 | self.record.position


def items_of(runs: Sequence[SourceRun], format: Format, selection: Selection) -> Iterator[Item]:
    """All units, in the order of `woven`.

    A prompt that several runs have is one row of `prompts`.
    """
    items = woven(
        runs,
        lambda run: _items_of_run(run, format, selection),
        lambda item: item.record.position,
        lambda item: not isinstance(item.unit, LeftOut),
    )
    return _first_of_prompts(items, runs) if format == "prompts" and len(runs) > 1 else items


def woven(
    runs: Sequence[SourceRun],
    stream: Callable[[SourceRun], Iterator[T]],
    position: Callable[[T], int],
    ends_turn: Callable[[T], bool],
) -> Iterator[T]:
    """The streams of the runs as one: those of one config by position, those of others in turn.

    Runs of one config are parts of one source, and together are what one run over the whole is. The
    others are taken in turn, so that rows of each kind stand near the top of a file: readers of
    JSON guess the types of columns from there.
    """
    merged = [heapq.merge(*map(stream, parts), key=position) for parts in _by_config(runs)]
    return _in_turn(merged, ends_turn)


def _items_of_run(run: SourceRun, format: Format, selection: Selection) -> Iterator[Item]:
    for record in run.folder.records():
        if record.error is not None:
            yield Item(run, record, None, LeftOut("failed"))
            continue
        body = run.body(record)
        for unit in _units(run, body, format, selection):
            yield Item(run, record, body, unit)


def _units(
    run: SourceRun, body: Body, format: Format, selection: Selection
) -> Sequence[Unit | LeftOut]:
    prompt = prompt_of_body(body)
    if selection.is_elsewhere(prompt, format):
        return [LeftOut("in the other split")]
    if format == "prompts":
        return [prompt]
    match body:
        case Chain():
            assert isinstance(run.config, ReviseRunConfig)
            if format in PAIRED:
                return [pair_of_chain(body, run.config, selection)]
            return demonstrations_of_chain(body, run.config, selection)
        case Samples():
            return demonstrations_of_samples(body, selection)
        case Judged():
            assert isinstance(run.config, JudgeRunConfig)
            tie_margin = run.config.settings.tie_margin
            if format in PAIRED:
                return pairs_of_judged(body, selection, tie_margin)
            return [demonstration_of_judged(body, selection, tie_margin)]
        case Scored():
            if format in PAIRED:
                return [labelled_of_scored(body, selection)]
            return [demonstration_of_scored(body, selection)]


def _by_config(runs: Sequence[SourceRun]) -> list[list[SourceRun]]:
    found: list[list[SourceRun]] = []
    for run in runs:
        parts = next((parts for parts in found if parts[0].config == run.config), None)
        if parts is None:
            found.append([run])
        else:
            parts.append(run)
    return found


def _in_turn(streams: Sequence[Iterator[T]], ends_turn: Callable[[T], bool]) -> Iterator[T]:
    """Of each stream up to the next that ends its turn, then of the next stream, to their ends."""
    waiting = deque(streams)
    while waiting:
        stream = waiting.popleft()
        for each in stream:
            yield each
            if ends_turn(each):
                waiting.append(stream)
                break


def _first_of_prompts(items: Iterator[Item], runs: Sequence[SourceRun]) -> Iterator[Item]:
    """Without prompts that a run of another config has, and examples that one of the same has.

    Equal prompts of one source stay as they are.
    """
    source_of = {run.number: n for n, parts in enumerate(_by_config(runs)) for run in parts}
    last: dict[int, tuple[int, int]] = {}
    for item in items:
        if isinstance(item.unit, Prompt):
            key, source = response_key(item.unit, ""), source_of[item.run.number]
            before = last.get(key)
            if before is not None and (before[0] != source or before[1] == item.record.position):
                yield Item(item.run, item.record, item.body, LeftOut("repeated"))
                continue
            last[key] = (source, item.record.position)
        yield item


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
            check_format(format, source.config.method, source.folder.path)
            if selection.balances_length and source.config.method == "score":
                raise ExportError(
                    f"{source.folder.path}: a run of `cai score` has no pairs whose lengths could "
                    "be balanced. Leave the balance out."
                )
        return cls(sources, format, selection, columns)

    @property
    def methods(self) -> tuple[Method, ...]:
        """The methods of the runs, each once."""
        return tuple(dict.fromkeys(run.config.method for run in self.runs))

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
        from cai.export.dedup import NearDuplicates  # heavy: datasketch, scipy

        return NearDuplicates(self.selection.near_duplicates).is_near
