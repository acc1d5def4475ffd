"""Calls, tokens and dollars by role: those that a run took, and those that a dry run estimates."""

from collections.abc import Iterable
from dataclasses import astuple

import click
from rich.console import Console
from rich.table import Table

from cai.cli.tables import NONE, named, plain_table
from cai.engine.budget import Ledger
from cai.engine.progress import count, duration
from cai.runs.options import Estimate


def accounts_table(ledger: Ledger) -> Table:
    """A row for each role and model, and their sum."""
    rows = (
        (
            role,
            model,
            account.n_calls,
            account.usage.prompt_tokens,
            account.usage.completion_tokens,
            ledger.cost_of(model, account),
        )
        for (role, model), account in sorted(ledger.accounts.items())
    )
    return _table("what the run took", rows)


def show_estimate(estimate: Estimate) -> None:
    """Prints the same of the whole run, as its dry run estimates it, and how sure that is."""
    # the fields of a role's estimate are the columns of the table, in this order
    Console().print(_table("the whole run", [astuple(each) for each in estimate.roles]))
    # A small source is done in the dry run itself, and there is nothing left to estimate.
    if estimate.n_sample >= estimate.n_total:
        click.echo(f"all of {estimate.n_total:,} examples are done")
        return
    sure = "" if estimate.uncertainty is None else f", ± {estimate.uncertainty:.0%}"
    time = "" if estimate.seconds is None else f"; about {duration(estimate.seconds)} more"
    click.echo(f"{estimate.n_total:,} examples, estimated from {estimate.n_sample:,}{sure}{time}")


def money(usd: float | None) -> str:
    """Dollars, small sums with more places; a dash where a price is not known."""
    # as in evaluation/format.py, which imports numpy: every command imports this file
    if usd is None:
        return NONE
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"


def _table(title: str, rows: Iterable[tuple[str, str, float, float, float, float | None]]) -> Table:
    table = plain_table(title, "calls", "tokens in", "out", "cost")
    listed = list(rows)
    for role, model, *figures, cost in listed:
        cells = (count(round(each)) for each in figures)
        table.add_row(named(f"{role or 'call'}, {model}"), *cells, money(cost))
    if len(listed) > 1:
        sums = [sum(figures) for figures in zip(*(each[2:5] for each in listed), strict=True)]
        costs = [cost for *_, cost in listed]
        known = [cost for cost in costs if cost is not None]
        # one unknown price makes the sum unknown: a partial sum would read as the whole
        total = sum(known) if len(known) == len(costs) else None
        table.add_row("all", *(count(round(each)) for each in sums), money(total))
    return table
