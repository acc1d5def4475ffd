"""Accuracy and calibration of a reward model on the held-out pairs, as figures and as a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from math import log
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.special import expit

from cai.export.rows import PreferencePair
from cai.training.data.load import TrainingRow
from cai.training.reward_model.model import RewardModel
from cai.types import Message

PLOT = "calibration.png"
N_BINS = 10

Curve = tuple[Sequence[float], Sequence[float]]
"""Probabilities that the reward model gives, and the labels."""

# of the palette of Okabe and Ito, which people with colour blindness can distinguish
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00")
_GREY = "#666666"


@dataclass(frozen=True, slots=True)
class RewardFigures:
    """On `n` pairs. `accuracy` is the share where the reward prefers the side that the label does.

    Even labels are left out of it. `cross_entropy` is in nats, and `least` what a model that knew
    every label's probability would have. `calibration_error` is the mean over pairs of
    |mean label − mean σ(r_a − r_b)| of their bin, of ten.
    """

    n: int
    accuracy: float | None
    cross_entropy: float
    least: float
    calibration_error: float


def reward_figures(
    folder: Path, rows: Sequence[TrainingRow], console: Console
) -> Mapping[str, object]:
    """The figures by source of the labels, and of all; draws the calibration beside the model.

    A pair with a side that is too long for the model has no figure.
    """
    # opened again from its folder, as every user of it will: what cannot be loaded shows here
    model = RewardModel.load(str(folder))
    pairs = [(row, row.unit) for row in rows if isinstance(row.unit, PreferencePair)]
    rewards = model.read(
        [
            (*pair.prompt.messages, Message("assistant", text))
            for _, pair in pairs
            for text in (pair.chosen, pair.rejected)
        ]
    )
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for (row, _), chosen, rejected in zip(pairs, rewards[::2], rewards[1::2], strict=True):
        if chosen is not None and rejected is not None:
            predicted, labels = curves.setdefault(row.source, ([], []))
            predicted.append(float(expit(chosen - rejected)))
            labels.append(row.confidence)
    if not curves:
        return {}
    draw_reward_calibration(curves, folder / PLOT)
    console.print(f"calibration: {folder / PLOT}", markup=False, highlight=False)
    both = [list(chain.from_iterable(each)) for each in zip(*curves.values(), strict=True)]
    figures = {"all": asdict(figures_of(*both))}
    if len(curves) > 1:
        figures |= {source: asdict(figures_of(*curve)) for source, curve in curves.items()}
    return figures


def figures_of(predicted: Sequence[float], labels: Sequence[float]) -> RewardFigures:
    """The figures of probabilities that the chosen response is better, against the labels."""
    p, y = np.array(predicted), np.array(labels)
    # half a pair right for an even label would pull every accuracy towards one half
    decided = np.abs(y - 0.5) > 1e-9
    right = (p > 0.5) == (y > 0.5)
    accuracy = float(right[decided].mean()) if decided.any() else None
    losses = [_cross_entropy(each, label) for each, label in zip(predicted, labels, strict=True)]
    least = [_cross_entropy(label, label) for label in labels]
    return RewardFigures(
        n=len(labels),
        accuracy=accuracy,
        cross_entropy=sum(losses) / len(losses),
        least=sum(least) / len(least),
        calibration_error=calibration_error(p, y),
    )


def calibration_error(p: "np.ndarray", y: "np.ndarray") -> float:
    """Mean |mean label − mean probability| of a bin over pairs, in both orientations."""
    both_p, both_y, places = _in_both_orientations(p, y)
    gaps = np.bincount(places, both_y - both_p, N_BINS)
    return float(np.abs(gaps).sum() / len(both_p))


def _in_both_orientations(
    p: "np.ndarray", y: "np.ndarray"
) -> tuple["np.ndarray", "np.ndarray", "np.ndarray"]:
    """Probabilities, labels and bins of each pair and its swap.

    Chosen is what the label prefers, so that p alone is above one half more often than not; with
    the swap, the name of a side has no influence.
    """
    both_p, both_y = np.concatenate([p, 1 - p]), np.concatenate([y, 1 - y])
    return both_p, both_y, np.clip((both_p * N_BINS).astype(int), 0, N_BINS - 1)


def _cross_entropy(p: float, label: float) -> float:
    """−y log p − (1 − y) log(1 − p), in nats.

    Rewards that are far apart make p a 0 or 1 in floating point, which would make the loss
    infinite: p is taken to be 1e-12 from there.
    """
    bounded = min(max(p, 1e-12), 1 - 1e-12)
    return -label * log(bounded) - (1 - label) * log(1 - bounded)


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
    below.set_ylabel("pairs in the bin,\nin both orders")
    below.set_ylim(bottom=0)
    below.set_xlabel("σ(r_a − r_b): how probable the reward model finds it that A is better")
    below.set_xlim(-0.02, 1.02)
    below.set_xticks([place / N_BINS for place in range(N_BINS + 1)])
    figure.savefig(path, dpi=100)  # pyright: ignore[reportUnknownMemberType]


def binned(
    p: Sequence[float], y: Sequence[float]
) -> tuple[list[float], list[float], list[int], list[float]]:
    """Of ten bins: mean probability and mean label of those with pairs, all counts, lower edges."""
    both_p, both_y, places = _in_both_orientations(np.array(p), np.array(y))
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
