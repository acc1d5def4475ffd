"""The pictures of training: what is drawn is the loss of the page, and both are 640 pixels wide."""

import json
import math
import runpy
import struct
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "training_plots.py"
PLOTS = runpy.run_path(str(SCRIPT))
RATES = {"harmful": 0.1, "dodged": 0.0, "helped": 1.0}


def width(path: Path) -> int:
    """Of a PNG, in pixels: the first number of its header."""
    return struct.unpack(">I", path.read_bytes()[16:20])[0]


@pytest.mark.parametrize("z", [-3.0, 0.0, 2.0])
def test_a_certain_label_has_the_usual_loss_and_its_opposite_that_of_the_flipped_pair(z: float):
    assert PLOTS["loss"](z, 1.0) == pytest.approx(-math.log(1 / (1 + math.exp(-z))))
    assert PLOTS["loss"](z, 0.0) == pytest.approx(PLOTS["loss"](-z, 1.0))


@pytest.mark.parametrize("p", [0.5, 0.8])
def test_the_loss_is_least_where_the_margin_says_p_and_its_slope_is_nothing(p: float):
    loss, slope = PLOTS["loss"], PLOTS["slope"]
    best = math.log(p / (1 - p))
    assert slope(best, p) == pytest.approx(0)
    assert loss(best, p) < min(loss(best - 0.1, p), loss(best + 0.1, p))
    assert slope(1.0, p) == pytest.approx((loss(1 + 1e-6, p) - loss(1 - 1e-6, p)) / 2e-6, abs=1e-6)


def test_both_pictures_are_written(tmp_path: Path):
    results = tmp_path / "results.json"
    arms = [{"name": name, "rates": [RATES, {**RATES, "harmful": 0.3}]} for name in ("start", "SL")]
    results.write_text(json.dumps({"arms": arms}))
    command = [sys.executable, SCRIPT, "--out", tmp_path, "--results", results]
    subprocess.run(command, check=True)
    assert [width(tmp_path / name) for name in ("soft-loss.png", "training-arms.png")] == [640, 640]


def test_a_bar_is_the_mean_over_seeds():
    arms = [("one", [{**RATES, "harmful": 0.1}, {**RATES, "harmful": 0.3}])]
    axes = PLOTS["arms_figure"](arms).axes[0]
    assert axes.patches[0].get_width() == pytest.approx(20)
    assert [text.get_text() for text in axes.texts] == ["20.0 %"]
