"""The bucket of requests or tokens a minute: what it grants at once, and when the next one."""

from cai.engine.endpoint import Bucket


def granted_within(bucket: Bucket, seconds: float, units: float = 1.0) -> int:
    """How many calls of so many units are granted from 0 s on, each as early as it may go."""
    n, now_s = 0, 0.0
    while (now_s := bucket.ready_at_s(now_s)) <= seconds:
        bucket.take(units, now_s)
        n += 1
    return n


def test_no_rate_grants_everything_at_once():
    bucket = Bucket(None, 0.0)
    bucket.take(1e9, 5.0)
    assert bucket.ready_at_s(5.0) == 5.0


def test_two_seconds_worth_go_at_once_and_then_so_many_a_second():
    """600 a minute are 10 a second: 20 at once, and 10 · 60 = 600 in the minute after."""
    assert granted_within(Bucket(600, 0.0), 0.0) == 20
    assert abs(granted_within(Bucket(600, 0.0), 60.0) - 620) <= 1


def test_the_slowest_rate_still_grants_a_call_at_once():
    """1 a minute has room for one, and the next needs only a level above 0: two within a
    second, and 10 more in ten minutes.
    """
    assert granted_within(Bucket(1, 0.0), 1.0) == 2
    assert granted_within(Bucket(1, 0.0), 601.0) == 12


def test_when_it_says_that_it_is_ready_it_is():
    bucket = Bucket(77, 0.0)
    bucket.take(50.0, 0.0)
    at_s = bucket.ready_at_s(0.0)
    assert at_s > 0.0
    assert bucket.ready_at_s(at_s) == at_s


def test_a_call_larger_than_the_bucket_goes_and_later_ones_wait_for_it():
    """60 a minute is 1 a second, room 2; after 12 units the level is −10, above 0 after 10 s."""
    bucket = Bucket(60, 0.0)
    assert bucket.ready_at_s(0.0) == 0.0
    bucket.take(12, 0.0)
    assert bucket.ready_at_s(0.0) == 10.001


def test_idle_time_is_saved_for_two_seconds_only():
    bucket = Bucket(600, 0.0)
    assert bucket.ready_at_s(3600.0) == 3600.0
    for _ in range(20):
        bucket.take(1, 3600.0)
    assert bucket.ready_at_s(3600.0) > 3600.0


def test_what_was_guessed_too_high_is_given_back():
    bucket = Bucket(60, 0.0)
    bucket.take(12, 0.0)
    bucket.take(-11, 0.0)  # it took one
    assert bucket.ready_at_s(0.0) == 0.0


def test_what_is_given_back_is_never_more_than_the_room():
    bucket = Bucket(60, 0.0)
    bucket.take(-1000, 0.0)
    bucket.take(2, 1.0)
    assert bucket.ready_at_s(1.0) > 1.0
