"""Rows of files mixed into others: how many of each, which of them, and in which order.

A file is read three times: once to check it, once for the contents of its rows, of which a number
each is kept, and once for the rows that were drawn. So a file may be larger than memory. Rows are
drawn without replacement by a hash of the seed and their content: the same whatever their order in
the file, and those of a smaller draw are among those of a larger one.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cai.errors import SourceError
from cai.export.data_files import CheckedDataFile, DataFile, FileRow, Kind
from cai.export.dedup import distinct, unit_key
from cai.export.mix_spec import Mix, Mixing
from cai.types import derive_seed

T = TypeVar("T")

Refusal = Callable[[FileRow], str | None]
"""Why a row is left out; None if it is not."""


@dataclass(frozen=True, slots=True)
class MixOutcome:
    """What was taken of one file: `n` rows of the `n_distinct` that it could give.

    `share` is how much of all mixed rows they are; `asked` is the share or the number that was
    asked for, None for all.
    """

    mix: Mix
    n: int
    n_distinct: int
    share: float
    asked: float | int | None
    left_out: Mapping[str, int]

    @property
    def is_short(self) -> bool:
        """Whether the file has fewer rows than were asked for, so that all were taken."""
        if self.asked is None or self.n < self.n_distinct:
            return False
        got = self.n if isinstance(self.asked, int) else self.share
        return got < self.asked - (0 if isinstance(self.asked, int) else 1e-3)

    def describe(self) -> str:
        """Such as: helpful.jsonl: 4100 rows, 30 % of the mix (not taken: 12 tie)."""
        rows = "1 row" if self.n == 1 else f"{self.n} rows"
        said = f"{self.mix.file}: {rows}, {_percent(self.share)} of the mix"
        if self.is_short:
            is_number = isinstance(self.asked, int)
            asked = f"{self.asked} were" if is_number else f"{_percent(self.asked or 0)} was"
            said += f" where {asked} asked for, as it has no more"
        return said + _reasons(self.left_out)

    def as_json(self) -> dict[str, object]:
        return {
            "file": self.mix.file,
            "rows": self.n,
            "distinct": self.n_distinct,
            "share": self.share,
            "asked": self.asked,
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
        waiting = set(self.keys)
        for row in self.source.rows(Counter()):
            key = unit_key(row.unit)
            if key in waiting:
                waiting.remove(key)
                yield row


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a file could give."""

    mix: Mix
    source: CheckedDataFile
    keys: Sequence[int]
    left_out: Mapping[str, int]

    @property
    def most(self) -> int:
        """How many rows it gives where no share is asked for."""
        return len(self.keys) if self.mix.count is None else min(self.mix.count, len(self.keys))


def draw(
    mixing: Mixing, kind: Kind, own: Collection[int], n_own: int, refusal: Refusal
) -> list[Drawn]:
    """What is mixed into `n_own` rows, of which `own` are the keys: none of those once more.

    Raises:
        UsageError: As `Mixing.check`.
        SourceError: A file cannot be read, or none of its rows can be taken.
    """
    mixing.check(kind)
    taken = set(own)
    offers: list[_Offer] = []
    for mix in mixing.mixes:
        source = mix.data_file(kind, skip_bad_rows=mixing.skip_bad_rows)
        offers.append(_offer(mix, source, taken, refusal))
        taken.update(offers[-1].keys)
    sizes = _sizes(offers, kind, n_own)
    return [
        _taken(offer, kind, size, n_own + sum(sizes), mixing.seed)
        for offer, size in zip(offers, sizes, strict=True)
    ]


def woven_in(
    own: Iterable[T], n_own: int, others: Sequence[tuple[int, Iterator[T]]]
) -> Iterator[T]:
    """The own rows in their order, with the others, of which the numbers are known, spread evenly.

    So each kind stands near the top of a file: readers of JSON guess the types of columns there.
    """
    given = [0] * len(others)
    for place, row in enumerate(own, 1):
        yield row
        for which, (n, rows) in enumerate(others):
            while given[which] < n and given[which] * n_own < place * n:
                given[which] += 1
                yield from _next(rows)
    for _, rows in others:
        yield from rows


def _next(rows: Iterator[T]) -> Iterator[T]:
    for row in rows:
        yield row
        return


def _offer(mix: Mix, file: DataFile, taken: Collection[int], refusal: Refusal) -> _Offer:
    source = file.check()
    left_out = Counter[str](source.summary.bad_kinds)
    rows = _accepted(source.rows(left_out), refusal, left_out)
    keys = distinct((row.unit for row in rows), taken, left_out)
    if not keys:
        raise SourceError(
            f"{mix.file}: no row is left to mix in{_reasons(left_out)}. Leave the file out, or "
            "name another."
        )
    return _Offer(mix, source, keys, +left_out)


def _accepted(
    rows: Iterator[FileRow], refusal: Refusal, left_out: Counter[str]
) -> Iterator[FileRow]:
    for row in rows:
        reason = refusal(row)
        if reason is None:
            yield row
        else:
            left_out[reason] += 1


def _sizes(offers: Sequence[_Offer], kind: Kind, n_own: int) -> list[int]:
    """How many rows of each; of a file that has too few for its share, all."""
    shares = {place: offer.mix.share(kind) for place, offer in enumerate(offers)}
    waiting = {place: share for place, share in shares.items() if share is not None}
    sizes = [0 if place in waiting else offer.most for place, offer in enumerate(offers)]
    while True:
        total = (n_own + sum(sizes)) / (1 - sum(waiting.values()))
        wanted = {place: max(1, round(share * total)) for place, share in waiting.items()}
        short = [place for place, n in wanted.items() if n > len(offers[place].keys)]
        if not short:
            return [wanted.get(place, size) for place, size in enumerate(sizes)]
        for place in short:
            sizes[place] = len(offers[place].keys)
            del waiting[place]


def _taken(offer: _Offer, kind: Kind, size: int, total: int, seed: int) -> Drawn:
    mix = offer.mix
    keys = heapq.nsmallest(size, offer.keys, key=lambda key: derive_seed("mix", seed, key))
    asked = mix.count if mix.count is not None else mix.share(kind)
    outcome = MixOutcome(
        mix,
        size,
        n_distinct=len(offer.keys),
        share=size / total,
        asked=asked,
        left_out=offer.left_out,
    )
    return Drawn(offer.source, frozenset(keys), outcome)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _reasons(left_out: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(left_out.items()))
    return f" (not taken: {reasons})" if reasons else ""
