"""Figures as text in tables: a dash stands for what has no figure."""

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cai.cli.console import printable
from cai.evaluation.bootstrap import Estimate

NONE = "–"


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
