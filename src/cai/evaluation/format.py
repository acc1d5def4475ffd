"""Figures as text: shares in percent, numbers to three digits, intervals, money and counts.

Reports and tables of the command line format figures through this module alone.

Example:
    >>> percent(0.7549), number(1234.5), plural(2, "prompt")
    ('75.5%', '1,234', '2 prompts')
"""

from collections.abc import Callable, Iterable

from cai.engine.progress import count
from cai.evaluation.stats.bootstrap import Estimate

# An unknown figure.
NONE = "–"


def percent(value: float | None) -> str:
    return NONE if value is None or value != value else f"{value:.1%}"


def number(value: float | None) -> str:
    """Three digits: 0.0123, 4.56, 1,230."""
    if value is None or value != value:
        return NONE
    if value == 0:
        return "0"
    # "g" would write an exponent from 1000 on
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def decimal(value: float | None, places: int = 3) -> str:
    return NONE if value is None else f"{value:.{places}f}"


def money(usd: float | None) -> str:
    if usd is None:
        return NONE
    # most calls cost less than a cent
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"


def counted(n: int | None) -> str:
    return NONE if n is None else count(n)


def plural(n: int, one: str, many: str = "") -> str:
    """The number with its noun: "1 prompt", "2,000 prompts"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def listed(words: Iterable[str]) -> str:
    """The words with commas, and an "and" before the last."""
    found = list(words)
    if len(found) < 2:
        return "".join(found)
    return f"{', '.join(found[:-1])} and {found[-1]}"


def bounds(estimate: Estimate | None) -> str:
    """The interval of a share in percent, "71.2–80.0"; "" without one."""
    return _interval(estimate, lambda low, high: f"{100 * low:.1f}–{100 * high:.1f}")


def percent_interval(estimate: Estimate | None) -> str:
    """As `bounds`, a dash without an interval."""
    return bounds(estimate) or NONE


def plain_bounds(estimate: Estimate | None) -> str:
    """The interval of a figure that is not a share; "" without one."""
    return _interval(estimate, lambda low, high: f"{number(low)} to {number(high)}")


def share(estimate: Estimate | None) -> str:
    """A share with its interval, "75.5% (71.2–80.0)"."""
    return _with_interval(percent(estimate and estimate.value), bounds(estimate))


def brief_share(estimate: Estimate | None) -> str:
    """A share with its interval in whole points, "64.2% (58–70)"."""
    interval = _interval(estimate, lambda low, high: f"{100 * low:.0f}–{100 * high:.0f}")
    return _with_interval(percent(estimate and estimate.value), interval)


def value(estimate: Estimate | None) -> str:
    """A figure that is not a share, with its interval."""
    return _with_interval(number(estimate and estimate.value), plain_bounds(estimate))


def kappa(estimate: Estimate | None) -> str:
    """Kappa with its interval, "0.51 (0.42–0.60)"."""
    interval = _interval(estimate, lambda low, high: f"{low:.2f}–{high:.2f}")
    return _with_interval(decimal(estimate and estimate.value, 2), interval)


def rating_interval(low: float | None, high: float | None) -> str:
    """The interval of a rating, "+12 to +70"; an open one says so; "" without any end."""
    if low is None or high is None:
        upward = "" if low is None else f"from {low:+.0f}, no upper end"
        return upward if high is None else f"no lower end, up to {high:+.0f}"
    return f"{low:+.0f} to {high:+.0f}"


def rating_cells(value: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    """A rating in points of Elo and its interval: "+41", "+12 to +70"."""
    return NONE if value is None else f"{value:+.0f}", rating_interval(low, high) or NONE


def _interval(estimate: Estimate | None, text: Callable[[float, float], str]) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return text(estimate.low, estimate.high)


def _with_interval(figure: str, interval: str) -> str:
    return f"{figure} ({interval})" if interval else figure
