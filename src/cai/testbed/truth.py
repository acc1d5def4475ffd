"""What the truth of the testbed adds to a report: policies, responses and verdicts against it.

On the testbed alone it is known, and not judged, what a response does.

Example:
    from cai.report.build import write_report

    write_report("demo", truth=OracleTruth())
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
from cai.report.examples import FactShares, share_of
from cai.report.model import Doubt, Headline, Plot, Section, SectionTable, Took
from cai.report.text import change_headline, share_headline
from cai.report.truth import TrueVerdicts
from cai.runs.config import JudgeRunConfig, Named
from cai.runs.records import read_done
from cai.testbed.judge_metrics import judged_figure
from cai.testbed.metrics import FILE, PolicyTruth, RatedResponse, Rates, TruthResults, rates
from cai.testbed.oracle import breaches, read_request, read_response
from cai.types import Prompt

HEADINGS = (
    *("harmful: helped with (95 %)", "declined with a reason", "evaded"),
    *("harmless: helped with (95 %)", "evaded", "rude", "preaching"),
)
_PLOTTED = (
    ("harmful: helped with", "harmful"),
    ("harmful: declined", "declined"),
    ("harmless: helped with", "helped"),
    ("rude", "rude"),
    ("preaching", "preaching"),
)


@dataclass(frozen=True, slots=True)
class OracleTruth:
    """The `cai.report.truth.Truth` of the testbed."""

    file: str = FILE

    def part(self, path: Path, shown: str) -> Section:
        """The section about the policies measured in that folder.

        Raises:
            EvaluationError: Its file is damaged, or of another version of cai.
        """
        policies = load_results(path / FILE, TruthResults).policies
        n = policies[0].rates.n_harmful + policies[0].rates.n_harmless if policies else 0
        names = format.listed(each.name for each in policies)
        return Section(
            title="Policies against the truth",
            path=shown,
            done=(
                f"{names} gave a response each to {format.plural(n, 'request')} that no training "
                "has seen; on the testbed it is known what a response does."
            ),
            # The file has no time of its own, so the measurement is dated by the file.
            began=datetime.fromtimestamp((path / FILE).stat().st_mtime, UTC).isoformat(
                timespec="seconds"
            ),
            weight=7,
            headlines=tuple(_headlines(policies)),
            doubts=tuple(_caveats(policies)),
            took=Took(cost_usd=0.0),
            tables=(_table(policies),) if policies else (),
            plots=(_plot(policies),) if policies else (),
            has_truth=True,
        )

    def covers(self, constitution: Named) -> bool:
        """Whether it is the constitution of the testbed, word for word."""
        own = load_constitution("testbed")
        return constitution.name == "testbed" and constitution.hash == own.hash

    def n_broken(self, prompt: Prompt, response: str) -> int | None:
        request = read_request(prompt.request)
        return None if request is None else len(breaches(request, read_response(request, response)))

    def responses(self) -> "OracleResponses":
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
            "On the testbed it is known which principles a response breaks: in "
            f"{found.n:,} matchups one response breaks fewer than the other."
        )
        return TrueVerdicts(
            Headline(format.percent(found.accuracy), what),
            SectionTable("The judge against the truth", ("", "figure"), rows, note),
        )


@dataclass(slots=True)
class Deeds:
    """What responses do to harmful requests, to harmless ones, and to all."""

    harmful: FactShares = field(default_factory=FactShares)
    harmless: FactShares = field(default_factory=FactShares)
    every: FactShares = field(default_factory=FactShares)

    def add(self, prompt: Prompt, response: str) -> None:
        """Requests that are not of the testbed are left out."""
        # The rates of one response are 0 or 1. Each fact is stored with its prompt, because several
        # responses to one prompt are not independent and the intervals resample whole prompts.
        found = rates([RatedResponse(prompt.request, response, response)])
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
            line = share_headline(deeds.harmful.estimate("harmful"), what)
            if line is not None:
                yield line

    def changes(self, between: str) -> Iterator[Headline]:
        known = list(self._known().values())
        for first, last in [(known[0], known[-1])] if known else []:
            ends = first.harmful.estimate("harmful"), last.harmful.estimate("harmful")
            yield from change_headline(*ends, f"harmful requests helped with, {between}")
            ends = first.harmless.estimate("helped"), last.harmless.estimate("helped")
            yield from change_headline(*ends, f"harmless requests helped with, {between}")

    def _known(self) -> dict[str, Deeds]:
        """Only the names with a response to a request of the testbed."""
        return {name: each for name, each in self.deeds.items() if len(each.every)}


def _headlines(policies: Sequence[PolicyTruth]) -> Iterator[Headline]:
    names = " → ".join(each.name for each in policies)
    for what, name in (
        ("harmful requests that a policy helps with", "harmful"),
        ("harmless requests that a policy helps with", "helped"),
    ):
        shares = [_estimate(each.rates, name) for each in policies]
        known = [share for share in shares if share is not None]
        if known and len(known) == len(shares):
            figure = " → ".join(format.percent(share.value) for share in known)
            interval = format.bounds(known[-1])
            n = f"n = {known[-1].n:,} each"
            yield Headline(figure, f"{what}, {names}, {n}", interval and f"{interval} %")


def _caveats(policies: Sequence[PolicyTruth]) -> Iterator[Doubt]:
    """What became worse from the first policy to the last, with intervals that do not overlap."""
    for name, is_worse_up, what in (
        ("harmful", True, "Harmful requests are helped with more than before"),
        ("helped", False, "Harmless requests are helped with less than before"),
    ):
        ends = [_estimate(each.rates, name) for each in (*policies[:1], *policies[-1:])]
        first, last = ends if len(ends) == 2 else (None, None)
        if not first or not last:
            continue
        low, high = (first, last) if is_worse_up else (last, first)
        if low.high is not None and high.low is not None and low.high < high.low:
            shares = f"{format.percent(first.value)} → {format.percent(last.value)}"
            yield Doubt(f"{what}: {shares}.", True)
    yield Doubt("The testbed is a small world: what is so here need not be so elsewhere.")


def _table(policies: Sequence[PolicyTruth]) -> SectionTable:
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
        for each in policies
    )
    one = policies[0].rates
    note = f"{one.n_harmful:,} harmful and {one.n_harmless:,} harmless requests."
    return SectionTable("What each policy does", ("policy", *HEADINGS), rows, note)


def _plot(policies: Sequence[PolicyTruth]) -> Plot:
    few = policies[: len(charts.COLOURS)]
    rows = [
        (what, [charts.Point.of(share) for each in few if (share := _estimate(each.rates, name))])
        for what, name in _PLOTTED
    ]
    words = "; ".join(
        f"{each.name}: "
        + ", ".join(
            f"{what} {format.percent(getattr(each.rates, name))}" for what, name in _PLOTTED
        )
        for each in few
    )
    axis = charts.Axis("share of responses", (-0.02, 1.02))  # a point at 0 or 1 stays whole
    return charts.forest("What each policy does", words, axis, rows, *[each.name for each in few])


def _estimate(found: Rates, name: str) -> Estimate | None:
    if name in ("harmful", "declined", "evaded"):
        n = found.n_harmful
    elif name in ("helped", "dodged"):
        n = found.n_harmless
    else:
        n = found.n_harmful + found.n_harmless
    return share_of(getattr(found, name), n)
