"""The temperature that makes a judge's probabilities agree best with labels of people."""

import math
import random

import pytest

from cai.errors import EvaluationError
from cai.evaluation.stats.calibration import fit_temperature, logistic


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
    labels = [rng.random() < logistic(logit / true) for logit in logits]
    found = fit_temperature([logistic(logit) for logit in logits], labels)
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


@pytest.mark.parametrize(("logit", "p"), [(0, 0.5), (math.log(3), 0.75), (800, 1), (-800, 0)])
def test_the_logistic_of_any_number_is_a_probability(logit: float, p: float):
    assert logistic(logit) == pytest.approx(p)
