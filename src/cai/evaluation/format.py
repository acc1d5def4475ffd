"""Figures as text: shares in percent, numbers to three digits, intervals, money and counts.

Reports, tables of the command line and pages write a figure in the same way through this module.

Example:
    >>> percent(0.7549), number(1234.5), plural(2, "prompt")
    ('75.5%', '1,234', '2 prompts')
"""

from collections.abc import Iterable

from cai.engine.progress import count
from cai.evaluation.stats.bootstrap import Estimate

NONE = "–"
"""Stands for a figure that is unknown."""


def percent(value: float | None) -> str:
    return NONE if value is None or value != value else f"{value:.1%}"


def number(value: float | None) -> str:
    """Three digits, without an exponent where a reader needs none: 0.0123, 4.56, 1,230."""
    if value is None or value != value:
        return NONE
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def bounds(estimate: Estimate | None) -> str:
    """The interval of a share, "71.2–80.0"; "" without one."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}"


def plain_bounds(estimate: Estimate | None) -> str:
    """The interval of a figure that is no share; "" without one."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{number(estimate.low)} to {number(estimate.high)}"


def share(estimate: Estimate | None) -> str:
    """A share with its interval, "75.5% (71.2–80.0)"."""
    if estimate is None:
        return NONE
    interval = bounds(estimate)
    return percent(estimate.value) + (f" ({interval})" if interval else "")


def value(estimate: Estimate | None) -> str:
    """A figure that is no share, with its interval."""
    if estimate is None:
        return NONE
    interval = plain_bounds(estimate)
    return number(estimate.value) + (f" ({interval})" if interval else "")


def listed(words: Iterable[str]) -> str:
    """The words with commas, and an "and" before the last."""
    found = list(words)
    if len(found) < 2:
        return "".join(found)
    return f"{', '.join(found[:-1])} and {found[-1]}"


def money(usd: float | None) -> str:
    if usd is None:
        return NONE
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"


def counted(n: int | None) -> str:
    return NONE if n is None else count(n)


def plural(n: int, one: str, many: str = "") -> str:
    """The number with its noun: "1 prompt", "2,000 prompts"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def decimal(value: float | None, places: int = 3) -> str:
    return NONE if value is None else f"{value:.{places}f}"


def percent_interval(estimate: Estimate | None) -> str:
    """The bounds in percent, "71.2–80.0"."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return NONE
    return f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}"


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
