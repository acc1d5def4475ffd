"""Everything that a training reads: its sources, what is mixed in, and the rows held out.

Example:
    data = load_training_data(["runs/judged"], "preference", ["helpful.jsonl:weight=0.3"])
    print(data.describe())
    for row in data.train:
        print(row.unit, row.source, row.confidence)

A run folder gives the rows that `cai export` would write of it. A file, or a hub data set, holds
people's data, or what `cai export` wrote. Which rows are held out for evaluation is decided by
the prompt's content: equal prompts stay together, and the same rows are held out whatever else is
trained on.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cai.data.source import Digest
from cai.engine.run_folder import RunFolder
from cai.errors import TrainingError, UsageError
from cai.export.data_files import DataFile, Kind
from cai.export.dedup import distinct, unit_key
from cai.export.export import Export, ExportSummary
from cai.export.mix_spec import Mix, Mixing
from cai.export.mixing import Drawn, MixOutcome, draw, interleave
from cai.export.provenance import Provenance, ProvenanceTally
from cai.export.rows import Labelled, PreferencePair, Unit, models_of, prompt_of
from cai.export.selection import Selection
from cai.runs.records import is_run
from cai.types import as_dicts


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A unit, the run or file that it comes from, and how probable it is that its label is right.

    `confidence` is in [0.5, 1]: of a judged pair its probability, of people's labels that of the
    row or of its source, and 1 where neither has one.
    """

    unit: Unit
    source: str
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class _SourceRows:
    """The rows of one source, how many were dropped by reason, and where the rows come from."""

    rows: list[TrainingRow]
    left_out: Counter[str]
    provenance: Provenance
    description: str = ""  # of a file: what was read of it, and what was not


def _read_units(
    source: str | Path, kind: Kind, selection: Selection, skip_bad_rows: bool
) -> _SourceRows:
    """The rows of that kind in the order of the source.

    Of the selection, files obey the split and the least margin; its other settings are about runs.
    """
    if is_run(str(source)):
        summary, tally, rows = ExportSummary(kind), ProvenanceTally(), list[TrainingRow]()
        with RunFolder.existing(Path(source)) as run:
            for traced, unit in Export.of([run], kind, selection).units(summary):
                tally.add(traced.run.provenance(traced.body, models_of(unit)))
                p = unit.chosen_probability if isinstance(unit, PreferencePair) else None
                rows.append(TrainingRow(unit, str(source), 1.0 if p is None else p))
        return _SourceRows(rows, summary.dropped + summary.unwritten, tally.provenance)
    selection.check(kind)
    file = DataFile(str(source), kind, skip_bad_rows=skip_bad_rows).check()
    left_out = Counter[str](file.summary.bad_kinds)
    tally, rows = ProvenanceTally(), list[TrainingRow]()
    for row in file.rows(left_out):
        reason = selection.refusal(row.unit, row.confidence, kind)
        if reason is not None:
            left_out[reason] += 1
            continue
        tally.models.update(filter(None, models_of(row.unit)))
        rows.append(TrainingRow(row.unit, str(source), row.confidence))
    provenance = tally.provenance.joined(file.provenance)
    description = "; ".join(table.description for table in file.summary.tables)
    return _SourceRows(rows, left_out, provenance, description)


