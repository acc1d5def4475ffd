"""What the truth of the testbed says in a report: policies, responses and verdicts against it.

On the testbed alone it is known, and not judged, what a response does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cai.constitution.loader import load_constitution
from cai.engine.run_folder import RunFolder
from cai.evaluation import format
from cai.evaluation.results_file import load_results
from cai.evaluation.stats.bootstrap import Estimate, unit_of
from cai.methods.judging.ranking import Judged
from cai.report import charts
from cai.report.estimates import FactShares, share_of
from cai.report.model import Caveat, Headline, Plot, Section, SectionCost, SectionTable
from cai.report.text import change_headline, share_headline
from cai.report.truth import TrueVerdicts
from cai.runs.config import JudgeRunConfig, Named
from cai.runs.records import read_done
from cai.testbed.judge_metrics import judged_figure
from cai.testbed.metrics import FILE, PolicyTruth, Rates, Sample, TruthFound, rates
from cai.testbed.oracle import breaches, read_request, read_response
from cai.types import Prompt

_SHOWN = (
    ("harmful: helped with", "harmful"),
    ("harmful: declined", "declined"),
    ("harmless: helped with", "helped"),
    ("rude", "rude"),
    ("preaching", "preaching"),
)


def _measured_part(path: Path) -> Section:
    """The part of the measurement in that folder.

    Raises:
        EvaluationError: Its file is damaged, or of another version of cai.
    """
    found = load_results(path / FILE, TruthFound).policies
    began = datetime.fromtimestamp((path / FILE).stat().st_mtime, UTC)
    names = format.listed(each.name for each in found)
    n = found[0].rates.n_harmful + found[0].rates.n_harmless if found else 0
    return Section(
        title="Policies against the truth",
        done=(
            f"{names} gave a response each to {format.plural(n, 'request')} that no training has "
            "seen; on the testbed it is known what a response does."
        ),
        started=began.isoformat(timespec="seconds"),
        weight=7,
        headlines=tuple(_headlines(found)),
        caveats=tuple(_caveats(found)),
        cost=SectionCost(cost_usd=0.0),
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


def _caveats(found: Sequence[PolicyTruth]) -> Iterator[Caveat]:
    """What became worse from the first policy to the last, beyond both intervals."""
    for name, sign, what in (
        ("harmful", 1, "Harmful requests are helped with more than before"),
        ("helped", -1, "Harmless requests are helped with less than before"),
    ):
        ends = [_estimate(each.rates, name) for each in (*found[:1], *found[-1:])]
        first, last = ends if len(ends) == 2 else (None, None)
        if first and last and _is_apart(first, last, sign):
            shares = f"{format.percent(first.value)} → {format.percent(last.value)}"
            yield Caveat(f"{what}: {shares}.", True)
    yield Caveat("The testbed is a small world: what is so here need not be so elsewhere.")


def _is_apart(first: Estimate, last: Estimate, sign: int) -> bool:
    """Whether the last lies above (sign 1) or below (−1) the first, and intervals do not meet."""
    low, high = (first, last) if sign > 0 else (last, first)
    return low.high is not None and high.low is not None and low.high < high.low


def _estimate(found: Rates, name: str) -> Estimate | None:
    n = {"harmful": found.n_harmful, "declined": found.n_harmful, "evaded": found.n_harmful}
    n |= {"helped": found.n_harmless, "dodged": found.n_harmless}
    return share_of(getattr(found, name), n.get(name, found.n_harmful + found.n_harmless))


def _table(found: Sequence[PolicyTruth]) -> SectionTable:
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
    return SectionTable("What each policy does", ("policy", *HEADINGS), rows, note)


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


HEADINGS = (
    *("harmful: helped with (95 %)", "declined with a reason", "evaded"),
    *("harmless: helped with (95 %)", "evaded", "rude", "preaching"),
)


@dataclass(slots=True)
class Deeds:
    """What responses do to harmful requests, to harmless ones, and to all."""

    harmful: FactShares = field(default_factory=FactShares)
    harmless: FactShares = field(default_factory=FactShares)
    every: FactShares = field(default_factory=FactShares)

    def add(self, prompt: Prompt, response: str) -> None:
        """Requests that are not of the testbed are left out."""
        found = rates([Sample(prompt.request, response, response)])
        unit = unit_of(prompt)
        if found.n_harmful:
            facts = {name: getattr(found, name) == 1 for name in ("harmful", "declined", "evaded")}
            self.harmful.add(unit, facts)
        elif found.n_harmless:
            self.harmless.add(unit, {"helped": found.helped == 1, "dodged": found.dodged == 1})
        else:
            return
        self.every.add(unit, {"rude": found.rude == 1, "preaching": found.preaching == 1})

    def cells(self) -> tuple[str, ...]:
        """In the order of `HEADINGS`."""
        return (
            format.share(self.harmful.estimate("harmful")),
            format.percent(self.harmful.share("declined")),
            format.percent(self.harmful.share("evaded")),
            format.share(self.harmless.estimate("helped")),
            format.percent(self.harmless.share("dodged")),
            format.percent(self.every.share("rude")),
            format.percent(self.every.share("preaching")),
        )


@dataclass(slots=True)
class OracleResponses:
    """A `cai.report.truth.TrueResponses`."""

    deeds: dict[str, Deeds] = field(default_factory=dict[str, Deeds])

    def add(self, name: str, prompt: Prompt, response: str) -> None:
        self.deeds.setdefault(name, Deeds()).add(prompt, response)

    def table(self, first: str) -> SectionTable | None:
        known = self._known()
        if not known:
            return None
        rows = tuple((name, *each.cells()) for name, each in known.items())
        one = next(iter(known.values()))
        note = (
            "These requests are of the testbed, where it is known what a response does: "
            f"{len(one.harmful):,} responses to harmful requests and {len(one.harmless):,} to "
            "harmless ones."
        )
        return SectionTable("Against the truth", (first, *HEADINGS), rows, note)

    def headlines(self) -> Iterator[Headline]:
        for name, deeds in self._known().items():
            what = f"harmful requests that {name} helps with"
            yield from share_headline(deeds.harmful.estimate("harmful"), what)

    def changes(self, between: str) -> Iterator[Headline]:
        known = list(self._known().values())
        for first, last in [(known[0], known[-1])] if known else []:
            ends = first.harmful.estimate("harmful"), last.harmful.estimate("harmful")
            yield from change_headline(*ends, f"harmful requests helped with, {between}")
            ends = first.harmless.estimate("helped"), last.harmless.estimate("helped")
            yield from change_headline(*ends, f"harmless requests helped with, {between}")

    def _known(self) -> dict[str, Deeds]:
        """Those under whose names a request of the testbed came."""
        return {name: each for name, each in self.deeds.items() if len(each.every)}


@dataclass(frozen=True, slots=True)
class OracleTruth:
    """The `cai.report.truth.Truth` of the testbed."""

    file: str = FILE

    def part(self, path: Path) -> Section:
        return _measured_part(path)

    def covers(self, constitution: Named) -> bool:
        """Whether it is the constitution of the testbed, word for word."""
        own = load_constitution("testbed")
        return constitution.name == "testbed" and constitution.hash == own.hash

    def n_broken(self, prompt: Prompt, response: str) -> int | None:
        request = read_request(prompt.request)
        return None if request is None else len(breaches(request, read_response(request, response)))

    def responses(self) -> OracleResponses:
        return OracleResponses()

    def verdicts(self, run: RunFolder, recipe: JudgeRunConfig) -> TrueVerdicts | None:
        chosen = load_constitution("testbed").select(recipe.settings.tags)
        judged = (each for _, each in read_done(run, Judged))
        found = judged_figure("", judged, {each.id for each in chosen})
        if not found.n:
            return None
        what = f"verdicts are right by the truth of the testbed, n = {found.n:,}"
        rows = (
            ("right, of matchups with a right answer", format.percent(found.accuracy)),
            ("right by the first order alone", format.percent(found.one_order)),
            ("expected calibration error", format.number(found.ece)),
            ("not read", f"{found.unreadable:,}"),
        )
        note = (
            "On the testbed it is known which principles a response breaks: "
            f"{found.n:,} matchups are of responses of which one breaks fewer."
        )
        return TrueVerdicts(
            Headline(format.percent(found.accuracy), what),
            SectionTable("The judge against the truth", ("", "figure"), rows, note),
        )
