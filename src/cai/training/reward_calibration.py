"""The calibration of a reward model as a picture: what it says against what the labels say."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

N_BINS = 10

Curve = tuple[Sequence[float], Sequence[float]]
"""Probabilities that the reward model gives, and the labels."""

# of the palette of Okabe and Ito, which the colour-blind can tell apart
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00")
_GREY = "#666666"


def draw_reward_calibration(curves: Mapping[str, Curve], path: Path) -> None:
    """Writes a PNG with a curve for each source of labels, in both orientations of every pair."""
    from matplotlib.figure import Figure  # heavy

    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], "--", color=_GREY, label="probabilities that come true")
    for (name, curve), colour in zip(curves.items(), _COLOURS * len(curves), strict=False):
        said, came, counts, lows = binned(*curve)
        above.plot(said, came, "o-", color=colour, label=f"{name}, {len(curve[0]):,} pairs")
        below.step([*lows, 1.0], [*counts, counts[-1]], where="post", color=colour)
    above.set_title("Calibration of the reward model on held-out pairs")
    above.set_ylabel("mean label in the bin")
    above.set_ylim(-0.03, 1.03)
    above.legend(loc="upper left", frameon=False)
    below.set_ylabel("pairs in the bin")
    below.set_ylim(bottom=0)
    below.set_xlabel("σ(r_a − r_b): how probable the reward model finds it that A is better")
    below.set_xlim(-0.02, 1.02)
    below.set_xticks([place / N_BINS for place in range(N_BINS + 1)])
    figure.savefig(path, dpi=100)  # pyright: ignore[reportUnknownMemberType]


def binned(
    p: Sequence[float], y: Sequence[float]
) -> tuple[list[float], list[float], list[int], list[float]]:
    """Of ten bins: mean probability and mean label of the full ones, counts, lower edges."""
    both_p = np.concatenate([np.array(p), 1 - np.array(p)])
    both_y = np.concatenate([np.array(y), 1 - np.array(y)])
    places = np.clip((both_p * N_BINS).astype(int), 0, N_BINS - 1)
    said: list[float] = []
    came: list[float] = []
    counts: list[int] = []
    for place in range(N_BINS):
        inside = places == place
        counts.append(int(inside.sum()))
        if counts[-1]:
            said.append(float(both_p[inside].mean()))
            came.append(float(both_y[inside].mean()))
    return said, came, counts, [place / N_BINS for place in range(N_BINS)]
