"""Tables for 80 columns: a dash stands for what has no figure.

Text of files and models made safe for a terminal.

A row a figure and a column a policy, in as many tables as eighty columns take.

Figures with their intervals, as text in tables.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cai.evaluation.stats.bootstrap import Estimate

# Control characters move the cursor or change colours, marks of direction reorder what is read, and
# lone surrogates cannot be written at all. Newline and tab stay.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """The text with control characters and overrides of direction written as visible escapes."""
    return _UNSAFE.sub(lambda match: _escape(ord(match.group())), text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


NONE = "–"


def named(text: str, style: str = "") -> Text:
    """A name out of data or a model, without markup and safe for a terminal."""
    return Text(printable(text), style=style, overflow="fold")


def plain_table(first: str, *others: str) -> Table:
    """A table for 80 columns: names to the left, figures to the right."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


WIDTH = 80
_GAP = 2  # between columns

Row: TypeAlias = tuple[str, Sequence[str]]
"""What the figures are, and one of each policy."""


def policy_tables(names: Sequence[str], rows: Sequence[Row]) -> Iterator[Table]:
    """All rows for the first policies that fit beside each other, then for the next ones."""
    shown = [printable(name) for name in names]
    label = max((len(said) for said, _ in rows), default=0)
    widths = [max([len(name), *(len(cells[i]) for _, cells in rows)]) + _GAP
              for i, name in enumerate(shown)]  # fmt: skip
    start = 0
    while start < len(names):
        end = start + 1
        while end < len(names) and label + _GAP + sum(widths[start : end + 1]) <= WIDTH:
            end += 1
        table = plain_table("", *shown[start:end])
        for said, cells in rows:
            table.add_row(named(said), *cells[start:end])
        yield table
        start = end


def percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.1%}"


def decimal(value: float | None, places: int = 3) -> str:
    return NONE if value is None else f"{value:.{places}f}"


def percent_interval(estimate: Estimate | None) -> str:
    """The bounds in percent, "71.2–80.0"."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return NONE
    return f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}"


def share(estimate: Estimate | None) -> str:
    """A share with its interval, "75.5% (71.2–80.0)"."""
    if estimate is None:
        return NONE
    bounds = percent_interval(estimate)
    return percent(estimate.value) + (f" ({bounds})" if bounds != NONE else "")


def kappa(estimate: Estimate | None) -> str:
    """Kappa with its interval, "0.51 (0.42–0.60)"."""
    if estimate is None:
        return NONE
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} ({estimate.low:.2f}–{estimate.high:.2f})"


def brief_share(estimate: Estimate | None) -> str:
    """A share with its interval in whole points, "64.2% (58–70)"."""
    if estimate is None:
        return NONE
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.1%}"
    return f"{estimate.value:.1%} ({100 * estimate.low:.0f}–{100 * estimate.high:.0f})"
