"""Tables for terminals of 80 columns, and text of files and models made safe for a terminal.

Costs are shown by role: those that a run had, and those that a dry run estimates.

A dash stands for a figure that is unknown. Figures themselves are written by
`cai.evaluation.format`; this file stays light, as every command imports it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from typing import TypeAlias

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cai.engine.budget import Ledger
from cai.engine.progress import count, duration
from cai.runs.options import RunEstimate

# Control characters move the cursor or change colours, marks of direction reorder what is read, and
# lone surrogates cannot be written at all. Newline and tab stay.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


NONE = "–"
WIDTH = 80
_GAP = 2  # between columns

PolicyRow: TypeAlias = tuple[str, Sequence[str]]
"""What the figures are, and one of each policy."""


def printable(text: str) -> str:
    """The text with control characters and overrides of direction written as visible escapes."""

    def escape(match: re.Match[str]) -> str:
        code = ord(match.group())
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

    return _UNSAFE.sub(escape, text)


def named(text: str, style: str = "") -> Text:
    """A name out of data or a model, without markup and safe for a terminal."""
    # Text, not str: rich reads [brackets] in a str as markup, and names may have some.
    return Text(printable(text), style=style, overflow="fold")


def plain_table(first: str, *others: str) -> Table:
    """A table for 80 columns: names to the left, figures to the right."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, overflow="fold")
    # no_wrap: a number that is broken over two lines is read as two numbers.
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def policy_tables(names: Sequence[str], rows: Sequence[PolicyRow]) -> Iterator[Table]:
    """All rows for the first policies that fit beside each other, then for the next ones."""
    shown = [printable(name) for name in names]
    label_width = max((len(label) for label, _ in rows), default=0)
    widths = [max([len(name), *(len(cells[i]) for _, cells in rows)]) + _GAP
              for i, name in enumerate(shown)]  # fmt: skip
    start = 0
    while start < len(names):
        end = start + 1  # one policy always, even where its name alone is wider than the screen
        # As many policies as fit: a table that wraps cannot be compared down its columns.
        while end < len(names) and label_width + _GAP + sum(widths[start : end + 1]) <= WIDTH:
            end += 1
        table = plain_table("", *shown[start:end])
        for label, cells in rows:
            table.add_row(named(label), *cells[start:end])
        yield table
        start = end


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


def show_estimate(estimate: RunEstimate) -> None:
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
