"""Tables for terminals of 80 columns, and text of files and models made safe for a terminal.

A dash stands for a figure that is unknown. Figures themselves are written by
`cai.evaluation.format`; this file stays light, as every command imports it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

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
