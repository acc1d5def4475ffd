"""Tables for 80 columns: a dash stands for what has no figure."""

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cai.cli.console import printable

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
