"""The learnt time-out: from which latencies, its bounds, and what a time-out does to it."""

import math

import pytest

from cai.engine.endpoint import LEAST_S, Timeout


def learnt(latencies: list[float], longest_s: float | None = 600.0) -> Timeout:
    timeout = Timeout(longest_s)
    for seconds in latencies:
        timeout.note(seconds)
    return timeout


@pytest.mark.parametrize(("longest_s", "seconds"), [(600.0, 600.0), (None, math.inf)])
def test_before_enough_is_known_it_is_the_longest(longest_s: float | None, seconds: float):
    timeout = learnt([0.1] * 31, longest_s)
    assert timeout.seconds == seconds
    assert timeout.slow_call_s is None


def test_it_is_four_times_what_one_call_in_a_hundred_exceeds():
    """Of 32 latencies the one at index ⌊0.99 · 32⌋ = 31 is the largest: 3 s, and 4 · 3 = 12."""
    timeout = learnt([1.0] * 31 + [3.0])
    assert timeout.slow_call_s == 3.0
    assert timeout.seconds == 12.0


def test_of_many_calls_the_slowest_in_a_hundred_do_not_count():
    """Of 512, index ⌊0.99 · 512⌋ = 506 leaves out the 5 slowest: 2 s, and 4 · 2 = 8."""
    timeout = learnt([50.0] * 5 + [2.0] * 507)
    assert timeout.slow_call_s == 2.0
    assert timeout.seconds == 8.0


def test_old_latencies_are_forgotten():
    timeout = learnt([10.0] * 512 + [2.0] * 512)
    assert timeout.seconds == 8.0


def test_it_is_never_less_than_its_floor_nor_more_than_its_longest():
    assert learnt([0.001] * 32).seconds == LEAST_S
    assert learnt([200.0] * 32).seconds == 600.0
    assert learnt([1.0] * 32, longest_s=3.0).seconds == 3.0


def test_one_that_is_a_little_too_long_is_left_as_it_is():
    """4 · 3 = 12 s; then 4 · 2.5 = 10 s is within 0.8 · 12 = 9.6 … 12, and 4 · 2 = 8 s is not."""
    timeout = learnt([3.0] * 512)
    for _ in range(512):
        timeout.note(2.5)
    assert timeout.seconds == 12.0
    for _ in range(512):
        timeout.note(2.0)
    assert timeout.seconds == 8.0


def test_slower_calls_raise_it_at_once():
    timeout = learnt([2.0] * 32)
    for _ in range(32):
        timeout.note(2.1)
    assert timeout.seconds == 8.4


def test_note_says_whether_it_changed():
    timeout = Timeout(600.0)
    changes = [timeout.note(2.0) for _ in range(64)]
    assert [i for i, has_changed in enumerate(changes) if has_changed] == [31]


def test_it_doubles_after_each_time_out_up_to_the_longest_and_a_success_takes_it_back():
    timeout = learnt([2.0] * 32, longest_s=30.0)
    timeout.note_expiry(8.0)
    assert timeout.seconds == 16.0
    timeout.note_expiry(16.0)
    assert timeout.seconds == 30.0  # not 32
    assert timeout.note(9.0)
    assert timeout.seconds == 8.0


def test_calls_that_hang_together_double_it_once():
    """64 calls of 8 s that expire at the same time are one sign: 16 s, not 8 · 2^64."""
    timeout = learnt([2.0] * 32)
    for _ in range(64):
        timeout.note_expiry(8.01)
    assert timeout.seconds == 16.0


def test_a_time_out_before_anything_is_known_leaves_it_the_longest():
    timeout = Timeout(None)
    timeout.note_expiry(30.0)
    assert timeout.seconds == math.inf
