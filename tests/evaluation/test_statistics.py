"""Kappa, calibration, correlations and intervals, each against arithmetic done by hand."""

import numpy as np
import pytest

from cai.evaluation.stats.bootstrap import (
    Floats,
    Integers,
    bootstrap,
    kappa_estimate,
    share_estimate,
    unit_of,
)
from cai.evaluation.stats.calibration import (
    Bin,
    Overlap,
    accuracy_points,
    brier,
    calibration_curve,
    confusion_rows,
    ece,
    ece_by_side,
    pearson,
    percent_agreement,
    ranks,
    spearman,
)
from cai.types import Message, Prompt, user_prompt


def floats(*values: float) -> Floats:
    return np.array(values, np.float64)


def integers(*values: int) -> Integers:
    return np.array(values, np.int64)


def share(points: Floats, units: Integers | None = None, seed: int = 0):
    return share_estimate(
        points, np.ones(len(points)), np.arange(len(points)) if units is None else units, seed
    )


# Accuracy and kappa


def test_no_side_is_right_by_one_half():
    """Sides a 0, b 1, none 2: right, wrong, none, right, none: (1 + 0 + ½ + 1 + ½) / 5 = 0.6."""
    points = accuracy_points(integers(0, 0, 0, 1, 1), integers(0, 1, 2, 1, 2))
    assert points.tolist() == [1, 0, 0.5, 1, 0.5]
    estimate = share(points)
    assert estimate is not None
    assert (estimate.value, estimate.n) == (0.6, 5)


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


# Calibration


def test_ece_is_the_gap_between_confidence_and_share_right():
    """p_a and label: 0.9 a, 0.9 a, 0.9 b, 0.2 b. Confidences 0.9, 0.9, 0.9 and 0.8.

    Bin 0.9: |2 right − 2.7| = 0.7; bin 0.8: |1 − 0.8| = 0.2. Together 0.9 / 4 = 0.225.
    """
    p_a, is_a = floats(0.9, 0.9, 0.9, 0.2), np.array([True, True, False, False])
    assert ece(p_a, is_a) == pytest.approx(0.225)


def test_exchanging_the_sides_of_one_pair_changes_ece_by_side_alone():
    """0.9 a and 0.1 a: confidence 0.9 twice, right once: |1 − 1.8| / 2 = 0.4.

    By side the two are in bins of their own: (|1 − 0.9| + |1 − 0.1|) / 2 = 0.5. With the second
    pair exchanged it is 0.9 b: by side one bin, |1 − 1.8| / 2 = 0.4.
    """
    p_a, is_a = floats(0.9, 0.1), np.array([True, True])
    exchanged = floats(0.9, 0.9), np.array([True, False])
    assert ece(p_a, is_a) == pytest.approx(0.4)
    assert ece(*exchanged) == pytest.approx(0.4)
    assert ece_by_side(p_a, is_a) == pytest.approx(0.5)
    assert ece_by_side(*exchanged) == pytest.approx(0.4)


def test_a_judge_that_says_one_half_is_calibrated_and_knows_nothing():
    """An even probability is right by one half: no gap; the Brier score is ¼."""
    p_a, is_a = floats(0.5, 0.5, 0.5), np.array([True, True, False])
    assert ece(p_a, is_a) == 0
    assert brier(p_a, is_a) == 0.25


def test_brier_is_the_mean_squared_distance():
    """(0.1² + 0.2² + 0.5²) / 3 = 0.30 / 3."""
    p_a, is_a = floats(0.9, 0.2, 0.5), np.array([True, False, True])
    assert brier(p_a, is_a) == pytest.approx(0.1)


def test_the_curve_has_the_bins_that_are_not_empty():
    """0.0 opens the first bin, 0.3 the fourth (though 3 × 0.1 > 0.3), 1.0 closes the last."""
    p_a = floats(0.0, 0.3, 0.39, 0.95, 1.0)
    is_a = np.array([False, True, False, True, True])
    assert calibration_curve(p_a, is_a) == (
        Bin(0.0, 0.1, 1, 0.0, 0.0),
        Bin(0.3, 0.4, 2, pytest.approx(0.345), 0.5),
        Bin(0.9, 1.0, 2, pytest.approx(0.975), 1.0),
    )


def test_a_bin_has_the_interval_of_its_share():
    """Wilson for 1 of 1, z² = 3.8416: the lower bound is 1 / (1 + z²) = 0.2065, the upper 1.

    For 5 of 10: ½ ± √(z²/40 + z⁴/400) / (1 + z²/10) = ½ ± 0.2634.
    """
    assert Bin(0.9, 1.0, 1, 0.95, 1.0).bounds == (pytest.approx(0.2065, abs=1e-4), 1)
    assert Bin(0.4, 0.5, 10, 0.45, 0.5).bounds == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_nothing_has_no_calibration():
    none = np.array([], bool)
    assert (ece(floats(), none), ece_by_side(floats(), none), brier(floats(), none)) == (None,) * 3
    assert calibration_curve(floats(), none) == ()


# Series


def test_pearson_by_hand():
    """x − 2 = −1, 0, 1; y − 5/3 = −2/3, 1/3, 1/3. Products 1, squares 2 and 2/3: 1 / √(4/3)."""
    assert pearson(floats(1, 2, 3), floats(1, 2, 2)) == pytest.approx((3 / 4) ** 0.5)


def test_spearman_by_hand():
    """Ranks 1 2 3 4 against 1 3 2 4: 1 − 6 · 2 / (4 · 15) = 0.8."""
    assert spearman(floats(1, 2, 3, 4), floats(10, 20, 15, 4000)) == pytest.approx(0.8)


def test_equal_values_share_the_mean_of_their_ranks():
    assert ranks(floats(5, 1, 5, 3)).tolist() == [3.5, 1, 3.5, 2]


def test_a_constant_series_or_two_points_correlate_with_nothing():
    assert pearson(floats(1, 1, 1), floats(1, 2, 3)) is None
    assert spearman(floats(1, 2, 3), floats(0.1, 0.1, 0.1)) is None
    assert pearson(floats(1, 2), floats(1, 2)) is None


def test_agreement_counts_only_where_both_have_a_value():
    nan = float("nan")
    x, y = floats(1, -1, nan, 1, 1), floats(1, 1, 1, nan, 1)
    assert percent_agreement(x, y) == Overlap(3, pytest.approx(2 / 3))
    assert percent_agreement(floats(nan), floats(1)) == Overlap(0, None)


# Intervals


def test_two_prompts_have_three_resamples():
    """0 and 1 drawn twice: means 0, ½, 1 with chances ¼, ½, ¼; 95 % of them reach from 0 to 1."""
    sums = np.array([[0.0, 1.0], [1.0, 1.0]])
    assert bootstrap(sums, lambda drawn: drawn[:, 0] / drawn[:, 1], seed=1) == (0, 1)


def test_drawing_kinds_is_drawing_units():
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


def test_all_right_has_exact_bounds():
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
    assert share(floats()) is None


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
