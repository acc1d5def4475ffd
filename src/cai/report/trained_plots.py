"""The curves of a training: what the trainer logged, and what was seen of the policy's texts."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cai.evaluation import format
from cai.report import charts
from cai.report.events import read_scalars
from cai.report.pieces import Plot
from cai.training.watching.metrics import METRICS

Series = Sequence[tuple[int, float]]

_ORDER = (
    *("reward", "kl", "kl_start", "length", "refusals", "evasive", "boilerplate", "empty"),
    *("cut_off", "entropy", "distinct_2", "self_similarity", "reward_length_correlation"),
)
_SHARES = {"refusals", "evasive", "boilerplate", "empty", "cut_off", "distinct_2"}
_LOGGED = (("train/loss", "Loss"), ("eval/loss", "Loss on rows held out"))
_MOST_POINTS = 300


def trained_plots(
    folder: Path, watched: Mapping[str, Series], limits: Mapping[str, float]
) -> Iterator[Plot]:
    """The loss, and a curve for each metric that ever changed, with its limit where broken."""
    logged = read_scalars(folder / "logs")
    for tag, title in _LOGGED:
        if len(logged.get(tag, ())) > 1:
            yield _curve(title, title.lower(), logged[tag], None)
    for metric in _ORDER:
        if len({value for _, value in watched.get(metric, ())}) > 1:
            limit = limits.get(metric)
            yield _curve(_title(metric), METRICS[metric], watched[metric], limit, metric in _SHARES)


def _title(metric: str) -> str:
    return metric.replace("_", " ").capitalize() if metric != "kl" else "KL from the reference"


def _curve(
    title: str, what: str, series: Series, limit: float | None, is_share: bool = False
) -> Plot:
    shown = format.percent if is_share else format.number
    (first, begins), (last, ends) = series[0], series[-1]
    limited = "" if limit is None else f", limit {shown(limit)}"
    words = f"{what}: {shown(begins)} at step {first}, {shown(ends)} at step {last}{limited}"
    levels = [] if limit is None else [("limit", limit)]
    axis = charts.Axis("share" if is_share else "", None, levels)
    points = [charts.Point(value, place=step) for step, value in _thinned(series)]
    return charts.lines(title, words, axis, "step", [charts.Line(title, points)])


def _thinned(series: Series) -> Series:
    """At most some 300 points, the last among them."""
    every = max(1, len(series) // _MOST_POINTS)
    return [*series[:-1:every], series[-1]]
