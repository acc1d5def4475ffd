"""Whether an endpoint lives: what brings it down, who tries it and when, and what brings it up."""

import pytest

from cai.engine.endpoint import EndpointHealth
from cai.errors import Cause, ModelError, ModelUnavailable

AWAY = ModelUnavailable("Connection refused.", cause="unreachable")
BROKEN = ModelUnavailable("Connection reset.", cause="broken connection")


def tried(health: EndpointHealth, now_s: float) -> EndpointHealth:
    """After a try that found nobody."""
    assert health.admits(now_s)
    health.note_start(now_s)
    health.note_failure(AWAY, now_s, now_s)
    return health


def down() -> EndpointHealth:
    """Down since 10 s, to be tried at 11 s."""
    health = EndpointHealth()
    health.note_start(9.0)
    health.note_failure(AWAY, 9.0, 10.0)
    return health


def test_it_is_up_until_something_fails():
    assert EndpointHealth().admits(0.0)


def test_a_refused_connection_takes_it_down_at_once():
    health = down()
    assert health.down_since_s == 10.0
    assert not health.admits(10.9)


@pytest.mark.parametrize("cause", ["server error", "broken connection", "time-out"])
def test_twelve_failures_of_the_server_in_a_row_take_it_down(cause: Cause):
    health = EndpointHealth()
    for _ in range(11):
        health.note_failure(ModelUnavailable("No.", cause=cause), 0.0, 1.0)
    assert health.admits(1.0)
    health.note_failure(ModelUnavailable("No.", cause=cause), 0.0, 2.0)
    assert health.down_since_s == 2.0
    assert not health.admits(2.0)


@pytest.mark.parametrize(
    "sign", [None, "rate limit", "invalid answer", "refused request", "context length"]
)
def test_whatever_shows_life_ends_the_row(sign: Cause | None):
    health = EndpointHealth()
    for _ in range(5):
        for _ in range(11):
            health.note_failure(BROKEN, 0.0, 1.0)
        if sign is None:
            health.note_success()
        else:
            health.note_failure(ModelError("Read and refused.", sign), 0.0, 1.0)
    assert health.down_since_s is None


def test_while_it_is_down_one_call_at_a_time_tries():
    health = down()
    assert health.admits(11.0)
    health.note_start(11.0)
    assert not health.admits(11.0)
    assert not health.admits(1000.0)


def test_the_pauses_between_tries_double_up_to_the_longest():
    """1, 2, 4, 8, then 15 s rather than 16, from the end of each try."""
    health, now_s, pauses = down(), 10.0, []
    for _ in range(6):
        pauses.append(health.probe_at_s - now_s)
        now_s = health.probe_at_s
        assert not health.admits(now_s - 0.01)
        tried(health, now_s)
    assert pauses == [1, 2, 4, 8, 15, 15]
    assert health.down_since_s == 10.0


def test_a_try_that_succeeds_brings_it_up_and_the_pauses_begin_anew():
    health = tried(tried(down(), 11.0), 13.0)
    health.note_start(17.0)
    health.note_success()
    assert health.down_since_s is None
    assert health.admits(17.0)
    health.note_failure(AWAY, 17.0, 18.0)
    assert (health.down_since_s, health.probe_at_s) == (18.0, 19.0)


def test_a_refusal_shows_life_too():
    health = down()
    health.note_start(11.0)
    health.note_failure(ModelUnavailable("Too many.", cause="rate limit"), 11.0, 11.5)
    assert health.down_since_s is None


def test_calls_that_were_in_flight_when_it_died_change_nothing():
    health = down()
    for _ in range(64):
        health.note_failure(BROKEN, 9.5, 10.5)
    assert (health.down_since_s, health.probe_at_s) == (10.0, 11.0)


def test_nor_do_they_when_they_end_during_a_try():
    health = down()
    health.note_start(11.0)
    health.note_failure(AWAY, 9.5, 11.2)
    health.note_abandoned(9.5)
    assert health.is_probing
    assert not health.admits(20.0)
    health.note_failure(AWAY, 11.0, 12.0)  # the try itself
    assert health.probe_at_s == 14.0


def test_after_a_try_that_was_given_up_the_next_call_tries():
    health = down()
    health.note_start(11.0)
    health.note_abandoned(11.0)
    assert health.admits(11.0)
    assert health.down_since_s == 10.0
