"""The simulation of intervals: it starts, its truths are true, and a slice of it holds."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
COVERAGE = runpy.run_path(str(SCRIPT))


def test_it_prints_a_table():
    command = [sys.executable, str(SCRIPT), "--times", "2", "--prompts", "30"]
    done = subprocess.run(
        [*command, "--parts", "rates"], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert sum(line.startswith("| 30 |") for line in lines) == 6


def test_the_truths_are_the_figures_of_a_great_many_matches():
    world = COVERAGE["World"](0.7, 0.2)
    rate, probability, controlled = world.truths
    assert rate == pytest.approx(0.8 * 0.7 + 0.1)
    assert probability == pytest.approx(0.5 + 0.6 * (rate - 0.5))
    matches = COVERAGE["drawn_matches"](np.random.default_rng(0), world.start, 0.2, 8000)
    (found,) = COVERAGE["win_rates"](matches, 0)
    assert found.rate.value == pytest.approx(rate, abs=0.012)
    assert found.probability.value == pytest.approx(probability, abs=0.012)
    assert found.length_controlled.value == pytest.approx(controlled, abs=0.012)
    assert controlled < rate


@pytest.mark.slow
def test_intervals_of_a_hundred_prompts_hold_the_truth():
    """Of 300 evaluations 95 % are 285, give or take 7.5 at two deviations, and 1.5 % are 4.5."""
    held, n_none = COVERAGE["rates_coverage"](COVERAGE["World"](0.7, 0.2), 100, 300)
    assert n_none == 0
    assert all(0.91 <= each <= 0.99 for each in held)


@pytest.mark.slow
def test_ratings_of_a_hundred_prompts_hold_the_truth():
    held, n_none = COVERAGE["ratings_coverage"](5, 100, 60)
    assert n_none == 0
    assert 0.91 <= held <= 0.99


@pytest.mark.parametrize(("n_policies", "n_prompts"), [(2, 4), (2, 12), (4, 12)])
def test_ratings_of_who_hardly_ever_loses_are_held_and_open(n_policies: int, n_prompts: int):
    """At 99 % nearly all of 30 evaluations are won altogether: no number is an upper end."""
    world = COVERAGE["Certain"](n_policies, n_prompts, 0.99, 0.0)
    found = [COVERAGE["certain_rating"](world, time) for time in range(30)]
    assert all(each.low is not None and each.low <= world.truth for each in found)
    assert sum(each.high is None or each.high >= world.truth for each in found) >= 28
    assert sum(each.high is None for each in found) >= 28
