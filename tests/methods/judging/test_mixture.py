"""The mixture of one judge under one principle, against draws whose parts are known."""

import math
import random
from collections.abc import Sequence

import pytest

from cai.methods.judging.mixture import MIN_PAIRS, Mixture, fit_mixture


def draws(n: int, *, silent: float = 0.6, centre: float = 4.0, seed: int = 0) -> list[float]:
    """Log-odds: silent ones of width 0.5, speaking ones of width 1 around ±centre."""
    rng = random.Random(seed)
    return [
        rng.gauss(0, 0.5) if rng.random() < silent else rng.gauss(rng.choice((-centre, centre)), 1)
        for _ in range(n)
    ]


def fitted(log_odds: Sequence[float]) -> Mixture:
    rng = random.Random(1)
    found = fit_mixture(log_odds, [rng.gauss(0.2, 0.3) for _ in log_odds])
    assert found is not None
    return found


def test_the_parts_of_the_draws_are_found_again():
    found = fitted(draws(2000))
    assert found.n == 2000
    assert found.silent == pytest.approx(0.6, abs=0.03)
    assert found.silent_width == pytest.approx(0.5, abs=0.05)
    assert found.centre == pytest.approx(4, abs=0.15)
    assert found.speaking_width == pytest.approx(1, abs=0.1)


def test_the_order_of_the_pairs_changes_nothing():
    pairs = draws(500)
    differences = [0.1 * (number % 7) for number in range(500)]
    mixed = list(zip(pairs, differences, strict=True))
    random.Random(2).shuffle(mixed)
    again = fit_mixture([s for s, _ in mixed], [b for _, b in mixed])
    assert again == fit_mixture(pairs, differences)


def test_the_mirror_image_has_the_same_fit():
    pairs = draws(300)
    assert fitted(pairs) == fitted([-each for each in pairs])


@pytest.mark.parametrize("n", [0, 1, MIN_PAIRS - 1])
def test_few_pairs_have_no_mixture(n: int):
    assert fit_mixture([1.0] * n, [0.0] * n) is None


@pytest.mark.parametrize(
    "log_odds", [[0.0] * 50, [13.8] * 50, [13.8] * 25 + [-13.8] * 25, [1e-9] * 49 + [13.8]]
)
def test_pairs_that_are_all_alike_have_a_fit_too(log_odds: list[float]):
    found = fit_mixture(log_odds, [0.0] * 50)
    assert found is not None
    for each in (-13.8, -1.0, 0.0, 1.0, 13.8):
        for_a, for_b = found.posterior(each)
        assert 0 <= for_a <= 1 and 0 <= for_b <= 1 and for_a + for_b <= 1 + 1e-12
        assert (for_a - for_b) * each >= 0


def test_a_posterior_is_that_of_bayes():
    mixture = Mixture(100, silent=0.5, silent_width=1.0, centre=2.0, speaking_width=2.0)

    def density(s: float, mean: float, width: float) -> float:
        return math.exp(-(((s - mean) / width) ** 2) / 2) / width

    silent, for_a, for_b = (
        0.5 * density(1.5, 0, 1),
        0.25 * density(1.5, 2, 2),
        0.25 * density(1.5, -2, 2),
    )
    total = silent + for_a + for_b
    assert mixture.posterior(1.5) == pytest.approx((for_a / total, for_b / total))
    assert mixture.posterior(-1.5) == pytest.approx((for_b / total, for_a / total))


def test_far_from_everything_a_principle_speaks():
    for_a, for_b = fitted(draws(400)).posterior(1000.0)
    assert for_a == pytest.approx(1) and for_b == pytest.approx(0)
