"""Calibration, temperature and correlations, each against arithmetic by hand or a library."""

import math
import random

import numpy as np
import pytest
from scipy.special import expit
from sklearn.calibration import calibration_curve as curve_of_sklearn
from sklearn.metrics import brier_score_loss

from cai.errors import EvaluationError
from cai.evaluation.stats.bootstrap import Floats, Integers, share_estimate
from cai.evaluation.stats.calibration import (
    Bin,
    accuracy_points,
    apply_temperature,
    brier,
    calibration_curve,
    confusion_rows,
    ece,
    ece_by_side,
    fit_temperature,
    pearson,
    spearman,
)


def floats(*values: float) -> Floats:
    return np.array(values, np.float64)


def integers(*values: int) -> Integers:
    return np.array(values, np.int64)


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


def test_curve_and_brier_score_are_those_of_a_library():
    """Of 500 random probabilities, none of them on an edge of a bin, where the two differ."""
    rng = np.random.default_rng(0)
    p_a = rng.random(500)
    is_a = rng.random(500) < p_a
    shares, means = curve_of_sklearn(is_a, p_a, n_bins=10)
    curve = calibration_curve(p_a, is_a)
    assert [each.share_a for each in curve] == pytest.approx(shares)
    assert [each.mean_p_a for each in curve] == pytest.approx(means)
    weighted = sum(each.n * abs(each.share_a - each.mean_p_a) for each in curve) / 500
    assert ece_by_side(p_a, is_a) == pytest.approx(weighted)
    assert brier(p_a, is_a) == pytest.approx(brier_score_loss(is_a, p_a))


def test_a_judge_of_one_certainty_is_made_as_sure_as_it_is_right():
    """It says 0.9 each time, a logit of log 9, and is right 3 times in 4, a logit of log 3.

    The loss is least where σ(log 9 / T) = 3/4, so T = log 9 / log 3 = 2.
    """
    assert fit_temperature([0.9] * 4, [True, True, True, False]) == pytest.approx(2, abs=1e-6)


def test_a_judge_that_is_less_sure_than_right_is_sharpened():
    """0.6 of a judge that is right 9 times in 10: T = log 1.5 / log 9 = 0.1845."""
    found = fit_temperature([0.6] * 10, [True] * 9 + [False])
    assert found == pytest.approx(math.log(1.5) / math.log(9), abs=1e-6)


@pytest.mark.parametrize("true", [0.25, 0.7, 1.0, 3.0])
def test_a_known_temperature_is_found_again(true: float):
    """Labels drawn from σ(logit / T) of 20 000 pairs: within 5 %."""
    rng = random.Random(f"temperature {true}")
    logits = [rng.gauss(0, 1.5) for _ in range(20_000)]
    labels = [rng.random() < expit(logit / true) for logit in logits]
    found = fit_temperature([expit(logit) for logit in logits], labels)
    assert found == pytest.approx(true, rel=0.05)


def test_which_side_is_called_a_has_no_part():
    rng = random.Random(0)
    p = [rng.random() for _ in range(200)]
    labels = [rng.random() < each for each in p]
    swapped = fit_temperature([1 - each for each in p], [not label for label in labels])
    assert swapped == pytest.approx(fit_temperature(p, labels), rel=1e-6)


def test_a_judge_that_is_always_right_or_always_wrong_meets_the_ends_of_the_range():
    assert fit_temperature([0.6, 0.4], [True, False]) == pytest.approx(0.02, rel=1e-3)
    assert fit_temperature([0.6, 0.4], [False, True]) == pytest.approx(50, rel=1e-3)


def test_certainties_can_be_fitted():
    """Probabilities of 0 and 1 have no logit; they count as nearly certain."""
    found = fit_temperature([1.0, 1.0, 0.0, 1.0], [True, True, False, False])
    assert found == pytest.approx(math.log(1e6 - 1) / math.log(3), rel=1e-3)


@pytest.mark.parametrize("p", [[], [0.5, 0.5]])
def test_a_judge_that_favours_nothing_has_no_temperature(p: list[float]):
    with pytest.raises(EvaluationError, match="no pair on which the judge favours a side"):
        fit_temperature(p, [True] * len(p))


def test_a_judge_that_is_always_right_and_sure_is_at_the_end_of_the_range_too():
    """Where the loss is nothing but rounding, its derivative still falls."""
    assert fit_temperature([0.9, 0.1], [True, False]) == 0.02


def test_the_temperature_is_where_no_other_has_less_loss():
    """Cross-entropy at T is below that at 1 % more and 1 % less."""
    rng = random.Random(1)
    p = [rng.random() for _ in range(300)]
    labels = [rng.random() < 0.3 + 0.4 * each for each in p]
    best = fit_temperature(p, labels)

    def loss(temperature: float) -> float:
        scaled = [apply_temperature(each, temperature) for each in p]
        return -sum(
            math.log(q if label else 1 - q) for q, label in zip(scaled, labels, strict=True)
        )

    assert loss(best) < min(loss(1.01 * best), loss(best / 1.01))


def test_no_side_is_right_by_one_half():
    """Sides a 0, b 1, none 2: right, wrong, none, right, none: (1 + 0 + ½ + 1 + ½) / 5 = 0.6."""
    points = accuracy_points(integers(0, 0, 0, 1, 1), integers(0, 1, 2, 1, 2))
    assert points.tolist() == [1, 0, 0.5, 1, 0.5]
    estimate = share_estimate(points, np.ones(5), np.arange(5), seed=0)
    assert estimate is not None
    assert (estimate.value, estimate.n) == (0.6, 5)


def test_a_confusion_row_has_its_one_at_label_and_verdict():
    """Label 2, verdict 1: row 2 of three, column 1, place 3 · 2 + 1 = 7."""
    rows = confusion_rows(integers(0, 2), integers(0, 1))
    assert rows.argmax(axis=1).tolist() == [0, 7]
    assert rows.sum(axis=1).tolist() == [1, 1]


def test_pearson_by_hand():
    """x − 2 = −1, 0, 1; y − 5/3 = −2/3, 1/3, 1/3. Products 1, squares 2 and 2/3: 1 / √(4/3)."""
    assert pearson(floats(1, 2, 3), floats(1, 2, 2)) == pytest.approx((3 / 4) ** 0.5)


def test_spearman_by_hand():
    """Ranks 1 2 3 4 against 1 3 2 4: 1 − 6 · 2 / (4 · 15) = 0.8."""
    assert spearman(floats(1, 2, 3, 4), floats(10, 20, 15, 4000)) == pytest.approx(0.8)


def test_equal_values_share_the_mean_of_their_ranks():
    """Ranks 3.5 1 3.5 2 against 1 2 3 4: −1.5 + 0.75 + 0.5 − 0.75 = −1 over √(4.5 · 5)."""
    assert spearman(floats(5, 1, 5, 3), floats(1, 2, 3, 4)) == pytest.approx(-1 / 22.5**0.5)


def test_a_constant_series_or_two_points_correlate_with_nothing():
    assert pearson(floats(1, 1, 1), floats(1, 2, 3)) is None
    assert spearman(floats(1, 2, 3), floats(0.1, 0.1, 0.1)) is None
    assert pearson(floats(1, 2), floats(1, 2)) is None
