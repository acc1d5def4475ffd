"""The estimate of a whole run from a sample: totals, uncertainty and time, worked out by hand."""

import math

import pytest

from cai.engine.budget import Ledger, Price, PriceList
from cai.engine.endpoint import EndpointView
from cai.engine.progress import Snapshot
from cai.models.base import Usage
from cai.runs.options import RoleEstimate, Spread, estimate

PRICES = PriceList(({"judge-model": Price(million_in_usd=10, million_out_usd=20)},))


def spread_of(*tokens: int) -> Spread:
    spread = Spread()
    for each in tokens:
        spread.add(Usage(each - 1, 1))
    return spread


def ledger_of(*entries: tuple[str, str, Usage]) -> Ledger:
    ledger = Ledger(PRICES)
    for role, model, usage in entries:
        ledger.add(role, model, usage)
    return ledger


def lane(limit: int | None, latency_s: float | None) -> EndpointView:
    return EndpointView("server", 0, limit, latency_s, None)


def test_where_no_example_is_done_nothing_is_foretold():
    assert estimate(Ledger(PRICES), Spread(), 100, Snapshot()) is None


def test_totals_are_those_of_the_sample_times_what_it_is_a_part_of():
    """4 of 100 are done, so all is times 25: calls 2 · 25, tokens 3000 · 25 and 600 · 25.

    Dollars: (3000 · 10 + 600 · 20) / 10⁶ = 0.042, and 0.042 · 25 = 1.05.
    """
    ledger = ledger_of(
        ("judge", "judge-model", Usage(1000, 200)), ("judge", "judge-model", Usage(2000, 400))
    )
    found = estimate(ledger, spread_of(900, 900, 900, 900), 100, Snapshot())
    assert found is not None
    assert (found.n_sample, found.n_total, found.n_calls) == (4, 100, 50)
    (role,) = found.roles
    assert role == RoleEstimate("judge", "judge-model", 50, 75_000, 15_000, pytest.approx(1.05))
    assert found.cost_usd == pytest.approx(1.05)
    assert found.seconds is None  # nothing was done this time, so nobody knows how fast it goes


def test_roles_are_told_apart_in_order_and_one_unknown_price_makes_the_cost_unknown():
    ledger = ledger_of(("respond", "odd", Usage(1, 1)), ("judge", "judge-model", Usage(1, 1)))
    found = estimate(ledger, spread_of(4), 10, Snapshot())
    assert found is not None
    assert [(role.role, role.cost_usd is None) for role in found.roles] == [
        ("judge", False),
        ("respond", True),
    ]
    assert found.cost_usd is None
    assert found.n_calls == 20


def test_the_uncertainty_is_half_of_the_interval_as_a_share_of_the_mean():
    """Of 80, 100, 120: mean 100, variance (400 + 0 + 400) / 2 = 400, so 20 / √3 is its error.

    1.96 · 20 / √3 / 100 = 0.2263.
    """
    uncertainty = spread_of(80, 100, 120).uncertainty
    assert uncertainty == pytest.approx(1.96 * 20 / math.sqrt(3) / 100)
    assert uncertainty == pytest.approx(0.2263, abs=1e-4)


def test_examples_that_take_the_same_leave_no_uncertainty():
    assert spread_of(70, 70, 70).uncertainty == 0.0
    assert spread_of(*[1_000_003] * 7).uncertainty == pytest.approx(0.0, abs=1e-6)


def test_one_example_or_none_says_nothing_of_how_they_differ():
    assert spread_of().uncertainty is None
    assert spread_of(70).uncertainty is None
    silent = Spread()
    for _ in range(3):
        silent.add(Usage())
    assert silent.uncertainty is None


def test_four_times_as_many_examples_halve_the_uncertainty():
    few, many = spread_of(*[50, 150] * 500).uncertainty, spread_of(*[50, 150] * 2000).uncertainty
    assert few is not None and many is not None
    assert few / many == pytest.approx(2.0, rel=1e-3)


def test_the_time_is_that_of_the_calls_left_by_littles_law():
    """2 endpoints of 8 calls at 2 s and 4 at 4 s end 8/2 + 4/4 = 5 calls a second.

    10 of 100 examples are done, by 30 calls: 300 in all, of which 270 are left, in 54 s.
    """
    ledger = ledger_of(*[("judge", "judge-model", Usage(1, 1))] * 30)
    snapshot = Snapshot(elapsed_s=1000, done=10, endpoints=(lane(8, 2.0), lane(4, 4.0)))
    found = estimate(ledger, spread_of(*[7] * 10), 100, snapshot)
    assert found is not None
    assert found.seconds == pytest.approx(54.0)


def test_examples_of_earlier_starts_are_no_more_left_to_do():
    """As before, with 5 of the 10 done in an earlier start."""
    ledger = ledger_of(*[("judge", "judge-model", Usage(1, 1))] * 30)
    snapshot = Snapshot(done=5, n_before=5, endpoints=(lane(8, 2.0), lane(4, 4.0)))
    found = estimate(ledger, spread_of(*[7] * 10), 100, snapshot)
    assert found is not None
    assert found.seconds == pytest.approx(54.0)


@pytest.mark.parametrize(
    "endpoints", [(), (lane(None, 0.5),), (lane(8, None),), (lane(8, 2.0), lane(None, 0.5))]
)
def test_without_known_seats_the_pace_of_the_sample_is_taken(endpoints: tuple[EndpointView, ...]):
    """10 examples took 20 s, so the other 90 take 180 s."""
    ledger = ledger_of(*[("judge", "judge-model", Usage(1, 1))] * 30)
    snapshot = Snapshot(elapsed_s=20, done=10, endpoints=endpoints)
    found = estimate(ledger, spread_of(*[7] * 10), 100, snapshot)
    assert found is not None
    assert found.seconds == pytest.approx(180.0)


def test_a_sample_that_is_the_whole_leaves_nothing_to_do():
    ledger = ledger_of(("judge", "judge-model", Usage(1000, 200)))
    snapshot = Snapshot(elapsed_s=20, done=2, endpoints=(lane(8, 2.0),))
    found = estimate(ledger, spread_of(500, 700), 2, snapshot)
    assert found is not None
    assert (found.n_calls, found.seconds) == (1, 0.0)


def test_nothing_is_uncertain_where_every_example_is_done():
    spread = spread_of(80, 100, 120)
    whole = estimate(Ledger(), spread, 3, Snapshot())
    twice = estimate(Ledger(), spread, 6, Snapshot())
    assert whole is not None and whole.uncertainty == 0.0
    assert twice is not None and twice.uncertainty == pytest.approx(0.2263 / math.sqrt(2), abs=1e-4)
