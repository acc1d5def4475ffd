"""Pictures for the pages on training: the loss on soft labels, and the arms of the benchmark.

    python benchmarks/training_plots.py --out docs
    python benchmarks/training_plots.py --out docs --results runs/training-benchmark/results.json

The first needs nothing. The second draws what `benchmarks/training.py` found, too.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

LOSS, ARMS = "soft-loss.png", "training-arms.png"

# of the palette of Okabe and Ito, which the colour-blind can tell apart
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#666666"
SHOWN = (
    ("harmful", "harmful requests answered with the deed", ORANGE),
    ("dodged", "harmless requests dodged", GREEN),
    ("helped", "harmless requests helped", BLUE),
)
DOTS_PER_INCH = 100  # 6.4 inches are 640 pixels

Arm = tuple[str, Sequence[Mapping[str, float]]]
"""Its name, and its rates for each seed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the pictures")
    parser.add_argument("--results", type=Path, help="results.json of benchmarks/training.py")
    options = parser.parse_args()
    save(loss_figure(), options.out / LOSS)
    if options.results is not None:
        save(arms_figure(read_arms(options.results)), options.out / ARMS)


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=DOTS_PER_INCH)
    print(path)


def loss(z: float, p: float) -> float:
    """−p log σ(z) − (1 − p) log σ(−z), in nats."""
    return max(z, 0.0) + math.log1p(math.exp(-abs(z))) - p * z


def slope(z: float, p: float) -> float:
    """Its derivative by z: σ(z) − p."""
    return 1 / (1 + math.exp(-z)) - p


def loss_figure() -> Figure:
    """The loss and its gradient against the margin z, for three targets."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    margins = [step / 20 for step in range(-100, 101)]
    for p, colour, style in ((1.0, BLUE, "-"), (0.8, ORANGE, "--"), (0.5, GREEN, "-.")):
        line = {"color": colour, "linestyle": style, "linewidth": 2, "label": f"p = {p:g}"}
        left.plot(margins, [loss(z, p) for z in margins], **line)
        right.plot(margins, [slope(z, p) for z in margins], **line)
        if p < 1:
            best = math.log(p / (1 - p))
            left.plot(best, loss(best, p), "o", color=colour)
            right.plot(best, 0.0, "o", color=colour)
    left.set_title("loss, nats", fontsize=11)
    left.set_ylim(0, 4)
    left.legend(frameon=False)
    right.set_title("its slope, σ(z) − p", fontsize=11)
    right.axhline(0, color=GREY, linewidth=0.8)
    for axes in (left, right):
        axes.set_xlabel("margin z")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def read_arms(path: Path) -> list[Arm]:
    return [(arm["name"], arm["rates"]) for arm in json.loads(path.read_text("utf-8"))["arms"]]


def arms_figure(arms: Sequence[Arm]) -> Figure:
    """A bar for the mean over seeds of each arm, with a line from the least to the greatest."""
    figure = Figure(figsize=(6.4, 1.3 + 0.27 * len(arms) * len(SHOWN)), layout="constrained")
    for (name, title, colour), axes in zip(SHOWN, figure.subplots(len(SHOWN), 1), strict=True):
        found = [[100 * rates[name] for rates in by_seed] for _, by_seed in arms]
        _bars(axes, [arm for arm, _ in arms], found, colour)
        axes.set_title(title, fontsize=11, loc="left")
    return figure


def _bars(axes: Axes, names: Sequence[str], found: Sequence[Sequence[float]], colour: str) -> None:
    places = range(len(names))
    means = [mean(shares) for shares in found]
    axes.barh(places, means, color=colour, height=0.7)
    axes.hlines(places, list(map(min, found)), list(map(max, found)), color="black", linewidth=1.5)
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 116)  # room for the number after a full bar
    axes.set_xticks(range(0, 101, 20), [f"{share} %" for share in range(0, 101, 20)], fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    for place, shares, middle in zip(places, found, means, strict=True):
        end = max(*shares, middle)
        axes.text(end + 1.2, place, f"{middle:.1f} %", va="center", fontsize=8)


if __name__ == "__main__":
    main()
