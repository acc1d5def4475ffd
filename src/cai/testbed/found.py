"""What is found of policies against the truth of the testbed, as `truth.json` keeps it."""

from dataclasses import dataclass

from cai.testbed.measure import Rates

FILE = "truth.json"


@dataclass(frozen=True, slots=True)
class PolicyTruth:
    """A policy's rates on requests that no training has seen, one response to each."""

    name: str
    model: str
    rates: Rates


@dataclass(frozen=True, slots=True)
class TruthFound:
    """Policies in the order in which they were trained, on the same requests."""

    policies: tuple[PolicyTruth, ...]
