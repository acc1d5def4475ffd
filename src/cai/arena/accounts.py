"""What the steps of an evaluation took, and what they leave of the caps."""

from dataclasses import dataclass, replace
from typing import Any

from cai.jobs.pace import Pace
from cai.jobs.running import Outcome


@dataclass(slots=True)
class Accounts:
    """Calls and money so far; `pace` has the caps that are left for the steps to come."""

    pace: Pace
    n_calls: int = 0
    n_failed: int = 0
    cost_usd: float | None = 0.0

    def add(self, outcome: Outcome[Any]) -> None:
        """Takes in a step; the cost is unknown once that of one is."""
        self.n_calls += outcome.ledger.n_calls
        self.n_failed += outcome.counts.failed
        cost = outcome.ledger.cost_usd
        self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost
        self.pace = replace(self.pace, caps=self.pace.caps.after(outcome.ledger))
