"""How right a reward model is on the pairs held out, and whether its probabilities come true.

The calibration of a reward model as a picture: what it says against what the labels say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.special import expit

from cai.export.rows import PreferencePair
from cai.training.data.load import TrainingRow
from cai.training.reward_model.model import RewardModel
from cai.types import Conversation, Message

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


PLOT = "calibration.png"
_EDGE = 1e-12


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

    The model is opened again from its folder, as everybody else will.
    """
    model = RewardModel.load(str(folder))
    predicted, labels, sources = _probabilities(model, rows)
    found: dict[str, object] = {}
    groups: dict[str, list[int]] = {}
    for place, source in enumerate(sources):
        groups.setdefault(source, []).append(place)
    for name, places in {"all": list(range(len(sources))), **groups}.items():
        if places and (name == "all" or len(groups) > 1):
            chosen = [predicted[place] for place in places]
            found[name] = asdict(figures_of(chosen, [labels[place] for place in places]))
    if predicted:
        curves = {
            name: ([predicted[place] for place in places], [labels[place] for place in places])
            for name, places in groups.items()
        }
        draw_reward_calibration(curves, folder / PLOT)
        console.print(f"calibration: {folder / PLOT}", markup=False, highlight=False)
    return found


def figures_of(predicted: Sequence[float], labels: Sequence[float]) -> RewardFigures:
    """The figures of probabilities that the chosen response is better, against the labels."""
    p, y = np.array(predicted), np.array(labels)
    decided = np.abs(y - 0.5) > 1e-9
    right = (p > 0.5) == (y > 0.5)
    accuracy = float(right[decided].mean()) if decided.any() else None
    losses = [_cross_entropy(each, label) for each, label in zip(predicted, labels, strict=True)]
    least = [_cross_entropy(label, label) for label in labels]
    return RewardFigures(
        len(labels),
        accuracy,
        sum(losses) / len(losses),
        sum(least) / len(least),
        calibration_error(p, y),
    )


def calibration_error(p: "np.ndarray", y: "np.ndarray", n_bins: int = 10) -> float:
    """Of both orientations of each pair, so that which side is called chosen has no part."""
    both_p, both_y = np.concatenate([p, 1 - p]), np.concatenate([y, 1 - y])
    places = np.clip((both_p * n_bins).astype(int), 0, n_bins - 1)
    gaps = np.bincount(places, both_y - both_p, n_bins)
    return float(np.abs(gaps).sum() / len(both_p))


def _probabilities(
    model: RewardModel, rows: Sequence[TrainingRow]
) -> tuple[list[float], list[float], list[str]]:
    """σ(r_chosen − r_rejected), the label, and who gave it, of each pair that is not too long."""
    pairs = [row for row in rows if isinstance(row.unit, PreferencePair)]
    sides: list[Conversation] = []
    for row in pairs:
        assert isinstance(row.unit, PreferencePair)
        for text in (row.unit.chosen, row.unit.rejected):
            sides.append((*row.unit.prompt.messages, Message("assistant", text)))
    rewards = model.read(sides)
    found: tuple[list[float], list[float], list[str]] = ([], [], [])
    for row, chosen, rejected in zip(pairs, rewards[::2], rewards[1::2], strict=True):
        if chosen is not None and rejected is not None:
            found[0].append(float(expit(chosen - rejected)))
            found[1].append(row.confidence)
            found[2].append(row.source)
    return found


def _cross_entropy(p: float, label: float) -> float:
    """−y log p − (1 − y) log(1 − p), in nats.

    Rewards that are far apart make p a 0 or 1 in floating point, which no model means: it is taken
    to be a trillionth from there.
    """
    bounded = min(max(p, _EDGE), 1 - _EDGE)
    return -label * log(bounded) - (1 - label) * log(1 - bounded)
