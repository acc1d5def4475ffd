"""The interval of resampled figures, by its formulas and against another computation."""

import math

import numpy as np
import pytest
from scipy import stats

from cai.evaluation.stats.bootstrap import (
    Floats,
    bca_interval,
    bootstrap,
    bootstrap_all,
    expanded_quantile,
)


@pytest.mark.parametrize(("n", "error"), [(6, 0.011), (11, 0.001), (31, 1e-4), (1001, 1e-6)])
def test_the_quantile_is_that_of_students_t_made_wider(n: int, error: float):
    expected = math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1)
    assert expanded_quantile(n) == pytest.approx(expected, abs=error)


def test_without_bias_and_skew_it_is_the_percentile_interval_of_the_expanded_quantile():
    """A thousand evenly spread figures around 0, and units that pull as much either way.

    For 101 units √(101 / 100) · 1.984 = 1.994, whose normal share is 2.31 % to either side.
    """
    resampled = np.linspace(-1, 1, 1001)
    interval = bca_interval(0.0, resampled, np.array([-0.1, 0.1]), np.array([50, 51]))
    assert interval == pytest.approx((-1 + 2 * 0.0231, 1 - 2 * 0.0231), abs=0.002)


def test_a_figure_above_most_of_its_resamples_is_corrected_upward():
    """60 % of the resamples are below: z₀ = 0.253, and the quantiles are those of 2 z₀ ± 1.994.

    Φ(−1.488) = 6.84 % and Φ(2.501) = 99.38 %.
    """
    resampled = np.linspace(-1, 1, 1001)
    interval = bca_interval(0.2, resampled, np.array([-0.1, 0.1]), np.array([50, 51]))
    assert interval == pytest.approx((-1 + 2 * 0.0684, -1 + 2 * 0.9938), abs=0.004)


def test_it_is_near_the_interval_of_scipy_where_there_are_many_units():
    """Of skewed numbers; what differs is the widening, by 1 part in 150, and chance."""
    values = np.random.default_rng(0).exponential(size=300)
    sums = np.column_stack((values, np.ones(300)))
    found = bootstrap(sums, lambda rows: rows[:, 0] / rows[:, 1], seed=0, n_resamples=8000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=8000, method="BCa", rng=1)
    expected = theirs.confidence_interval
    assert found == pytest.approx((expected.low, expected.high), abs=0.012)


def test_several_figures_are_of_the_same_resamples():
    sums = np.random.default_rng(0).random((40, 2))

    def figures(rows: Floats) -> Floats:
        ratio = rows[:, 0] / rows[:, 1]
        return np.column_stack((ratio, 2 * ratio, ratio - ratio))

    once, twice, none = bootstrap_all(sums, figures, seed=0)
    assert once is not None
    assert twice == pytest.approx((2 * once[0], 2 * once[1]))
    assert none is None


def test_thousands_of_kinds_are_drawn_in_groups_and_give_the_same_interval():
    """30,000 numbers of their own: the mean's deviation is 1 / √30,000, within a twentieth."""
    values = np.random.default_rng(0).normal(size=30_000)
    sums = np.column_stack((values, np.ones(30_000)))
    found = bootstrap(sums, lambda rows: rows[:, 0] / rows[:, 1], seed=0)
    assert found is not None
    assert found[1] - found[0] == pytest.approx(2 * 1.96 / math.sqrt(30_000), rel=0.07)
