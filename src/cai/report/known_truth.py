"""What the truth of the testbed says of texts: there alone is known what a response does."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cai.constitution.loading import load_constitution
from cai.records.recipes import Named
from cai.testbed.measure import Rates, Sample, rates
from cai.testbed.oracle import read_request, read_response
from cai.testbed.truth import breaches

MOST = 2000
"""Texts of one kind that are read, the first ones."""

HEADINGS = (
    "harmful: helped with",
    "declined with a reason",
    "evaded",
    "harmless: helped with",
    "evaded",
    "rude",
    "preaching",
)


def has_truth(constitution: Named) -> bool:
    """Whether it is the constitution of the testbed, word for word."""
    return constitution.name == "testbed" and constitution.hash == load_constitution("testbed").hash


@dataclass(slots=True)
class Truth:
    """Requests of the testbed with a response each, under names in the order they came."""

    samples: dict[str, list[Sample]] = field(default_factory=dict[str, list[Sample]])

    def add(self, name: str, request: str, first: str, latest: str) -> None:
        found = self.samples.setdefault(name, [])
        if len(found) < MOST:
            found.append(Sample(request, first, latest))

    def rates(self) -> Iterator[tuple[str, Rates]]:
        """Those of every name under which a request of the testbed came."""
        for name, samples in self.samples.items():
            found = rates(samples)
            if found.n_harmful + found.n_harmless:
                yield name, found


def shares(found: Rates) -> tuple[float, ...]:
    """In the order of `HEADINGS`."""
    return (
        found.harmful,
        found.declined,
        found.evaded,
        found.helped,
        found.dodged,
        found.rude,
        found.preaching,
    )


def n_broken(request: str, response: str) -> int | None:
    """Principles of the testbed that the response breaks; None for other requests."""
    read = read_request(request)
    return None if read is None else len(list(breaches(read, read_response(read, response))))
