"""Estimates and their intervals: by their formulas, by plain resampling, and against scipy."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa as kappa_of_one_table

from cai.evaluation.stats.bootstrap import (
    Floats,
    Integers,
    bca_interval,
    bootstrap_interval,
    bootstrap_intervals,
    cohens_kappa,
    expanded_quantile,
    kappa_estimate,
    share_estimate,
    unit_of,
)
from cai.evaluation.stats.calibration import confusion_rows
from cai.types import Message, Prompt, user_prompt


def integers(*values: int) -> Integers:
    return np.array(values, np.int64)


def share(points: Floats, units: Integers | None = None, seed: int = 0):
    return share_estimate(
        points, np.ones(len(points)), np.arange(len(points)) if units is None else units, seed
    )


def ratio(rows: Floats) -> Floats:
    """A mean, of rows that hold a sum and a count."""
    return rows[:, 0] / rows[:, 1]


def single_rows(values: Floats) -> Floats:
    return np.column_stack((values, np.ones(len(values))))


def test_two_prompts_have_three_resamples():
    """0 and 1 drawn twice: means 0, ½, 1 with chances ¼, ½, ¼; 95 % of them reach from 0 to 1."""
    sums = np.array([[0.0, 1.0], [1.0, 1.0]])
    assert bootstrap_interval(sums, ratio, seed=1) == (0, 1)


def test_drawing_distinct_rows_is_drawing_units():
    """The interval is that of resampling rows one by one, as 4,000 plain resamples show."""
    rng = np.random.default_rng(5)
    points = rng.choice([0.0, 0.5, 1.0], size=80, p=[0.3, 0.1, 0.6])
    plain = points[rng.integers(80, size=(4000, 80))].mean(axis=1)
    estimate = share(points)
    assert estimate is not None
    assert (estimate.low, estimate.high) == pytest.approx(
        np.percentile(plain, [2.5, 97.5]), abs=0.015
    )


def test_the_interval_depends_on_the_seed_alone():
    points = np.random.default_rng(0).random(50).round()
    assert share(points, seed=3) == share(points, seed=3)


def test_a_share_of_one_has_exact_bounds():
    """Five prompts all right: the lower bound x has x⁵ = 0.025, 0.478; more pairs of the same five
    prompts say no more."""
    bound = 0.025 ** (1 / 5)
    alone = share(np.ones(5))
    pairs = share(np.ones(10), units=np.arange(10) // 2)
    wrong = share(np.zeros(5))
    assert alone is not None
    assert pairs is not None
    assert wrong is not None
    assert (alone.low, alone.high) == (pytest.approx(bound), 1)
    assert (pairs.low, pairs.high) == (alone.low, 1)
    assert (wrong.low, wrong.high) == (0, pytest.approx(1 - bound))


def test_where_all_prompts_are_alike_there_is_no_interval():
    estimate = share(np.full(6, 0.5))
    assert estimate is not None
    assert (estimate.value, estimate.low, estimate.high) == (0.5, None, None)
    assert share(np.array([])) is None


def coverage(n_prompts: int, pairs_each: int, is_by_prompt: bool) -> float:
    """How often the 95 % interval holds the true share, over 600 made sets of labels.

    Pairs of a prompt are right or wrong together; prompts are right with chance 0.7.
    """
    rng = np.random.default_rng(11)
    prompts = np.repeat(np.arange(n_prompts), pairs_each)
    hits = 0
    for seed in range(600):
        points = (rng.random(n_prompts) < 0.7).astype(np.float64)[prompts]
        units = prompts if is_by_prompt else np.arange(len(points))
        estimate = share(points, units, seed)
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        hits += estimate.low <= 0.7 <= estimate.high
    return hits / 600


def test_intervals_hold_the_truth_95_times_of_100():
    assert 0.93 <= coverage(200, 1, is_by_prompt=True) <= 0.97


def test_pairs_of_one_prompt_stay_together():
    """Four pairs a prompt that rise and fall together: as if there were a fourth of them."""
    assert 0.93 <= coverage(200, 4, is_by_prompt=True) <= 0.97
    assert coverage(200, 4, is_by_prompt=False) < 0.75


def test_a_prompt_is_the_same_by_its_words():
    asked = user_prompt("How are you?", "1")
    assert unit_of(asked) == unit_of(user_prompt("How are you?", "2", "elsewhere"))
    assert unit_of(asked) != unit_of(user_prompt("How are they?", "1"))
    other_speaker = Prompt("1", (Message("system", "How are you?"),))
    assert unit_of(asked) != unit_of(other_speaker)
    assert 0 <= unit_of(asked) < 2**48


@pytest.mark.parametrize("n", [2, 6, 31, 1001])
def test_the_quantile_is_that_of_students_t_expanded(n: int):
    """12.706, 2.571, 2.042 and 1.962 are the 97.5 % quantiles of t in any table."""
    quantile = {2: 12.706, 6: 2.571, 31: 2.042, 1001: 1.962}[n]
    assert expanded_quantile(n) == pytest.approx(math.sqrt(n / (n - 1)) * quantile, rel=3e-4)


def test_without_bias_and_acceleration_it_is_the_percentile_interval_of_the_expanded_quantile():
    """A thousand evenly spread figures around 0, and units that pull as much either way.

    For 101 units √(101 / 100) · 1.984 = 1.994, whose normal share is 2.31 % to either side.
    """
    resampled = np.linspace(-1, 1, 1001)
    interval = bca_interval(0.0, resampled, np.array([-0.1, 0.1]), np.array([50, 51]))
    assert interval == pytest.approx((-1 + 2 * 0.0231, 1 - 2 * 0.0231), abs=0.002)


def test_a_statistic_above_most_of_its_resamples_is_corrected_upward():
    """60 % of the resamples are below: z₀ = 0.253, and the quantiles are those of 2 z₀ ± 1.994.

    Φ(−1.488) = 6.84 % and Φ(2.501) = 99.38 %.
    """
    resampled = np.linspace(-1, 1, 1001)
    interval = bca_interval(0.2, resampled, np.array([-0.1, 0.1]), np.array([50, 51]))
    assert interval == pytest.approx((-1 + 2 * 0.0684, -1 + 2 * 0.9938), abs=0.004)


def test_it_is_near_the_interval_of_scipy_where_there_are_many_units():
    """Of skewed numbers; what differs is the widening, by 1 part in 150, and chance."""
    values = np.random.default_rng(0).exponential(size=300)
    found = bootstrap_interval(single_rows(values), ratio, seed=0, n_resamples=8000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=8000, method="BCa", rng=1)
    expected = theirs.confidence_interval
    assert found == pytest.approx((expected.low, expected.high), abs=0.012)


def test_several_statistics_are_of_the_same_resamples():
    sums = np.random.default_rng(0).random((40, 2))

    def statistics(rows: Floats) -> Floats:
        mean = ratio(rows)
        return np.column_stack((mean, 2 * mean, mean - mean))

    once, twice, none = bootstrap_intervals(sums, statistics, seed=0)
    assert once is not None
    assert twice == pytest.approx((2 * once[0], 2 * once[1]))
    assert none is None


def test_thousands_of_distinct_rows_are_drawn_in_groups_and_give_the_same_interval():
    """30,000 numbers of their own: the mean's deviation is 1 / √30,000, within a twentieth."""
    values = np.random.default_rng(0).normal(size=30_000)
    found = bootstrap_interval(single_rows(values), ratio, seed=0)
    assert found is not None
    assert found[1] - found[0] == pytest.approx(2 * 1.96 / math.sqrt(30_000), rel=0.07)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_clusters_it_is_the_interval_of_scipy_from_the_same_resamples(seed: int):
    """From scipy's resamples of 300 skewed numbers both give the same limits to all digits.

    Scipy does not expand the percentile, so it is asked for the level whose normal quantile is the
    expanded one: 1.971 in place of 1.960.
    """
    values = np.random.default_rng(seed).exponential(size=300)
    level = 2 * stats.norm.cdf(expanded_quantile(300)) - 1
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=2000, method="BCa", confidence_level=level, rng=seed
    )
    jackknife = (values.sum() - values) / 299
    found = bca_interval(
        float(values.mean()), theirs.bootstrap_distribution, jackknife, np.ones(300, np.int64)
    )
    assert found == pytest.approx(tuple(theirs.confidence_interval), rel=1e-9)


