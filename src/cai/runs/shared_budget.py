"""What the steps of an evaluation took, and what they leave of the caps."""

from dataclasses import dataclass, field, replace
from typing import Any

from cai.engine.budget import Ledger
from cai.runs.job import Outcome
from cai.runs.options import Estimate, RunOptions


@dataclass(frozen=True, slots=True)
class Foretold:
    """What a step of an evaluation will take in all."""

    step: str
    estimate: Estimate


@dataclass(slots=True)
class Accounts:
    """Calls and money so far; `run_options` has the caps that are left for the steps to come.

    `foretold` has a step for each that was asked about a sample alone.
    """

    run_options: RunOptions
    n_calls: int = 0
    n_failed: int = 0
    cost_usd: float | None = 0.0
    foretold: list[Foretold] = field(default_factory=list[Foretold])

    def add(self, outcome: Outcome[Any], step: str = "") -> None:
        """Takes in a step; the cost is unknown once that of one is."""
        self.n_failed += outcome.counts.failed
        self.enter(outcome.ledger)
        if outcome.estimate is not None:
            self.foretold.append(Foretold(step, outcome.estimate))

    def enter(self, ledger: Ledger) -> None:
        """Takes in what a run took."""
        self.n_calls += ledger.n_calls
        # One unknown price makes the sum unknown: a partial sum would look like the whole cost.
        cost = ledger.cost_usd
        self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost
        self.run_options = replace(self.run_options, caps=self.run_options.caps.after(ledger))
