"""All that a training run reads: its sources, what is mixed in, and the rows held out."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cai.errors import TrainingError, UsageError
from cai.export.contents import distinct, unit_key
from cai.export.data_files import Kind
from cai.export.mixes import Mix, Mixing
from cai.export.mixing import Drawn, MixOutcome, Refusal, draw, woven_in
from cai.export.selecting import Selection
from cai.export.units import Labelled
from cai.sources.scanning import Digest
from cai.training.data.reading import provenance_of_file, read_units
from cai.training.data.rows import Provenance, SourceRows, TrainingRow
from cai.training.data.splitting import split_rows


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The rows to train on and those held out.

    `counts` has the rows of both by source; `dropped` what of the sources is no row, by reason, and
    `mixed` the same of what is mixed in. `content_hash` covers contents, labels and
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

    def describe(self) -> tuple[str, ...]:
        """A line for each source, one for what is left out, and one for the split."""
        mixed = {outcome.mix.file: outcome for outcome in self.mixed}
        lines = [f"{name}: {_rows(n)}" for name, n in self.counts.items() if name not in mixed]
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

    `limit` keeps the first rows of these. Of the mix the seed decides which rows are drawn; which
    are held out hangs on their prompts alone.

    Raises:
        UsageError: A mix, the share or the limit cannot be followed.
        CaiError: As `read_units`.
        TrainingError: No row is left.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"The limit is {limit}, and it is a number of rows, 1 or more. Change it.")
    mixes = tuple(each if isinstance(each, Mix) else Mix.parse(each) for each in mix)
    mixing = Mixing(mixes, seed, skip_bad_rows)
    mixing.check(kind)
    names = [sources] if isinstance(sources, str | Path) else sources
    found = [read_units(name, kind, selection, skip_bad_rows=skip_bad_rows) for name in names]
    own, dropped = _distinct(found)
    if not own:
        raise TrainingError(_nothing_left(names, dropped))
    drawn = draw(mixing, kind, own.keys(), len(own), _refusal(selection, kind))
    others = [(each.outcome.n, _rows_of(each)) for each in drawn]
    rows = list(woven_in(own.values(), len(own), others))[:limit]
    train, evaluation = split_rows(rows, eval_share)
    provenance = Provenance()
    for each in (*(each.provenance for each in found), *map(_provenance_of, drawn)):
        provenance = provenance.joined(each)
    return TrainingData(
        kind,
        train,
        evaluation,
        dict(Counter(row.source for row in rows)),
        tuple(each.outcome for each in drawn),
        dropped,
        _content_hash(rows),
        provenance,
    )


def _distinct(found: Sequence[SourceRows]) -> tuple[dict[int, TrainingRow], Counter[str]]:
    """The rows of all sources by their content, the first of each, and what is left out."""
    rows = [row for each in found for row in each.rows]
    dropped = sum((each.left_out for each in found), Counter[str]())
    kept = set(distinct((row.unit for row in rows), (), dropped))
    own: dict[int, TrainingRow] = {}
    for row in rows:
        key = unit_key(row.unit)
        if key in kept:
            own.setdefault(key, row)
    return own, +dropped


def _nothing_left(names: Sequence[str | Path], dropped: Counter[str]) -> str:
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(dropped.items()))
    return (
        f"{', '.join(map(str, names)) or 'No source'}: no row is left to train on; left out: "
        f"{reasons or 'nothing'}. Leave out less, or name another source."
    )


def _refusal(selection: Selection, kind: Kind) -> Refusal:
    return lambda row: selection.refusal(row.unit, row.confidence, kind)


def _rows_of(drawn: Drawn) -> Iterator[TrainingRow]:
    for row in drawn.rows():
        yield TrainingRow(row.unit, drawn.source.name, row.confidence)


def _provenance_of(drawn: Drawn) -> Provenance:
    return provenance_of_file(drawn.summary)


def _content_hash(rows: Sequence[TrainingRow]) -> str:
    digest = Digest()
    for row in rows:
        label = row.unit.label if isinstance(row.unit, Labelled) else None
        digest.add(str(unit_key(row.unit)), str(label), repr(row.confidence))
    return digest.hex


def _rows(n: int) -> str:
    return f"{n} row{'' if n == 1 else 's'}"
