"""How right a reward model is on labelled pairs, and whether its probabilities come true."""

import math
from pathlib import Path

import numpy as np
import pytest

from cai.training.reward_model.evaluate import (
    binned,
    calibration_error,
    draw_reward_calibration,
    figures_of,
)


def test_figures_of_four_pairs():
    """Labels 0.8, 0.8, 0.4 and 0.5, for which the model says 0.9, 0.4, 0.3 and 0.7.

    The first and the third are right, the second is wrong, the fourth has no side: 2 of 3.
    """
    p, y = [0.9, 0.4, 0.3, 0.7], [0.8, 0.8, 0.4, 0.5]
    found = figures_of(p, y)
    losses = [
        -label * math.log(said) - (1 - label) * math.log(1 - said)
        for said, label in zip(p, y, strict=True)
    ]
    least = [-label * math.log(label) - (1 - label) * math.log(1 - label) for label in y]
    assert found.n == 4
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.cross_entropy == pytest.approx(sum(losses) / 4)
    assert found.least == pytest.approx(sum(least) / 4)
    assert found.cross_entropy > found.least


def test_calibration_error_worked_out():
    """0.95 and 0.35, labelled 1 and 0: in both orientations there are four bins of one each.

    The gaps are 0.05, 0.35, 0.35 and 0.05, and their mean is 0.2.
    """
    assert calibration_error(np.array([0.95, 0.35]), np.array([1.0, 0.0])) == pytest.approx(0.2)


def test_perfect_probabilities_have_no_calibration_error():
    p = [0.05, 0.35, 0.65, 0.999, 1.0, 0.5]
    found = figures_of(p, p)
    assert found.calibration_error == pytest.approx(0, abs=1e-12)
    assert found.cross_entropy == pytest.approx(found.least)


def test_probabilities_that_come_true_on_average_have_no_calibration_error():
    """Of ten pairs at 0.85 one half is labelled 1 and the other 0.7."""
    p, y = np.array([0.85] * 10), np.array([1.0, 0.7] * 5)
    assert calibration_error(p, y) == pytest.approx(0, abs=1e-12)


def test_which_side_is_called_chosen_has_no_part():
    p, y = np.array([0.92, 0.31, 0.77]), np.array([0.8, 0.6, 1.0])
    assert calibration_error(1 - p, 1 - y) == pytest.approx(calibration_error(p, y))
    one, other = figures_of(list(p), list(y)), figures_of(list(1 - p), list(1 - y))
    assert one.accuracy == other.accuracy
    assert one.cross_entropy == pytest.approx(other.cross_entropy)


def test_pairs_of_even_labels_alone_have_no_accuracy():
    assert figures_of([0.9, 0.2], [0.5, 0.5]).accuracy is None


def test_a_reward_difference_beyond_all_numbers_has_figures():
    """σ of a great difference is 1 in floating point; against a label of 0.9 that is finite."""
    found = figures_of([1.0], [0.9])
    assert math.isfinite(found.cross_entropy)
    assert found.cross_entropy > found.least


def test_bins_have_both_orientations_of_every_pair():
    said, came, counts, lows = binned([0.95, 0.05, 0.55], [1.0, 0.0, 0.5])
    assert counts == [2, 0, 0, 0, 1, 1, 0, 0, 0, 2]
    assert said == pytest.approx([0.05, 0.45, 0.55, 0.95])
    assert came == pytest.approx([0.0, 0.5, 0.5, 1.0])
    assert lows == pytest.approx([place / 10 for place in range(10)])


def test_the_plot_is_a_picture(tmp_path: Path):
    draw_reward_calibration({"judge": ([0.9, 0.2], [1.0, 0.0])}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
