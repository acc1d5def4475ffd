"""Plots as inline SVG: points with intervals, lines, bars, histograms, and calibration curves.

Matplotlib draws; text stays text, ids differ between pictures and are the same in every run, and
every colour becomes a variable of the page's style sheet, so that the page can be light or dark.
Long names are shortened in the picture; its text alternative and the table have them whole.

Example:
    rows = [("no-harm", [Point(0.8, 0.75, 0.85)]), ("stay-polite", [Point(0.9)])]
    axis = Axis("share of responses", (0, 1))
    forest("Adherence", "no-harm 80 %, stay-polite 90 %", axis, rows).svg  # '<svg viewBox=…'
"""

# pyright: reportUnknownMemberType=false
# matplotlib leaves some of its types open: what is unknown stays in this file

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cai.engine.progress import count
from cai.evaluation import format
from cai.evaluation.stats.bootstrap import Estimate
from cai.evaluation.stats.calibration import N_BINS, Bin
from cai.report.model import Plot
from cai.report.text import clean
from cai.types import content_hash

# No real colours: each stands in the SVG for a variable of the page, which replaces it.
INK, SOFT, GRID = "#010203", "#040506", "#070809"
COLOURS = ("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05")

_VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    GRID: "--rule",
    **{colour: f"--c{n}" for n, colour in enumerate(COLOURS, 1)},
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text, which can be searched and takes the font of the page
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "text.parse_math": False,  # a name may hold a dollar sign
}
_WIDTH_INCHES = 3.7

_LONGEST_NAME = 24


@dataclass(frozen=True, slots=True)
class Point:
    """A figure with its interval; `place` is its position on the other axis."""

    value: float
    low: float | None = None
    high: float | None = None
    place: float = 0.0

    @classmethod
    def of(cls, estimate: Estimate, place: float = 0.0) -> "Point":
        return cls(estimate.value, estimate.low, estimate.high, place)


@dataclass(frozen=True, slots=True)
class Line:
    """The points of a series in the order of their places."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Axis:
    """The label and limits of an axis; `levels` are (name, value) of lines drawn across it.

    `ticks` are (name, place), for a horizontal axis; without them they are numbers.
    """

    label: str
    span: tuple[float, float] | None = None
    levels: Sequence[tuple[str, float]] = ()
    ticks: Sequence[tuple[str, float]] = ()


def forest(
    title: str, words: str, axis: Axis, rows: Sequence[tuple[str, Sequence[Point]]], *names: str
) -> Plot:
    """Each row's figures on a horizontal line of its own, with intervals; `names` of the series."""

    def draw(axes: Axes) -> None:
        n_series = max((len(points) for _, points in rows), default=1)
        for series in range(n_series):
            # The points of a row are apart by 0.22 of its height, around its middle. The first row
            # is on top, though the axis counts upwards: places are counted from the last.
            shift = 0.22 * (series - (n_series - 1) / 2)
            shown = [(i, points) for i, (_, points) in enumerate(rows) if series < len(points)]
            axes.errorbar(
                [points[series].value for _, points in shown],
                [len(rows) - i - shift for i, _ in shown],
                xerr=_reaches([points[series] for _, points in shown]),
                fmt="os"[series % 2],
                markersize=5,
                elinewidth=1.6,
                color=COLOURS[series],
                label=names[series] if series < len(names) else None,
            )
        _set_rows(axes, [name for name, _ in rows])
        _set_axis(axes, axis, is_x=True)
        _legend(axes)

    height = 1.1 + 0.3 * len(rows) + (0.3 if names else 0)
    return plot(title, words, draw, min(height, 9.0))


def bars(title: str, what: str, axis: Axis, rows: Sequence[tuple[str, float]]) -> Plot:
    """A bar from zero for each row's share; `what` the shares are is said before their list."""

    def draw(axes: Axes) -> None:
        heights = range(len(rows), 0, -1)
        axes.barh(heights, [value for _, value in rows], height=0.62, color=COLOURS[0])
        _set_rows(axes, [name for name, _ in rows])
        _set_axis(axes, axis, is_x=True)

    words = ", ".join(f"{name} {format.percent(share)}" for name, share in rows)
    return plot(title, f"{what}: {words}", draw, min(0.9 + 0.27 * len(rows), 9.0))