def split_rows(
    rows: Sequence[TrainingRow], eval_share: float
) -> tuple[tuple[TrainingRow, ...], tuple[TrainingRow, ...]]:
    """The rows to train on and those held out, each in their order.

    About that share of the prompts is held out; of two prompts or more at least one, and never all
    of them. With a single prompt, or a share of 0, none is.

    Raises:
        UsageError: The share is not in [0, 1).
    """
    if not 0 <= eval_share < 1:
        raise UsageError(
            f"The evaluation share is {eval_share:g}, and it must be at least 0 and below 1. "
            "Change it."
        )
    # a number in [0, 1) for each row, in steps of 2⁻⁴⁸, that is the same for equal prompts and
    # independent of that which splits exports: a file of one split is split again here
    places: list[float] = []
    for row in rows:
        text = json.dumps(as_dicts(prompt_of(row.unit).messages), ensure_ascii=True)
        digest = hashlib.blake2b(text.encode(), digest_size=6, person=b"cai-evaluation").digest()
        places.append(int.from_bytes(digest, "big") / 2**48)
    different = sorted(set(places))
    if eval_share == 0 or len(different) < 2:
        return tuple(rows), ()
    # the lowest is always held out, the highest never
    end = min(max(eval_share, different[0] + 2**-48), different[-1])
    train = tuple(row for row, place in zip(rows, places, strict=True) if place >= end)
    held_out = tuple(row for row, place in zip(rows, places, strict=True) if place < end)
    return train, held_out


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The rows to train on and those held out.

    `counts` has the rows of both by source; `dropped` counts what was left out of the sources, by
    reason, and `mixed` the same of what is mixed in. `content_hash` covers contents, labels and
    confidences in their order.
    """

    kind: Kind
    train: tuple[TrainingRow, ...]
    evaluation: tuple[TrainingRow, ...]
    counts: Mapping[str, int]
    mixed: tuple[MixOutcome, ...]
    dropped: Counter[str]
    content_hash: str
    provenance: Provenance
    descriptions: Mapping[str, str] = field(default_factory=dict[str, str])  # of files, by source

    def describe(self) -> tuple[str, ...]:
        """A line for each source, one for what is left out, and one for the split."""
        mixed = {outcome.mix.file: outcome for outcome in self.mixed}
        lines = [
            f"{name}: {_rows(n)}" + (f" ({read})" if (read := self.descriptions.get(name)) else "")
            for name, n in self.counts.items()
            if name not in mixed
        ]
        lines += [outcome.describe() for outcome in mixed.values()]
        if self.dropped:
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(self.dropped.items()))
            lines.append(f"left out: {reasons}")
        held_out = len(self.evaluation)
        lines.append(f"{_rows(len(self.train))} to train on, {held_out} held out for evaluation")
        return tuple(lines)


def load_training_data(
    sources: str | Path | Sequence[str | Path],
    kind: Kind,
    mix: Sequence[Mix | str] = (),
    *,
    selection: Selection = Selection(),
    eval_share: float = 0.05,
    seed: int = 0,
    limit: int | None = None,
    skip_bad_rows: bool = False,
) -> TrainingData:
    """The rows of runs and files, each content once, with the mix spread evenly among them.

    `limit` is the number of rows to use, the first ones. The seed decides which rows of the mix are
    drawn; which rows are held out depends on their prompts alone.

    Raises:
        UsageError: A mix, the share or the limit is not possible.
        CaiError: A source cannot be read, or has no rows of that kind.
        TrainingError: No row is left.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"The limit is {limit}, and it is a number of rows, 1 or more. Change it.")
    mixes = tuple(each if isinstance(each, Mix) else Mix.parse(each) for each in mix)
    mixing = Mixing(mixes, seed, skip_bad_rows)
    mixing.check(kind)
    names = [sources] if isinstance(sources, str | Path) else sources
    read = [_read_units(name, kind, selection, skip_bad_rows) for name in names]
    own, dropped = _distinct_rows(read)
    if not own:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(dropped.items()))
        raise TrainingError(
            f"{', '.join(map(str, names)) or 'No source'}: no row is left to train on; left out: "
            f"{reasons or 'nothing'}. Leave out less, or name another source."
        )
    drawn = draw(
        mixing,
        kind,
        own.keys(),
        len(own),
        lambda row: selection.refusal(row.unit, row.confidence, kind),
    )
    mixed_in = [(each.outcome.n, _training_rows(each)) for each in drawn]
    # the limit comes after the mix, so that a short trial has the proportions of the whole
    rows = list(interleave(own.values(), len(own), mixed_in))[:limit]
    train, evaluation = split_rows(rows, eval_share)
    provenance = Provenance()
    for each in (*read, *(each.source for each in drawn)):
        provenance = provenance.joined(each.provenance)
    digest = Digest()
    for row in rows:
        label = row.unit.label if isinstance(row.unit, Labelled) else None
        digest.add(str(unit_key(row.unit)), str(label), repr(row.confidence))
    return TrainingData(
        kind=kind,
        train=train,
        evaluation=evaluation,
        counts=dict(Counter(row.source for row in rows)),
        mixed=tuple(each.outcome for each in drawn),
        dropped=dropped,
        content_hash=digest.hex,
        provenance=provenance,
        descriptions={
            str(name): each.description
            for name, each in zip(names, read, strict=True)
            if each.description
        },
    )


def _distinct_rows(read: Sequence[_SourceRows]) -> tuple[dict[int, TrainingRow], Counter[str]]:
    """The rows of the sources by the keys of their contents, and what is left out, by reason."""
    every = [row for each in read for row in each.rows]
    dropped = sum((each.left_out for each in read), Counter[str]())
    # the dedup of exports works on units; which row a unit came with is looked up by its key
    unique = set(distinct((row.unit for row in every), (), dropped))  # counts the others as dropped
    own: dict[int, TrainingRow] = {}
    for row in every:
        if (key := unit_key(row.unit)) in unique:
            own.setdefault(key, row)
    return own, +dropped  # + leaves out the reasons that are counted 0 times


def _training_rows(drawn: Drawn) -> Iterator[TrainingRow]:
    # a function, as a generator expression in the loop would name the last file in all rows
    for row in drawn.rows():
        yield TrainingRow(row.unit, drawn.source.file.name, row.confidence)


def _rows(n: int) -> str:
    return f"{n} row{'' if n == 1 else 's'}"