def test_kappa_over_three_categories():
    """Labels down, verdicts across, ten pairs:

        4 1 0
        1 2 0
        0 1 1

    Agreement (4 + 2 + 1) / 10 = 0.7. By chance, with margins 5 3 2 and 5 4 1:
    (25 + 12 + 2) / 100 = 0.39. Kappa (0.7 − 0.39) / 0.61 = 31 / 61.
    """
    cells = {(0, 0): 4, (0, 1): 1, (1, 0): 1, (1, 1): 2, (2, 1): 1, (2, 2): 1}
    labels = integers(*(row for (row, _), n in cells.items() for _ in range(n)))
    verdicts = integers(*(column for (_, column), n in cells.items() for _ in range(n)))
    estimate = kappa_estimate(confusion_rows(labels, verdicts), np.arange(10), seed=0)
    assert estimate is not None
    assert estimate.value == pytest.approx(31 / 61)
    assert estimate.n == 10
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < 31 / 61 < estimate.high


def test_kappa_is_one_for_equal_raters_and_zero_for_one_that_always_says_the_same():
    labels = integers(0, 1, 2, 0)
    alike = kappa_estimate(confusion_rows(labels, labels), np.arange(4), seed=0)
    always = kappa_estimate(confusion_rows(labels, integers(0, 0, 0, 0)), np.arange(4), seed=0)
    assert alike is not None
    assert always is not None
    assert (alike.value, always.value) == (1, 0)


def test_kappa_is_not_a_number_where_chance_agrees_always():
    same = integers(0, 0, 0)
    assert kappa_estimate(confusion_rows(same, same), np.arange(3), seed=0) is None
    empty = integers()
    assert kappa_estimate(confusion_rows(empty, empty), empty, seed=0) is None


def test_kappa_is_that_of_a_library_for_every_table():
    tables = np.random.default_rng(0).integers(0, 30, (50, 9)).astype(np.float64)
    expected = [kappa_of_one_table(table.reshape(3, 3), return_results=False) for table in tables]
    assert cohens_kappa(tables) == pytest.approx(expected)
