"""What a run took, or will take, by role: calls, tokens, dollars."""

from collections.abc import Iterable

from rich.table import Table

from cai.cli.tables import NONE, named, plain_table
from cai.engine.budget import Ledger
from cai.engine.progress import count, duration
from cai.runs.options import Estimate

_Row = tuple[str, float, float, float, float | None]


def accounts_table(ledger: Ledger) -> Table:
    """A row for each role and model, and their sum."""
    rows = [
        (
            _who(role, model),
            account.n_calls,
            account.usage.prompt_tokens,
            account.usage.completion_tokens,
            ledger.cost_of(model, account),
        )
        for (role, model), account in sorted(ledger.accounts.items())
    ]
    return _table("what the run took", rows)


def estimate_table(estimate: Estimate) -> Table:
    """The same of a whole run as a sample foretells it."""
    rows = [
        (
            _who(each.role, each.model),
            each.n_calls,
            each.prompt_tokens,
            each.completion_tokens,
            each.cost_usd,
        )
        for each in estimate.roles
    ]
    table = _table("the whole run", rows)
    return table


def estimate_line(estimate: Estimate) -> str:
    """From how many examples it was reporting, how sure it is, and the time that is left."""
    if estimate.n_sample >= estimate.n_total:
        return f"all of {estimate.n_total:,} examples are done"
    sure = "" if estimate.uncertainty is None else f", give or take {estimate.uncertainty:.0%}"
    time = "" if estimate.seconds is None else f"; about {duration(estimate.seconds)} more"
    return f"{estimate.n_total:,} examples, as {estimate.n_sample:,} foretell them{sure}{time}"


def money(usd: float | None) -> str:
    """Dollars, small sums with more places; a dash where a price is not known."""
    if usd is None:
        return NONE
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"


def _who(role: str, model: str) -> str:
    return f"{role or 'call'}, {model}"


def _table(title: str, rows: Iterable[_Row]) -> Table:
    table = plain_table(title, "calls", "tokens in", "out", "cost")
    listed = list(rows)
    for who, *figures, cost in listed:
        table.add_row(named(who), *(count(round(each)) for each in figures), money(cost))
    if len(listed) > 1:
        sums = [sum(figures) for figures in zip(*(each[1:4] for each in listed), strict=True)]
        costs = [cost for *_, cost in listed]
        known = [cost for cost in costs if cost is not None]
        total = sum(known) if len(known) == len(costs) else None
        table.add_row("all", *(count(round(each)) for each in sums), money(total))
    return table
