"""The plots of the experiments: means over seeds, with a line from the least to the greatest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# of the palette of Okabe and Ito, which the colour-blind can tell apart
COLOURS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7")
DOTS_PER_INCH = 100  # 6.4 inches are 640 pixels

Found = Mapping[str, Sequence[Mapping[str, float]]]
"""The figures of each seed, by arm."""

Panel = tuple[str, str]
"""The key of a figure, and its title."""


def bars(found: Found, panels: Sequence[Panel]) -> Figure:
    """A panel for each figure, in it a bar for each arm that has the figure; shares in per cent."""
    names = {key: [arm for arm, by_seed in found.items() if key in by_seed[0]] for key, _ in panels}
    heights = [1 + len(names[key]) for key, _ in panels]
    figure = Figure(figsize=(6.4, 0.4 + 0.27 * sum(heights)), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for (key, title), colour, (axes,) in zip(panels, COLOURS, grid, strict=False):
        shares = [[100 * each[key] for each in found[arm]] for arm in names[key]]
        _bars(axes, names[key], shares, colour)
        axes.set_title(f"{title}, per cent", fontsize=10, loc="left")
    return figure


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor="white")
    print(path)


def _bars(axes: Axes, names: Sequence[str], found: Sequence[Sequence[float]], colour: str) -> None:
    places = range(len(names))
    axes.barh(places, [mean(each) for each in found], color=colour, height=0.7)
    axes.hlines(places, list(map(min, found)), list(map(max, found)), color="black", linewidth=1.5)
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 116)  # room for the number after a full bar
    axes.set_xticks(range(0, 101, 20))
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    for place, shares in zip(places, found, strict=True):
        axes.text(max(shares) + 1.2, place, f"{mean(shares):.1f}", va="center", fontsize=8)
