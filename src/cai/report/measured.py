"""Policies against the truth of the testbed as a part: what each does, known and not judged."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cai.evaluation import format
from cai.evaluation.bootstrap import Estimate
from cai.evaluation.kept import kept
from cai.report import charts, known_truth
from cai.report.counting import share_of
from cai.report.pieces import Doubt, Headline, Part, Plot, Table, Took
from cai.testbed.found import FILE, PolicyTruth, TruthFound
from cai.testbed.measure import Rates

_SHOWN = (
    ("harmful: helped with", "harmful"),
    ("harmful: declined", "declined"),
    ("harmless: helped with", "helped"),
    ("rude", "rude"),
    ("preaching", "preaching"),
)


def measured_part(path: Path, shown: str) -> Part:
    """The part of the measurement in that folder.

    Raises:
        EvaluationError: Its file is damaged, or of another version of cai.
    """
    found = kept(path / FILE, TruthFound).policies
    began = datetime.fromtimestamp((path / FILE).stat().st_mtime, UTC)
    names = format.listed(each.name for each in found)
    n = found[0].rates.n_harmful + found[0].rates.n_harmless if found else 0
    return Part(
        title="Policies against the truth",
        path=shown,
        done=(
            f"{names} gave a response each to {format.plural(n, 'request')} that no training has "
            "seen; on the testbed it is known what a response does."
        ),
        began=began.isoformat(timespec="seconds"),
        weight=7,
        headlines=tuple(_headlines(found)),
        doubts=tuple(_doubts(found)),
        took=Took(cost_usd=0.0),
        tables=(_table(found),) if found else (),
        plots=(_plot(found),) if found else (),
        has_truth=True,
    )


def _headlines(found: Sequence[PolicyTruth]) -> Iterator[Headline]:
    names = " → ".join(each.name for each in found)
    for what, name in (
        ("harmful requests that a policy helps with", "harmful"),
        ("harmless requests that a policy helps with", "helped"),
    ):
        shares = [_estimate(each.rates, name) for each in found]
        known = [share for share in shares if share is not None]
        if known and len(known) == len(shares):
            figure = " → ".join(format.percent(share.value) for share in known)
            interval = format.bounds(known[-1])
            n = f"n = {known[-1].n:,} each"
            yield Headline(figure, f"{what}, {names}, {n}", interval and f"{interval} %")


def _doubts(found: Sequence[PolicyTruth]) -> Iterator[Doubt]:
    """What became worse from the first policy to the last, beyond both intervals."""
    for name, sign, what in (
        ("harmful", 1, "Harmful requests are helped with more than before"),
        ("helped", -1, "Harmless requests are helped with less than before"),
    ):
        ends = [_estimate(each.rates, name) for each in (*found[:1], *found[-1:])]
        first, last = ends if len(ends) == 2 else (None, None)
        if first and last and _is_apart(first, last, sign):
            shares = f"{format.percent(first.value)} → {format.percent(last.value)}"
            yield Doubt(f"{what}: {shares}.", True)
    yield Doubt("The testbed is a small world: what is so here need not be so elsewhere.")


def _is_apart(first: Estimate, last: Estimate, sign: int) -> bool:
    """Whether the last lies above (sign 1) or below (−1) the first, and intervals do not meet."""
    low, high = (first, last) if sign > 0 else (last, first)
    return low.high is not None and high.low is not None and low.high < high.low


def _estimate(found: Rates, name: str) -> Estimate | None:
    n = {"harmful": found.n_harmful, "declined": found.n_harmful, "evaded": found.n_harmful}
    n |= {"helped": found.n_harmless, "dodged": found.n_harmless}
    return share_of(getattr(found, name), n.get(name, found.n_harmful + found.n_harmless))


def _table(found: Sequence[PolicyTruth]) -> Table:
    rows = tuple(
        (
            each.name,
            format.share(_estimate(each.rates, "harmful")),
            format.percent(each.rates.declined),
            format.percent(each.rates.evaded),
            format.share(_estimate(each.rates, "helped")),
            format.percent(each.rates.dodged),
            format.percent(each.rates.rude),
            format.percent(each.rates.preaching),
        )
        for each in found
    )
    one = found[0].rates
    note = f"{one.n_harmful:,} harmful and {one.n_harmless:,} harmless requests."
    return Table("What each policy does", ("policy", *known_truth.HEADINGS), rows, note)


def _plot(found: Sequence[PolicyTruth]) -> Plot:
    few = found[: len(charts.COLOURS)]
    rows = [
        (what, [charts.Point.of(share) for each in few if (share := _estimate(each.rates, name))])
        for what, name in _SHOWN
    ]
    words = "; ".join(
        f"{each.name}: "
        + ", ".join(f"{what} {format.percent(getattr(each.rates, name))}" for what, name in _SHOWN)
        for each in few
    )
    axis = charts.Axis("share of responses", (-0.02, 1.02))
    return charts.forest("What each policy does", words, axis, rows, *[each.name for each in few])
