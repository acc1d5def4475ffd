"""Rows of files mixed into others: how many of each, which of them, and in which order.

A file is read three times: once to check it, once for a hash of each row, and once for the rows
that were drawn. So a file may be larger than memory. Rows are drawn without replacement by a hash
of the seed and their content: the same whatever their order in the file, and those of a smaller
draw are among those of a larger one.

Example:
    (drawn,) = draw(Mixing.of(["helpful.jsonl:weight=0.3"]), "sft", own_keys, len(own), refusal)
    print(drawn.outcome.describe())     # helpful.jsonl: 4100 rows, 30 % of the mix
    others = [(drawn.outcome.n, drawn.rows())]
    rows = list(interleave(own, len(own), others))
"""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from cai.errors import SourceError
from cai.export.data_files import CheckedDataFile, FileRow, Kind
from cai.export.dedup import distinct, unit_key
from cai.export.mix_spec import Mix, Mixing
from cai.export.rows import Unit
from cai.types import derive_seed

T = TypeVar("T")

Refusal = Callable[[FileRow], str | None]
"""Why a row is left out; None if it is not."""


@dataclass(frozen=True, slots=True)
class MixOutcome:
    """The rows drawn from one file."""

    mix: Mix
    n: int
    n_distinct: int  # how many rows could have been drawn
    share: float  # of all mixed rows
    requested: float | int | None  # a share or a number; None for all
    left_out: Mapping[str, int]

    @property
    def is_short(self) -> bool:
        """Whether the file has fewer rows than requested, so that all were drawn."""
        if self.requested is None or self.n < self.n_distinct:
            return False
        if isinstance(self.requested, int):
            return self.n < self.requested
        return self.share < self.requested - 1e-3  # a share of whole rows is never exact

    def describe(self) -> str:
        """Such as: helpful.jsonl: 4100 rows, 30 % of the mix (not taken: 12 tie)."""
        rows = "1 row" if self.n == 1 else f"{self.n} rows"
        text = f"{self.mix.file}: {rows}, {100 * self.share:.3g} % of the mix"
        if self.is_short and isinstance(self.requested, int):
            text += f" where {self.requested} were requested, as it has no more"
        elif self.is_short and self.requested:
            text += f" where {100 * self.requested:.3g} % was requested, as it has no more"
        return text + _reasons(self.left_out)

    def as_json(self) -> dict[str, object]:
        return {
            "file": self.mix.file,
            "rows": self.n,
            "distinct": self.n_distinct,
            "share": self.share,
            "asked": self.requested,
            "left_out": dict(self.left_out),
        }


@dataclass(frozen=True, slots=True)
class Drawn:
    """The rows of a file that were drawn, known by their contents."""

    source: CheckedDataFile
    keys: frozenset[int]
    outcome: MixOutcome

    def rows(self) -> Iterator[FileRow]:
        """The rows, each content once, in the file's order. Raises as `CheckedDataFile.rows`."""
        remaining = set(self.keys)
        for row in self.source.rows(Counter()):
            key = unit_key(row.unit)
            if key in remaining:
                remaining.remove(key)
                yield row


@dataclass(frozen=True, slots=True)
class _Available:
    """The rows that could be drawn from a file."""

    mix: Mix
    source: CheckedDataFile
    keys: Sequence[int]
    left_out: Mapping[str, int]

    @property
    def most(self) -> int:
        """How many rows are drawn where no share is requested."""
        return len(self.keys) if self.mix.count is None else min(self.mix.count, len(self.keys))


def draw(
    mixing: Mixing, kind: Kind, own: Collection[int], n_own: int, refusal: Refusal
) -> list[Drawn]:
    """The rows to mix into `n_own` rows with the keys `own`, none of which is drawn again.

    Raises:
        UsageError: As `Mixing.check`.
        SourceError: A file cannot be read, or none of its rows can be used.
    """
    mixing.check(kind)
    taken = set(own)
    files: list[_Available] = []
    for mix in mixing.mixes:
        source = mix.data_file(kind, skip_bad_rows=mixing.skip_bad_rows).check()
        left_out = Counter[str](source.summary.bad_kinds)
        units = _accepted(source.rows(left_out), refusal, left_out)
        keys = distinct(units, taken, left_out)
        if not keys:
            raise SourceError(
                f"{mix.file}: no row is left to mix in{_reasons(left_out)}. Leave the file out, or "
                "name another."
            )
        taken.update(keys)
        files.append(_Available(mix, source, keys, +left_out))
    sizes = _sizes(files, kind, n_own)
    drawn: list[Drawn] = []
    for file, size in zip(files, sizes, strict=True):
        mix = file.mix
        keys = heapq.nsmallest(
            size, file.keys, key=lambda key: derive_seed("mix", mixing.seed, key)
        )
        outcome = MixOutcome(
            mix,
            size,
            n_distinct=len(file.keys),
            share=size / (n_own + sum(sizes)),
            requested=mix.share(kind) if mix.count is None else mix.count,
            left_out=file.left_out,
        )
        drawn.append(Drawn(file.source, frozenset(keys), outcome))
    return drawn


def _accepted(rows: Iterator[FileRow], refusal: Refusal, left_out: Counter[str]) -> Iterator[Unit]:
    for row in rows:
        reason = refusal(row)
        if reason is None:
            yield row.unit
        else:
            left_out[reason] += 1


def _sizes(files: Sequence[_Available], kind: Kind, n_own: int) -> list[int]:
    """How many rows of each; of a file that has too few for its share, all."""
    shares = {i: file.mix.share(kind) for i, file in enumerate(files)}
    open_shares = {i: share for i, share in shares.items() if share is not None}
    sizes = [0 if i in open_shares else file.most for i, file in enumerate(files)]
    while True:
        # With x of all rows from shares, the rows of known number are the other 1 − x. A file that
        # is too small becomes one of known number, which changes the total, so this is repeated.
        total = (n_own + sum(sizes)) / (1 - sum(open_shares.values()))
        wanted = {i: max(1, round(share * total)) for i, share in open_shares.items()}
        short = [i for i, n in wanted.items() if n > len(files[i].keys)]
        if not short:
            return [wanted.get(i, size) for i, size in enumerate(sizes)]
        for i in short:
            sizes[i] = len(files[i].keys)
            del open_shares[i]


def interleave(
    own: Iterable[T], n_own: int, others: Sequence[tuple[int, Iterator[T]]]
) -> Iterator[T]:
    """The own rows in their order, with the others, each given with its number, spread evenly."""
    # So each kind is near the top of a file: readers of JSON infer the types of columns there.
    n_given = [0] * len(others)
    for place, row in enumerate(own, 1):
        yield row
        for i, (n, rows) in enumerate(others):
            while n_given[i] < n and n_given[i] * n_own < place * n:
                n_given[i] += 1
                yield from islice(rows, 1)
    for _, rows in others:
        yield from rows


def _reasons(left_out: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(left_out.items()))
    return f" (not taken: {reasons})" if reasons else ""
