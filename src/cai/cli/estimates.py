"""Figures with their intervals, as text in tables."""

from cai.cli.tables import NONE
from cai.evaluation.bootstrap import Estimate


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
