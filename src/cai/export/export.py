"""The rows of one format from the records of one or several runs, streamed.

    Record              an example of a run, as the folder holds it (`engine/run_files.py`)
    → Body              its result: a chain, samples, a judged group, scores (`runs/config.py`)
    → Unit | Dropped    what becomes a row, such as a pair, or why nothing does (`examples.py`)
    → TracedUnit        the unit, or the reason, with the record that it is of
    → Row               the unit in the columns of a trainer, with its provenance (`trainers/`)

One pass over the records is enough, except where the selection depends on all of them (balanced
lengths, labels): then a first pass surveys them and a second one writes.

Example:
    run = RunFolder.existing(Path("runs/judge"))
    export = Export.of([run], "preference", Selection(pairs="all"))
    for row in export.rows(summary := ExportSummary("preference")):
        print(row["id"], row["chosen"])
    print(summary.describe())
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

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
from cai.export.formats import (
    PAIRED,
    Format,
    Method,
    Row,
    check_balance,
    check_format,
)
from cai.export.mixing import MixOutcome
from cai.export.provenance import SourceRun, read_metadata, whole_row
from cai.export.rows import (
    Dropped,
    Labelled,
    Unit,
    labelled,
    models_of,
    prompt_of,
    text_of,
)
from cai.export.run_order import interleave_runs, runs_by_config
from cai.export.scored_pairs import best_over_worst_scored
from cai.export.selection import Selection
from cai.export.trainers.table import DEFAULT, trainer_of
from cai.export.trainers.trainer import Trainer
from cai.methods.judging.pointwise import Scored
from cai.methods.judging.ranking import GroupReadings, compose_group
from cai.methods.revision import Chain
from cai.methods.sampling import Samples
from cai.runs.config import Body, ReviseRunConfig
from cai.runs.divided import check_disjoint
from cai.runs.judged import composers_of
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class TracedUnit:
    """A unit, or the reason why there is none, and the record that it is of."""

    run: SourceRun
    record: Record
    body: Body | None
    unit: Unit | Dropped

    @property
    def example(self) -> int:
        """A number that only this example of the export has."""
        return self.run.number << 48 | self.record.position


def trace_units(
    runs: Sequence[SourceRun], format: Format, selection: Selection
) -> Iterator[TracedUnit]:
    """All units, in the order of `interleave_runs`.

    A prompt that several runs have is one row of `prompts`.
    """

    def units_of_run(run: SourceRun) -> Iterator[TracedUnit]:
        for record in run.folder.records():
            body = run.body(record) if record.error is None else None
            units = _units_of(run, body, format, selection) if body else [Dropped("failed")]
            for unit in units:
                yield TracedUnit(run, record, body, unit)

    traced_units = interleave_runs(
        runs,
        units_of_run,
        lambda traced: traced.record.position,
        lambda traced: not isinstance(traced.unit, Dropped),
        _pair_scored if format in ("preference", "reward") else iter,
    )
    if format == "prompts" and len(runs) > 1:
        return _without_repeats(traced_units, runs)
    return traced_units


def _units_of(
    run: SourceRun, body: Body, format: Format, selection: Selection
) -> Sequence[Unit | Dropped]:
    prompt = body.prompt
    if selection.is_in_other_split(prompt, format):
        return [Dropped("in the other split")]
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
        case GroupReadings():
            judged = compose_group(body, run.composer)
            if format in PAIRED:
                return pairs_of_judged(judged, selection, run.composer)
            return [demonstration_of_judged(judged, selection, run.composer)]
        case Scored():
            if format in PAIRED:
                return [labelled_of_scored(body, selection)]
            return [demonstration_of_scored(body, selection)]


def _pair_scored(traced_units: Iterator[TracedUnit]) -> Iterator[TracedUnit]:
    """The units, of which scored responses to one prompt that follow each other become a pair."""
    group: list[tuple[TracedUnit, Scored]] = []
    for traced in traced_units:
        # A response without a score, or of the other split, is dropped with its own reason.
        if not isinstance(traced.body, Scored) or isinstance(traced.unit, Dropped):
            yield traced
            continue
        if group and group[-1][1].prompt.messages != traced.body.prompt.messages:
            yield _pair_of_group(group)
            group = []
        group.append((traced, traced.body))
    if group:
        yield _pair_of_group(group)


def _pair_of_group(group: Sequence[tuple[TracedUnit, Scored]]) -> TracedUnit:
    unit = best_over_worst_scored([scored for _, scored in group])
    if isinstance(unit, Dropped):
        return replace(group[0][0], unit=unit)
    chosen = next(traced for traced, scored in group if scored.response == unit.chosen)
    return replace(chosen, unit=unit)


def _without_repeats(
    traced_units: Iterator[TracedUnit], runs: Sequence[SourceRun]
) -> Iterator[TracedUnit]:
    # A prompt is repeated where a run of another config had it. Equal prompts at two positions of
    # one source are both exported.
    source_of = {run.number: n for n, parts in enumerate(runs_by_config(runs)) for run in parts}
    last: dict[int, int] = {}
    for traced in traced_units:
        if isinstance(traced.unit, Prompt):
            key, source = response_key(traced.unit, ""), source_of[traced.run.number]
            if last.setdefault(key, source) != source:
                yield replace(traced, unit=Dropped("repeated"))
                continue
        yield traced


@dataclass(slots=True)
class ExportSummary:
    """The counts of an export, filled while its rows are written."""

    format: Format
    n_rows: int = 0  # with those of other files
    # Pairs, responses, prompts or records of the runs: all that are not dropped became rows.
    n_considered: int = 0
    dropped: Counter[str] = field(default_factory=Counter[str])
    # Of `kto`, where a pair becomes two rows, and why a response of an exported pair is not a row.
    n_good: int = 0
    n_bad: int = 0
    unwritten: Counter[str] = field(default_factory=Counter[str])
    # Rows of examples with judge calls whose options had too little of the probability.
    n_below_min_mass: int = 0
    mixed: list[MixOutcome] = field(default_factory=list[MixOutcome])
    # Rows of which the trainer also learns turns of the assistant in the prompt.
    n_earlier_turns: int = 0
    config_files: list[Path] = field(default_factory=list[Path])  # beside the rows

    def describe(self) -> str:
        """Such as: sft: 480 rows; left out: 8 failed, 12 unchanged."""
        text = f"{self.format}: {self.n_rows} rows"
        if self.format == "kto":
            text += f" ({self.n_good} good, {self.n_bad} bad)"
        for title, by in (("left out", self.dropped), ("responses not written", self.unwritten)):
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(by.items()))
            text += f"; {title}: {reasons}" if reasons else ""
        if self.n_below_min_mass:
            share = self.n_below_min_mass / self.n_rows
            text += (
                f"; {self.n_below_min_mass} of the rows ({share:.0%}) rest on judge calls whose "
                "options had less than --min-mass of the probability: read from words"
            )
        mixed = ", ".join(outcome.describe() for outcome in self.mixed)
        return f"{text}; mixed in: {mixed}" if mixed else text

    def as_json(self) -> dict[str, object]:
        counts: dict[str, object] = {
            "format": self.format,
            "rows": self.n_rows,
            "considered": self.n_considered,
            "left_out": dict(self.dropped),
        }
        if self.format == "kto":
            counts |= {"good": self.n_good, "bad": self.n_bad, "unwritten": dict(self.unwritten)}
        if self.n_below_min_mass:
            counts["below_min_mass"] = self.n_below_min_mass
        if self.n_earlier_turns:
            counts["earlier_turns_trained"] = self.n_earlier_turns
        if self.config_files:
            counts["config_files"] = [str(path) for path in self.config_files]
        if self.mixed:
            counts["mixed"] = [outcome.as_json() for outcome in self.mixed]
        return counts


@dataclass(frozen=True, slots=True)
class Export:
    """Which rows of which runs, for which trainer."""

    runs: tuple[SourceRun, ...]
    format: Format
    selection: Selection
    trainer: Trainer

    @classmethod
    def of(
        cls,
        runs: Sequence[RunFolder],
        format: Format,
        selection: Selection = Selection(),
        trainer: str = DEFAULT,
    ) -> "Export":
        """The export of those runs, after checking that it is possible.

        Raises:
            JournalError: A folder is of another version of cai.
            UsageError: Two folders of one run have an example in common.
            ExportError: A run is named twice; or a run, the trainer or the selection do not go with
                the format.
        """
        if not runs:
            raise ExportError("No run is named, and an export is of at least one. Name one.")
        paths = [run.path.resolve() for run in runs]
        if len(set(paths)) < len(paths):
            twice = next(path for path in paths if paths.count(path) > 1)
            raise ExportError(f"{twice}: is named twice, and its rows would be too. Name it once.")
        check_disjoint(runs)
        reader = trainer_of(trainer)
        # Whole records are for no trainer.
        if format != "everything" or trainer != DEFAULT:
            reader.check_format(format)
        selection.check(format)
        composers = composers_of(runs, selection.compose)
        sources = tuple(
            SourceRun.of(number, run, composer)
            for number, (run, composer) in enumerate(zip(runs, composers, strict=True))
        )
        for source in sources:
            check_format(format, source.config.method, source.folder.path)
            if selection.balances_length:
                check_balance(format, source.config.method, source.folder.path)
        return cls(sources, format, selection, reader)

    @property
    def methods(self) -> tuple[Method, ...]:
        """The methods of the runs, each once."""
        return tuple(dict.fromkeys(run.config.method for run in self.runs))

    @property
    def names(self) -> str:
        """The runs, for messages."""
        return ", ".join(str(run.folder.path) for run in self.runs)

    def rows(self, summary: ExportSummary) -> Iterator[Row]:
        """The rows in the order of `interleave_runs`; counted in the summary."""
        if self.format != "everything":
            for traced, unit in self.units(summary):
                yield self.row(traced, unit, summary)
            return

        def whole_rows(run: SourceRun) -> Iterator[tuple[int, Row]]:
            for record in run.folder.records():
                yield record.position, whole_row(run, record, self.methods)

        for _, row in interleave_runs(
            self.runs, whole_rows, lambda pair: pair[0], lambda pair: pair[1]["error"] is None
        ):
            summary.n_considered += 1
            summary.n_rows += 1
            yield row

    def units(self, summary: ExportSummary) -> Iterator[tuple[TracedUnit, Unit]]:
        """The units that become a row each, and where they come from; the others are counted."""
        is_kto = self.format == "kto"
        if not is_kto and not self.selection.balances_length:
            for traced, unit, is_near in self._all_units(summary):
                if is_near:
                    summary.dropped["near-duplicate"] += 1
                else:
                    yield traced, unit
            return
        survey = Survey(len(self.runs))
        for traced, unit, is_near in self._all_units(summary):
            survey.add(traced.run.number, traced.record.position, unit, is_near=is_near)
        if self.selection.balances_length:
            survey.balance_lengths()
        summary.dropped += survey.n_left_out
        if is_kto:
            survey.collect_labels()
        # The second pass reads the records again: all units may not fit into memory.
        for traced in self._traced_units():
            if isinstance(traced.unit, Dropped):
                continue
            if survey.is_exported(traced.run.number, traced.record.position):
                if not is_kto:
                    yield traced, traced.unit
                    continue
                for unit in self._labelled(traced.unit, survey, summary):
                    yield traced, unit

    def _labelled(self, unit: Unit, survey: Survey, summary: ExportSummary) -> Iterator[Labelled]:
        for each in labelled(unit):
            reason = survey.reason_not_to_write(response_key(unit, each.completion))
            if reason is None:
                summary.n_good += each.label
                summary.n_bad += not each.label
                yield each
            else:
                summary.unwritten[reason] += 1

    def row(self, traced: TracedUnit, unit: Unit, summary: ExportSummary) -> Row:
        """The unit in the columns of the export; counted in the summary."""
        columns = self.trainer.row(unit, self.format, summary.n_rows)
        self.count(unit, summary)
        if isinstance(traced.body, GroupReadings | Scored):
            summary.n_below_min_mass += any(call.is_fallback for call in traced.body.calls)
        provenance = traced.run.provenance(traced.body, models_of(unit))
        prompt = prompt_of(unit)
        metadata = read_metadata(prompt)
        return {**columns, "id": prompt.id, "metadata": metadata, "provenance": provenance}

    def count(self, unit: Unit, summary: ExportSummary) -> None:
        """Counts a row that is written."""
        summary.n_rows += 1
        if self.format == "sft" and self.trainer.trains_earlier_turns:
            roles = [turn.role for turn in prompt_of(unit).messages]
            summary.n_earlier_turns += "assistant" in roles

    def _traced_units(self) -> Iterator[TracedUnit]:
        """All units; a prompt for which the trainer's form has no room makes no row."""
        for traced in trace_units(self.runs, self.format, self.selection):
            reason = None if isinstance(traced.unit, Dropped) else self.refusal(traced.unit)
            yield traced if reason is None else replace(traced, unit=Dropped(reason))

    def refusal(self, unit: Unit) -> str | None:
        """Why the trainer cannot read the unit; None if it can."""
        is_read = self.trainer.can_read(prompt_of(unit), self.format)
        return None if is_read else "with turns that the trainer cannot read"

    def _all_units(self, summary: ExportSummary) -> Iterator[tuple[TracedUnit, Unit, bool]]:
        """Every unit, and whether it nearly repeats an earlier one; dropped rows are counted."""
        near = None
        if self.selection.near_duplicates is not None:
            from cai.export.near_duplicates import NearDuplicates  # heavy: datasketch, scipy

            near = NearDuplicates(self.selection.near_duplicates)
        for traced in self._traced_units():
            summary.n_considered += 1
            unit = traced.unit
            if isinstance(unit, Dropped):
                summary.dropped[unit.reason] += 1
                continue
            is_near = near is not None and near.is_near_duplicate(text_of(unit), traced.example)
            yield traced, unit, is_near