def lines(
    title: str,
    words: str,
    axis: Axis,
    along: str,
    shown: Sequence[Line],
    marked: Sequence[Point] = (),
) -> Plot:
    """A line for each series over the places named by `along`, with intervals where known.

    The `marked` points have a ring around them: they are out of bounds.
    """

    def draw(axes: Axes) -> None:
        for i, line in enumerate(shown):
            axes.errorbar(
                [point.place for point in line.points],
                [point.value for point in line.points],
                yerr=_reaches(line.points),
                fmt="o-",
                markersize=3.5 if len(line.points) < 40 else 0,  # more would cover the line
                linewidth=1.6,
                elinewidth=1,
                color=COLOURS[i % len(COLOURS)],
                label=short(line.name),
            )
        axes.plot(
            [point.place for point in marked],
            [point.value for point in marked],
            "o",
            markersize=11,
            markerfacecolor="none",
            markeredgewidth=1.8,
            color=COLOURS[-1],
        )
        axes.margins(y=0.1)  # room for the rings, which do not count for the limits
        axes.set_xlabel(along)
        _set_axis(axes, axis, is_x=False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
        _legend(axes)

    return plot(title, words, draw, 2.7 if len(shown) > 1 else 2.2)


def scatter(title: str, words: str, axis: Axis, along: Axis, points: Sequence[Point]) -> Plot:
    """Points with intervals and no line, at their places on the other axis."""

    def draw(axes: Axes) -> None:
        places, values = [point.place for point in points], [point.value for point in points]
        reaches, colour = _reaches(points), COLOURS[0]
        axes.errorbar(
            places, values, yerr=reaches, fmt="o", markersize=5, elinewidth=1.4, color=colour
        )
        _set_axis(axes, along, is_x=True)
        _set_axis(axes, axis, is_x=False)

    return plot(title, words, draw, 2.4)


def histogram(
    title: str, words: str, label: str, edges: Sequence[float], counts: Sequence[int]
) -> Plot:
    """How many fall between each two edges."""

    def draw(axes: Axes) -> None:
        widths = [0.94 * (high - low) for low, high in pairwise(edges)]
        axes.bar(edges[:-1], counts, width=widths, align="edge", color=COLOURS[0])
        axes.grid(visible=False, axis="x")
        axes.set_xlabel(label)
        axes.set_ylabel("how many")

    return plot(title, words, draw, 2.3)


def calibration(title: str, words: str, curve: Sequence[Bin]) -> Plot:
    """What the judge says against what people say, and how many pairs each point has."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], "--", color=SOFT, linewidth=1)
        points = [Point(each.share_a, *each.bounds) for each in curve]
        axes.errorbar(
            [each.mean_p_a for each in curve],
            [each.share_a for each in curve],
            yerr=_reaches(points),
            fmt="o-",
            markersize=4,
            elinewidth=1,
            color=COLOURS[0],
        )
        for each in curve:
            axes.annotate(
                count(each.n),
                (each.mean_p_a, -0.09),
                ha="center",
                fontsize=7,
                color=SOFT,
                annotation_clip=False,
            )
        axes.set_ylim(-0.12, 1.04)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([place / N_BINS for place in range(0, N_BINS + 1, 2)])
        axes.set_xlabel("P(A better) by the judge")
        axes.set_ylabel("people prefer A")

    return plot(title, words, draw, 3.0)


def short(name: str) -> str:
    """The name on one line, cut in its middle where it is long."""
    line = " ".join(clean(name).split())
    if len(line) <= _LONGEST_NAME:
        return line
    half = _LONGEST_NAME // 2
    return f"{line[: half - 1]}…{line[-half:]}"


def plot(title: str, words: str, draw: Callable[[Axes], None], height_inches: float) -> Plot:
    """The picture that `draw` makes on empty axes; `words` say what it shows.

    Matplotlib numbers its ids from a random start: the salt makes them depend on the words alone,
    and goes before each id, as two pictures of a page may not share one.
    """
    salt = content_hash("plot", title, words)
    # A context, since the settings of matplotlib are global: a notebook's own plots stay as they
    # are.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}), warnings.catch_warnings():
        # The default font lacks some letters; the reader's browser has another font.
        warnings.simplefilter("ignore")
        # Without pyplot, which keeps every figure of the process and picks a back end for a screen.
        figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.subplots()
        axes.patch.set_visible(False)
        draw(axes)
        file = io.StringIO()
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=no_metadata)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    # Without the namespace declarations no address of another host is in the page; ids get the salt
    # as a prefix, and so do all references to them.
    for pattern, new in (
        (r"<metadata>.*?</metadata>\s*|<style.*?</style>\s*|<!--.*?-->\s*", ""),
        (r'\s+xmlns(?::\w+)?="[^"]*"', ""),
        (r'<g id="[^"]*"', "<g"),
        (r'\bid="([^"]+)"', rf'id="p{salt}-\1"'),
        (r'xlink:href="#([^"]+)"', rf'href="#p{salt}-\1"'),
        (r"url\(#([^)]+)\)", rf"url(#p{salt}-\1)"),
        (r" font-family: [^;\"]*;", ""),
        (r"\n *", "\n"),
    ):
        svg = re.sub(pattern, new, svg, flags=re.DOTALL)
    # Colours are replaced only after the ids: a salted id may hold any six hexadecimal digits, but
    # never the # before them.
    head, _, rest = svg.partition(">")
    # Without a size of its own the picture takes the width of its column.
    head = re.sub(r'\s(?:width|height|version)="[^"]*"', "", head)
    for colour, variable in _VARIABLES.items():
        rest = rest.replace(colour, f"var({variable})")
    return Plot(title, f"{head}>{rest}".strip(), words)


def _reaches(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """How far the intervals reach below and above; 0 where there is none."""
    low = [each.value - (each.value if each.low is None else each.low) for each in points]
    high = [(each.value if each.high is None else each.high) - each.value for each in points]
    # Matplotlib refuses negative lengths, which rounding may give.
    return [max(0.0, reach) for reach in low], [max(0.0, reach) for reach in high]


def _set_rows(axes: Axes, names: Sequence[str]) -> None:
    """The names of rows, the first on top."""
    axes.set_yticks(range(len(names), 0, -1), [short(name) for name in names], minor=False)
    axes.set_ylim(0.4, len(names) + 0.6)
    axes.grid(visible=False, axis="y")


def _set_axis(axes: Axes, axis: Axis, *, is_x: bool) -> None:
    """Its label, limits, ticks and levels. Limits come last: a level outside would widen them."""
    for name, level in axis.levels:
        (axes.axvline if is_x else axes.axhline)(level, linestyle="--", linewidth=1, color=SOFT)
        if name and not is_x:
            at_end = ("axes fraction", "data")
            axes.annotate(
                name, (1, level), xycoords=at_end, ha="right", va="bottom", fontsize=7, color=SOFT
            )
    (axes.set_xlabel if is_x else axes.set_ylabel)(axis.label)
    if axis.ticks and is_x:
        axes.set_xticks([place for _, place in axis.ticks], [name for name, _ in axis.ticks])
    if axis.span is not None:
        (axes.set_xlim if is_x else axes.set_ylim)(*axis.span)


def _legend(axes: Axes) -> None:
    """Above the picture, where there is more than one name; long names below each other."""
    _, names = axes.get_legend_handles_labels()
    if len(names) > 1:
        # A picture is about 44 letters of this size wide; the key of each name takes some five.
        n_columns = len(names) if sum(map(len, names)) + 5 * len(names) < 44 else 2
        axes.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=n_columns,
            handlelength=1.2,
            columnspacing=1.2,
        )
