"""How many prompts a win rate takes, by the formulas and in words."""

import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import samplesize_confint_proportion

from cai.errors import EvaluationError
from cai.evaluation.stats.bootstrap import share_estimate
from cai.evaluation.stats.sample_size import (
    describe_sample_size,
    half_width,
    minimum_detectable_difference,
    observed_variance,
    planned_variance,
    required_prompts,
)


def test_prompts_before_there_are_any():
    """1.96² · ¼ / 0.05² = 384.1; with a fifth of ties 1.96² · 0.2 / 0.05² = 307.3."""
    assert required_prompts(0.05, planned_variance()) == 385
    assert required_prompts(0.05, planned_variance(0.2)) == 308


def test_an_interval_of_so_many_prompts_is_as_wide_as_asked():
    assert half_width(required_prompts(0.03, 0.25), 0.25) == pytest.approx(0.03, abs=1e-4)
    assert half_width(100, 0.25) == pytest.approx(0.098, abs=1e-4)
    assert half_width(1, 0.25) == 0.5


def test_the_variance_observed():
    """1, 0, 1, 1: mean ¾, squares 3 / 16 + 9 / 16 = ¾, over 3: ¼."""
    assert observed_variance(np.array([1.0, 0, 1, 1]), np.arange(4)) == pytest.approx(0.25)


def test_prompts_with_several_matches_are_one_draw_each():
    """Two prompts of two: won 2 and 0 of 2 at a rate of ½: (±1 / 2)² · 2 / 1 = ½.

    Each won by one of two: no variance at all.
    """
    units = np.array([0, 0, 1, 1])
    assert observed_variance(np.array([1.0, 1, 0, 0]), units) == pytest.approx(0.5)
    assert observed_variance(np.array([1.0, 0, 1, 0]), units) == 0
    assert observed_variance(np.array([1.0, 0]), np.array([7, 7])) is None


def test_the_interval_predicted_is_the_one_that_comes():
    """Three matches a prompt that go together half the time, 300 prompts."""
    rng = np.random.default_rng(0)
    units, together = np.repeat(np.arange(300), 3), np.repeat(rng.random(300), 3)
    points = (np.where(rng.random(900) < 0.5, together, rng.random(900)) < 0.6).astype(np.float64)
    variance = observed_variance(points, units)
    estimate = share_estimate(points, np.ones(900), units, seed=0)
    assert variance is not None
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert half_width(300, variance) == pytest.approx((estimate.high - estimate.low) / 2, rel=0.05)


def test_the_smallest_difference_is_seen_four_times_of_five():
    """(1.96 + 0.8416) · ½ / √400 = 0.0700; the interval of so many leaves ½ out in 80 %."""
    difference = minimum_detectable_difference(400, 0.25)
    assert difference == pytest.approx(0.0700, abs=1e-4)
    rates = np.random.default_rng(0).binomial(400, 0.5 + difference, 4000) / 400
    is_seen = np.abs(rates - 0.5) > 1.96 * np.sqrt(rates * (1 - rates) / 400)
    assert is_seen.mean() == pytest.approx(0.8, abs=0.03)


def test_without_ties_the_formulas_are_those_of_a_library():
    """With p (1 − p) = ¼; of a two-sided test the library also counts the wrong side, 10⁻⁶."""
    whole = samplesize_confint_proportion(0.5, 0.03)
    assert required_prompts(0.03, planned_variance()) == math.ceil(whole)
    effect = NormalIndPower().solve_power(nobs1=400, alpha=0.05, power=0.8, ratio=0)
    assert minimum_detectable_difference(400, 0.25) == pytest.approx(0.5 * effect, rel=1e-5)


def test_the_description_says_what_there_is_and_what_it_takes():
    assert describe_sample_size(100, 0.25, 0.05) == (
        "100 prompts give a win rate to ±9.8 points; ±5.0 points take about 385, 285 more. "
        "The smallest difference from 50% that is detected with a power of 80% is 14.0 points."
    )
    assert "; that is within the ±5.0 asked for." in describe_sample_size(400, 0.25, 0.05)


def test_alike_results_of_a_few_prompts_do_not_promise_much():
    assert required_prompts(0.05, 0.0) == 10


@pytest.mark.parametrize("asked", [0.0, -0.1, 0.5, float("nan")])
def test_an_impossible_interval_is_an_error(asked: float):
    with pytest.raises(EvaluationError, match="give a half width above 0"):
        required_prompts(asked, 0.25)


def test_other_numbers_that_mean_nothing_are_errors():
    with pytest.raises(EvaluationError, match="share of ties of 1"):
        planned_variance(1)
    with pytest.raises(EvaluationError, match="No prompts"):
        describe_sample_size(0, 0.25, 0.05)
