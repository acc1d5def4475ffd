"""What an evaluation of several runs has taken so far, and what is left of its caps.

Example:
    spending = Spending(RunOptions(caps=Caps(cost_usd=5)))
    result = await run_sampling(folder, job, spending.run_options, console=console)
    spending.add(result, "responses")
    print(spending.n_calls, spending.cost_usd, spending.run_options.caps)
"""

from dataclasses import dataclass, field, replace
from typing import Any

from cai.engine.budget import Ledger
from cai.runs.execution import RunResult
from cai.runs.options import RunEstimate, RunOptions


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """What a step of an evaluation will take in all."""

    step: str
    estimate: RunEstimate


@dataclass(slots=True)
class Spending:
    """Calls and money so far; `run_options` has the caps that are left for the steps to come.

    `step_estimates` has one for each step that ran on a sample alone.
    """

    run_options: RunOptions
    n_calls: int = 0
    n_failed: int = 0
    cost_usd: float | None = 0.0
    step_estimates: list[StepEstimate] = field(default_factory=list[StepEstimate])

    def add(self, result: RunResult[Any], step: str = "") -> None:
        """Adds the run of a step."""
        self.n_failed += result.counts.failed
        self.add_ledger(result.ledger)
        if result.estimate is not None:
            self.step_estimates.append(StepEstimate(step, result.estimate))

    def add_ledger(self, ledger: Ledger) -> None:
        """Adds the calls of a run; the cost is unknown once that of one run is."""
        self.n_calls += ledger.n_calls
        # One unknown price makes the sum unknown: a partial sum would look like the whole cost.
        cost = ledger.cost_usd
        self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost
        self.run_options = replace(self.run_options, caps=self.run_options.caps.after(ledger))
