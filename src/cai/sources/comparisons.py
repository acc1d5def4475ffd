"""Pairs of responses out of files and hub data sets: `check_pairs` first, then `read_pairs`.

As with prompts, checking reads everything once before anything is paid for, and reading streams.
Of pairs already read, the ids and the labels are kept as hashes: two rows that label the same
responses to the same prompt in opposite ways contradict each other, and the later one is a bad row.

An id is that of the row, or else twelve digits of prompt and responses. A row of several pairs
numbers them behind its own id: `17.1`, `17.2`.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cai.sources.columns import listed
from cai.sources.files import open_table
from cai.sources.opinions import Opinions
from cai.sources.pair_columns import FOUND_BY_NAME, PairOptions, PairSelection, select_pair_columns
from cai.sources.pair_labels import Label
from cai.sources.pairs import Pair, pairs_of_row
from cai.sources.prompt_column import PromptColumn
from cai.sources.rows import (
    BadRow,
    BadRows,
    Ids,
    Sources,
    describe_kinds,
    given_id,
    nothing_read,
    place_of,
    source_names,
)
from cai.sources.tables import FaultKind, Row, RowError, Table
from cai.types import content_hash


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
    options: PairOptions = FOUND_BY_NAME,
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
    counts: Counter[int] = Counter()
    labels: Counter[tuple[int, Label | None]] = Counter()
    models: set[str] = set()
    bad = BadRows()
    digest = hashlib.blake2b(digest_size=6)
    for index, item in _scan(parts):
        if isinstance(item, BadRow):
            if not skip_bad_rows:
                raise item.error
            bad.add(item)
            continue
        counts[index] += 1
        labels[index, item.label] += 1
        models.update(filter(None, (item.model_a, item.model_b)))
        digest.update(_hash(item).encode())
        if counts.total() == limit:
            break
    if not counts:
        raise nothing_read([part.table.name for part in parts], bad.first, "pair")
    for index, part in enumerate(parts):
        if labels[index, "tie"] and not labels[index, "b"]:
            part.check_numbers()
    return PairSummary(
        parts=tuple(part.summary(counts[index]) for index, part in enumerate(parts)),
        n_pairs=counts.total(),
        labels=_by_label(labels),
        models=frozenset(models),
        n_bad=bad.n,
        bad_kinds=dict(bad.kinds),
        bad_rows=tuple(bad.first),
        content_hash=digest.hexdigest(),
    )


def read_pairs(
    sources: Sources, options: PairOptions = FOUND_BY_NAME, *, skip_bad_rows: bool = False
) -> Iterator[Pair]:
    """The pairs in the order of the sources, streamed. Options as for `check_pairs`.

    Raises:
        UsageError: The options do not go together.
        SourceError: A source cannot be read, or a row is bad and bad rows are not skipped.
    """
    for _, item in _scan(_open_parts(sources, options)):
        if isinstance(item, Pair):
            yield item
        elif not skip_bad_rows:
            raise item.error


@dataclass(frozen=True, slots=True)
class _Part:
    table: Table
    selection: PairSelection

    def summary(self, n_pairs: int) -> PairPart:
        table = self.table
        return PairPart(table.name, table.form, table.columns, self.selection, n_pairs)

    def check_numbers(self) -> None:
        """Nothing, where a label of 0 can be read in one way only; tells by all rows, not a head.

        Raises:
            SourceError: There are 0 and 1 and never a 2, as when a file is sorted by its labels.
        """
        if self.selection.label is not None:
            rows = self.table.rows([self.selection.label.column])
            whole = (row for _, row in rows if not isinstance(row, RowError))
            self.selection.label.check_numbers(self.table, whole)


def _open_parts(sources: Sources, options: PairOptions) -> list[_Part]:
    options.check()
    tables = [open_table(name) for name in source_names(sources, "pairs")]
    return [_Part(table, select_pair_columns(table, options)) for table in tables]


def _scan(parts: Sequence[_Part]) -> Iterator[tuple[int, Pair | BadRow]]:
    """The pairs of every row, or why it has none, with the part's place."""
    tables = [part.table for part in parts]
    ids, opinions = Ids(tables), Opinions(tables)
    for index, part in enumerate(parts):
        for number, row in part.table.rows(part.selection.columns):
            origin, place = part.table.origin(number), place_of(index, number)
            try:
                if isinstance(row, RowError):
                    raise row
                pairs = pairs_of_row(part.selection, row, origin)
                opinions.check(pairs)
                named = _named(pairs, ids, row, part.selection.id_column, place)
                opinions.keep(pairs, place)
            except RowError as error:
                yield index, BadRow(origin, str(error), error.kind)
            else:
                yield from ((index, pair) for pair in named)


def _named(
    pairs: Sequence[Pair], ids: Ids, row: Row, id_column: str | None, place: int
) -> list[Pair]:
    """The pairs of a row with their ids."""
    if id_column is None:
        names = [ids.derive(pair.texts, place) for pair in pairs]
    else:
        id = ids.claim(given_id(row.get(id_column), id_column), place)
        numbered = [f"{id}.{number}" for number in range(1, len(pairs) + 1)]
        names = [id] if len(pairs) == 1 else [ids.claim(name, place) for name in numbered]
    return [
        replace(pair, prompt=replace(pair.prompt, id=name))
        for pair, name in zip(pairs, names, strict=True)
    ]


def _by_label(counts: Mapping[tuple[int, Label | None], int]) -> dict[Label | None, int]:
    labels: Counter[Label | None] = Counter()
    for (_, label), count in counts.items():
        labels[label] += count
    return {label: count for label, count in labels.items() if count}


def _hash(pair: Pair) -> str:
    about = (pair.label or "", repr(pair.label_confidence), pair.model_a, pair.model_b)
    tags = (text for name in sorted(pair.tags) for text in (name, pair.tags[name]))
    return content_hash(pair.prompt.id, *pair.texts, *about, *tags)
