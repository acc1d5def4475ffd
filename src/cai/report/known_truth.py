"""What the truth of the testbed says of texts: there alone is known what a response does."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cai.constitution.loading import load_constitution
from cai.evaluation import format
from cai.evaluation.bootstrap import Estimate, unit_of
from cai.records.recipes import Named
from cai.report.counting import Shares
from cai.report.pieces import Headline, Table
from cai.testbed.measure import Sample, rates
from cai.testbed.oracle import read_request, read_response
from cai.testbed.truth import breaches
from cai.types import Prompt

HEADINGS = (
    *("harmful: helped with (95 %)", "declined with a reason", "evaded"),
    *("harmless: helped with (95 %)", "evaded", "rude", "preaching"),
)


def has_truth(constitution: Named) -> bool:
    """Whether it is the constitution of the testbed, word for word."""
    return constitution.name == "testbed" and constitution.hash == load_constitution("testbed").hash


def n_broken(request: str, response: str) -> int | None:
    """Principles of the testbed that the response breaks; None for other requests."""
    read = read_request(request)
    return None if read is None else len(breaches(read, read_response(read, response)))


@dataclass(slots=True)
class Deeds:
    """What responses do to harmful requests, to harmless ones, and to all."""

    harmful: Shares = field(default_factory=Shares)
    harmless: Shares = field(default_factory=Shares)
    every: Shares = field(default_factory=Shares)

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
class Truth:
    """Responses to requests of the testbed, under names in the order they came."""

    deeds: dict[str, Deeds] = field(default_factory=dict[str, Deeds])

    def add(self, name: str, prompt: Prompt, response: str) -> None:
        self.deeds.setdefault(name, Deeds()).add(prompt, response)

    def known(self) -> dict[str, Deeds]:
        """Those under whose names a request of the testbed came."""
        return {name: each for name, each in self.deeds.items() if len(each.every)}

    def table(self, first: str) -> Table | None:
        """A row a name; `first` heads the names."""
        found = self.known()
        if not found:
            return None
        rows = tuple((name, *each.cells()) for name, each in found.items())
        one = next(iter(found.values()))
        note = (
            "These requests are of the testbed, where it is known what a response does: "
            f"{len(one.harmful):,} responses to harmful requests and {len(one.harmless):,} to "
            "harmless ones."
        )
        return Table("Against the truth", (first, *HEADINGS), rows, note)


def moved(before: Estimate | None, after: Estimate | None, what: str) -> Iterator[Headline]:
    """A share before and after; the interval is that of the later one."""
    if before is not None and after is not None:
        figure = f"{format.percent(before.value)} → {format.percent(after.value)}"
        interval = format.bounds(after)
        yield Headline(figure, f"{what}, n = {after.n:,}", interval and f"{interval} %")
