"""The win rate at equal length: by hand, against whole fits, and none where it cannot be told."""

import math

import numpy as np
import pytest
from made_matches import add_matches
from scipy.special import expit
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from cai.evaluation.policies.matchups import Matches
from cai.evaluation.policies.win_rates import WinRate, win_rates
from cai.evaluation.stats.bootstrap import Estimate, Floats, Integers
from cai.evaluation.stats.length_control import (
    fit_logistic_curve,
    is_separable,
    length_controlled_win_rate,
)

LONGER, SHORTER = (99, 199), (199, 99)


def rate_of(longer: str, shorter: str) -> WinRate:
    """The later policy's results where its response is twice as long, and where half as long."""
    matches = add_matches(Matches(), longer, lengths=LONGER)
    add_matches(matches, shorter, lengths=SHORTER, start=len(longer))
    (found,) = win_rates(matches, seed=0)
    return found


def drawn(n_prompts: int, seed: int = 0) -> tuple[Integers, Floats, Floats]:
    """Two responses a prompt; log-odds of a win are 0.3 and once the log length ratio."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(n_prompts), 2)
    x = rng.normal(0.3, 0.5, 2 * n_prompts)
    won = rng.random(2 * n_prompts) < expit(0.3 + x)
    lengths = np.column_stack((1000 * np.exp(x) - 1, np.full(2 * n_prompts, 999.0)))
    return units, won.astype(np.float64), lengths


def test_a_rate_at_equal_length_by_hand():
    """Twice as long 36 times, won 27 times: odds 3. Half as long 12 times, won 6 times: odds 1.

    The curve goes through both, and at equal length half way: log-odds (ln 3 + 0) / 2, odds √3,
    rate √3 / (1 + √3) = 0.634. Raw it is 33 / 48 = 0.6875.
    """
    found = rate_of("www" * 9 + "lll" * 3, "wl" * 6)
    assert found.rate is not None
    assert found.rate.value == pytest.approx(33 / 48)
    controlled = found.length_controlled
    assert controlled is not None
    assert controlled.value == pytest.approx(3**0.5 / (1 + 3**0.5))
    assert controlled.n == 48
    assert controlled.low is not None
    assert controlled.high is not None
    assert controlled.low < controlled.value < controlled.high
    assert found.longer == 0.75


def test_two_ties_are_a_win_and_a_loss():
    with_ties = rate_of("wwwl" * 6 + "tt" * 6, "wl" * 6)
    without = rate_of("wwwl" * 6 + "wl" * 6, "wl" * 6)
    assert with_ties.length_controlled is not None
    assert without.length_controlled is not None
    assert with_ties.length_controlled.value == pytest.approx(without.length_controlled.value)


def test_a_policy_that_wins_by_length_alone_is_even_at_equal_length():
    """Twice as long: 3 of 4. Half as long: 1 of 4. Raw 50 of 80 with sixty of the first kind."""
    found = rate_of("wwwl" * 15, "wlll" * 5)
    assert found.rate is not None
    assert found.rate.value == pytest.approx(50 / 80)
    assert found.length_controlled is not None
    assert found.length_controlled.value == pytest.approx(0.5)


def test_all_ties_are_even_without_an_interval():
    found = rate_of("t" * 20, "t" * 20).length_controlled
    assert found == Estimate(0.5, 40)


@pytest.mark.parametrize(
    ("longer", "shorter"),
    [
        ("wwwl" * 20, ""),  # always the longer: equal length was never seen
        ("w" * 20, "l" * 20),  # length decides alone
        ("w" * 20, "w" * 20),  # always won
        ("l" * 20, "l" * 20),
        ("wl" * 4, "wl" * 4),  # few prompts
        ("u" * 40, "r" * 40),  # nothing readable
    ],
)
def test_where_it_cannot_be_told_there_is_none(longer: str, shorter: str):
    assert rate_of(longer, shorter).length_controlled is None


def test_lengths_that_never_vary_tell_nothing():
    (found,) = win_rates(add_matches(Matches(), "wwl" * 20), seed=0)
    assert found.length_controlled is None


def test_the_interval_is_that_of_whole_fits():
    """One step of Newton's from the fit to all, against 600 whole fits to drawn prompts."""
    units, points, lengths = drawn(150)
    estimate = length_controlled_win_rate(units, points, lengths, seed=0)
    assert estimate is not None
    x, rng, rates = np.log(lengths[:, 0] + 1) - math.log(1000), np.random.default_rng(1), []
    for _ in range(600):
        rows = (2 * rng.integers(150, size=150)[:, None] + np.arange(2)).ravel()
        curve = fit_logistic_curve(x[rows], points[rows])
        assert curve is not None
        rates.append(1 / (1 + math.exp(-curve.intercept)))
    assert (estimate.low, estimate.high) == pytest.approx(
        np.percentile(rates, [2.5, 97.5]), abs=0.015
    )


def test_the_interval_is_near_that_of_cluster_robust_standard_errors():
    """The sandwich estimator over prompts, on the log-odds, is another way to the same interval."""
    units, points, lengths = drawn(400)
    estimate = length_controlled_win_rate(units, points, lengths, seed=0)
    assert estimate is not None
    x = np.log(lengths[:, 0] + 1) - math.log(1000)
    model = GLM(points, np.column_stack((np.ones(len(x)), x)), family=Binomial())
    robust = model.fit(cov_type="cluster", cov_kwds={"groups": units})
    expected = expit(robust.params[0] + robust.bse[0] * np.array([-1.96, 1.96]))
    assert estimate.value == pytest.approx(float(expit(robust.params[0])))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(expected), abs=0.005)


def test_the_curve_is_where_no_other_is_more_likely():
    """The slopes of the likelihood are none: Σ (y − p) = 0 and Σ x (y − p) = 0."""
    _, points, lengths = drawn(100)
    x = np.log(lengths[:, 0] + 1) - math.log(1000)
    points[:20] = 0.5
    curve = fit_logistic_curve(x, points)
    assert curve is not None
    left = points - curve.at(x)
    assert float(left.sum()) == pytest.approx(0, abs=1e-8)
    assert float(left @ x) == pytest.approx(0, abs=1e-8)


def test_a_tie_is_half_a_win_and_half_a_loss():
    """The curve is that of each match twice, a tie once as a win and once as a loss."""
    _, points, lengths = drawn(60)
    x = np.log(lengths[:, 0] + 1) - math.log(1000)
    points[::5] = 0.5
    curve = fit_logistic_curve(x, points)
    doubled = fit_logistic_curve(np.tile(x, 2), np.concatenate((np.floor(points), np.ceil(points))))
    assert curve is not None
    assert doubled is not None
    assert (curve.intercept, curve.slope) == pytest.approx((doubled.intercept, doubled.slope))


def test_without_a_best_curve_there_is_none():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert fit_logistic_curve(x, np.array([0.0, 0.0, 1.0, 1.0])) is None
    assert fit_logistic_curve(np.ones(4), np.array([0.0, 1.0, 0.0, 1.0])) is None
    assert fit_logistic_curve(np.array([]), np.array([])) is None


def test_a_tie_between_wins_and_losses_is_no_separation():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert is_separable(x, np.array([0.0, 0.0, 1.0, 1.0]))
    assert is_separable(x, np.array([1.0, 1.0, 0.5, 0.0]))
    assert not is_separable(x, np.array([0.5, 0.0, 1.0, 1.0]))
    assert not is_separable(x, np.array([0.0, 1.0, 0.0, 1.0]))
