"""Pairs of responses out of files and hub data sets: `check_pairs` first, then `read_pairs`.

As with prompts, checking reads everything once before anything is paid for, and reading streams.
Of pairs already read, the ids and the labels are kept as hashes: two rows that label the same
responses to the same prompt in opposite ways contradict each other, and the later one is a bad row.

An id is that of the row, or else twelve digits of prompt and responses. A row of several pairs
numbers them behind its own id: `17.1`, `17.2`.

Pairs that contradict each other: the same responses to the same prompt, labelled both ways.

Of every labelled pair two numbers are kept, a hash and its place with the opinion, so that a source
of any size is read in one pass. A tie contradicts nothing, and agreeing labels are no fault.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cai.data.columns import PromptColumn, listed
from cai.data.pair_columns import PairOptions, PairSelection, select_pair_columns
from cai.data.pair_labels import Label
from cai.data.pair_rows import Pair, pairs_of_row
from cai.data.rows import BadRow, BadRows, Ids, Sources, describe_kinds, origin_of, texts_of
from cai.data.scan import Digest, Part, Pass, Reader, open_parts, scan
from cai.data.tables import FaultKind, Row, RowError, Table


class Opinions:
    """Which of two responses is the better one, of all pairs so far that say so."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tables
        self._kept: dict[int, int] = {}

    def check(self, pairs: Sequence[Pair]) -> None:
        """Nothing, where no earlier row has the opposite opinion of the same pair.

        Raises:
            RowError: One has.
        """
        for pair in pairs:
            kept = self._kept.get(_key(pair))
            if kept is None or pair.label not in ("a", "b") or kept & 1 == _side(pair):
                continue
            raise RowError(
                "prefers the other one of two responses to the same prompt than "
                f"{origin_of(self._tables, kept >> 1)}",
                "contradiction",
            )

    def keep(self, pairs: Sequence[Pair], place: int) -> None:
        for pair in pairs:
            if pair.label in ("a", "b"):
                self._kept.setdefault(_key(pair), place << 1 | _side(pair))


def _key(pair: Pair) -> int:
    """A hash of prompt and responses, whichever response is A."""
    sides = sorted((pair.response_a, pair.response_b))
    return hash((*texts_of(pair.prompt.messages), *sides))


def _side(pair: Pair) -> int:
    """Which response is the better one, 0 or 1 in the order of their texts."""
    better, worse = pair.response_a, pair.response_b
    if pair.label == "b":
        better, worse = worse, better
    return int(better > worse)


@dataclass(frozen=True, slots=True)
class PairPart:
    """What one file or data set holds, and how it is read."""

    name: str
    format: str
    columns: tuple[str, ...]
    selection: PairSelection
    n_pairs: int

    def describe(self) -> str:
        """Such as: 90 pairs from 'chosen' (better) and 'rejected', prompts in 'question'."""
        selection, sides = self.selection, self.selection.sides
        is_ranked = sides.layout != "sides"
        better = " (better)" if is_ranked else ""
        n = f"{self.n_pairs} pair{'' if self.n_pairs == 1 else 's'}"
        lines = [f"{n} from {sides.first!r}{better} and {sides.second!r}", self._prompt()]
        if not is_ranked:
            label = selection.label
            lines.append(f"labels in {label.column!r}" if label else "no column with labels")
        if selection.confidence:
            lines.append(f"confidence in {selection.confidence.column!r}")
        if selection.tags.columns:
            lines.append(f"tags in {listed(selection.tags.columns)}")
        return ", ".join(lines)

    def _prompt(self) -> str:
        match self.selection.prompt:
            case PromptColumn() as column:
                return f"prompts in {' and '.join(map(repr, column.columns))}"
            case str():
                return "one prompt for all"
            case None:
                return "dialogues that share a prompt"


