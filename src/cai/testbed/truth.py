"""What the truth of the testbed adds to a report: policies, responses and verdicts against it.

Example:
    from cai.report.build import write_report

    write_report("demo", truth=OracleTruth())
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cai.constitution.loader import load_constitution
from cai.engine.run_folder import RunFolder
from cai.evaluation import format
from cai.evaluation.results_file import load_results
from cai.evaluation.stats.bootstrap import Estimate, unit_of
from cai.report import charts
from cai.report.estimates import FactShares
from cai.report.model import Caveat, Headline, Plot, Section, SectionCost, SectionTable
from cai.report.text import change_headline, modified_at, share_headline
from cai.report.truth import TrueVerdicts
from cai.runs.config import JudgeRunConfig, Named
from cai.runs.judged import composer_of, read_judged
from cai.testbed.judge_metrics import judged_figure
from cai.testbed.metrics import (
    FILE,
    OF_HARMFUL,
    OF_HARMLESS,
    PolicyTruth,
    RatedResponse,
    TruthResults,
    rates,
)
from cai.testbed.oracle import breaches, read_request, read_response
from cai.types import Prompt

_COLUMNS = {
    "harmful": "harmful: helped with",
    "declined": "declined with a reason",
    "evaded": "evaded",
    "unclear": "unclear",
    "helped": "harmless: helped with",
    "dodged": "evaded",
    "rude": "rude",
    "preaching": "preaching",
}
HEADINGS = tuple(_COLUMNS.values())
_UNCLEAR = (
    "Unclear are responses to harmful requests that do none of this or cannot be read, so that "
    "harm in them could not be seen. In brackets 95 % intervals."
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

    def part(self, path: Path) -> Section:
        """The section about the policies measured in that folder.

        Raises:
            EvaluationError: Its file is damaged, or of another version of cai.
        """
        policies = load_results(path / FILE, TruthResults).policies
        n, tables = 0, ()
        if policies:
            # All policies answered the same requests: the numbers are those of any of them.
            first = policies[0].rates
            n = first.n_harmful + first.n_harmless
            rows = tuple(_row(each.name, each.rates.estimate) for each in policies)
            kinds = f"{first.n_harmful:,} harmful and {first.n_harmless:,} harmless requests."
            note = f"{kinds} {_UNCLEAR}"
            title = "What each policy does"
            tables = (SectionTable(title, ("policy", *HEADINGS), rows, note),)
        names = format.listed(each.name for each in policies)
        return Section(
            title="Policies against the truth",
            done=(
                f"{names} gave a response each to {format.plural(n, 'request')} that no training "
                "has seen; on the testbed it is known what a response does."
            ),
            started=modified_at(path / FILE),
            weight=7,  # before all else: nothing in a report is as certain as the truth
            headlines=tuple(_headlines(policies)),
            caveats=tuple(_caveats(policies)),
            cost=SectionCost(cost_usd=0.0),
            tables=tables,
            plots=(_plot(policies),) if policies else (),
            has_truth=True,
        )

    def covers(self, constitution: Named) -> bool:
        """Whether it is the constitution of the testbed, word for word."""
        # Somebody's own version may have the same name and ids, and other principles under them.
        own = load_constitution("testbed")
        return constitution.name == "testbed" and constitution.hash == own.hash

    def n_broken(self, prompt: Prompt, response: str) -> int | None:
        request = read_request(prompt.request)
        return None if request is None else len(breaches(request, read_response(request, response)))

    def responses(self) -> "OracleResponses":
        return OracleResponses()

    def verdicts(self, run: RunFolder, recipe: JudgeRunConfig) -> TrueVerdicts | None:
        chosen = load_constitution("testbed").select(recipe.settings.tags)
        judged = (each for _, each in read_judged(run, composer_of([run])))
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
        if not found.n_harmful and not found.n_harmless:
            return
        kind = "harmful" if found.n_harmful else "helped"
        for name in (kind, "rude"):
            group = self.of(name)
            facts = {one: getattr(found, one) == 1 for one in _COLUMNS if self.of(one) is group}
            group.add(unit_of(prompt), facts)

    def of(self, name: str) -> FactShares:
        """The responses among which that share is taken."""
        if name in OF_HARMFUL:
            return self.harmful
        return self.harmless if name in OF_HARMLESS else self.every

    def estimate(self, name: str) -> Estimate | None:
        return self.of(name).estimate(name)


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
        rows = tuple(_row(name, each.estimate) for name, each in known.items())
        one = next(iter(known.values()))
        note = (
            "These requests are of the testbed, where it is known what a response does: "
            f"{len(one.harmful):,} responses to harmful requests and {len(one.harmless):,} to "
            f"harmless ones. {_UNCLEAR}"
        )
        return SectionTable("Against the truth", (first, *HEADINGS), rows, note)

    def headlines(self) -> Iterator[Headline]:
        for name, deeds in self._known().items():
            what = f"harmful requests that {name} helps with"
            yield from share_headline(deeds.estimate("harmful"), what)

    def changes(self, between: str) -> Iterator[Headline]:
        known = list(self._known().values())
        for name, what in (
            ("harmful", "harmful requests helped with"),
            ("helped", "harmless requests helped with"),
        ):
            if known:
                ends = [known[0].estimate(name), known[-1].estimate(name)]
                yield from change_headline(ends, f"{what}, {between}")

    def _known(self) -> dict[str, Deeds]:
        """Only the names with a response to a request of the testbed."""
        return {name: each for name, each in self.deeds.items() if len(each.every)}


def _headlines(policies: Sequence[PolicyTruth]) -> Iterator[Headline]:
    names = " → ".join(each.name for each in policies)
    for what, name in (
        ("harmful requests that a policy helps with", "harmful"),
        ("harmless requests that a policy helps with", "helped"),
    ):
        shares = [each.rates.estimate(name) for each in policies]
        yield from change_headline(shares, f"{what}, {names}", " each")


def _caveats(policies: Sequence[PolicyTruth]) -> Iterator[Caveat]:
    """What became worse from the first policy to the last, with intervals that do not overlap."""
    for name, is_worse_up, what in (
        ("harmful", True, "Harmful requests are helped with more than before"),
        ("helped", False, "Harmless requests are helped with less than before"),
    ):
        ends = [each.rates.estimate(name) for each in (*policies[:1], *policies[-1:])]
        # One policy is both the first and the last; without any there is no pair of ends.
        first, last = ends if len(ends) == 2 else (None, None)
        if not first or not last:
            continue
        low, high = (first, last) if is_worse_up else (last, first)
        if low.high is not None and high.low is not None and low.high < high.low:
            shares = f"{format.percent(first.value)} → {format.percent(last.value)}"
            yield Caveat(f"{what}: {shares}.", True)
    yield Caveat("The testbed is a small world: what is so here need not be so elsewhere.")


def _row(name: str, estimate: Callable[[str], Estimate | None]) -> tuple[str, ...]:
    """The cells under `HEADINGS`, after the name."""
    return (name, *(format.share(estimate(each)) for each in _COLUMNS))


def _plot(policies: Sequence[PolicyTruth]) -> Plot:
    few = policies[: len(charts.COLOURS)]
    rows = [
        (what, [charts.Point.of(share) for each in few if (share := each.rates.estimate(name))])
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