@dataclass(frozen=True, slots=True)
class PairSummary:
    """What a full pass found. Of the bad rows, all are counted by kind and the first few kept.

    `labels` counts pairs; its key is None for those without a label. `content_hash` covers all that
    a pair is read as, in the order of the pairs.
    """

    parts: tuple[PairPart, ...]
    n_pairs: int
    labels: Mapping[Label | None, int]
    models: frozenset[str]
    n_bad: int
    bad_kinds: Mapping[FaultKind, int]
    bad_rows: tuple[BadRow, ...]
    content_hash: str

    @property
    def n_labelled(self) -> int:
        return self.n_pairs - self.labels.get(None, 0)

    def describe(self) -> str:
        """One line a part, one for the labels, and one for the rows that are passed over."""
        lines = [f"{part.name}: {part.describe()}" for part in self.parts]
        names: tuple[tuple[Label | None, str], ...] = (
            ("a", "A is better"),
            ("b", "B is better"),
            ("tie", "tie"),
            (None, "no label"),
        )
        counts = [f"{self.labels[key]} {name}" for key, name in names if self.labels.get(key)]
        lines.append(f"labels: {', '.join(counts)}")
        if self.n_bad:
            lines.append(describe_kinds(self.bad_kinds))
        return "\n".join(lines)


def check_pairs(
    sources: Sources,
    options: PairOptions = PairOptions(),
    *,
    skip_bad_rows: bool = False,
    limit: int | None = None,
) -> PairSummary:
    """What the sources hold, after reading them to the end, or to the first `limit` pairs.

    Ids are unique over all sources together.

    Raises:
        UsageError: The options do not go together.
        SourceError: A source cannot be read, none of its rows is a pair, or a row is bad and bad
            rows are not skipped.
    """
    parts = _open_parts(sources, options)
    found, digest = Pass(parts, BadRows(skip_bad_rows)), Digest()
    labels: Counter[tuple[int, Label | None]] = Counter()
    models: set[str] = set()
    for index, pair in found.over(_reader(parts), "pair", limit):
        labels[index, pair.label] += 1
        models.update(filter(None, (pair.model_a, pair.model_b)))
        digest.add(*_hashed(pair))
    for index, part in enumerate(parts):
        if labels[index, "tie"] and not labels[index, "b"]:
            _check_numbers(part)
    bad = found.bad_rows
    return PairSummary(
        parts=found.summaries(PairPart),
        n_pairs=found.n,
        labels=_by_label(labels),
        models=frozenset(models),
        n_bad=bad.n,
        bad_kinds=dict(bad.kinds),
        bad_rows=tuple(bad.first),
        content_hash=digest.hex,
    )


def read_pairs(
    sources: Sources, options: PairOptions = PairOptions(), *, skip_bad_rows: bool = False
) -> Iterator[Pair]:
    """The pairs in the order of the sources, streamed. Options as for `check_pairs`.

    Raises:
        UsageError: The options do not go together.
        SourceError: A source cannot be read, or a row is bad and bad rows are not skipped.
    """
    parts = _open_parts(sources, options)
    for _, pair in scan(parts, _reader(parts), BadRows(skip_bad_rows)):
        yield pair


def _open_parts(sources: Sources, options: PairOptions) -> list[Part[PairSelection]]:
    options.check()
    return open_parts(sources, "pairs", lambda table: select_pair_columns(table, options))


def _reader(parts: Sequence[Part[PairSelection]]) -> Reader[PairSelection, Pair]:
    tables = [part.table for part in parts]
    ids, opinions = Ids(tables), Opinions(tables)

    def read(selection: PairSelection, row: Row, origin: str, place: int) -> list[Pair]:
        pairs = pairs_of_row(selection, row, origin)
        opinions.check(pairs)
        names = ids.name(row, selection.id_column, [pair.texts for pair in pairs], place)
        opinions.keep(pairs, place)
        return [
            replace(pair, prompt=replace(pair.prompt, id=name))
            for pair, name in zip(pairs, names, strict=True)
        ]

    return read


def _check_numbers(part: Part[PairSelection]) -> None:
    """Nothing, where a label of 0 can be read in one way only; tells by all rows, not a head.

    Raises:
        SourceError: There are 0 and 1 and never a 2, as when a file is sorted by its labels.
    """
    label = part.selection.label
    if label is not None:
        rows = part.table.rows([label.column])
        label.check_numbers(part.table, (row for _, row in rows if not isinstance(row, RowError)))


def _by_label(counts: Mapping[tuple[int, Label | None], int]) -> dict[Label | None, int]:
    labels: Counter[Label | None] = Counter()
    for (_, label), count in counts.items():
        labels[label] += count
    return {label: count for label, count in labels.items() if count}


def _hashed(pair: Pair) -> Iterator[str]:
    yield from (pair.prompt.id, *pair.texts)
    yield from (pair.label or "", repr(pair.label_confidence), pair.model_a, pair.model_b)
    for name in sorted(pair.tags):
        yield from (name, pair.tags[name])
