"""The adaptive limit against simulated servers: where it settles, and what does not move it."""

import heapq
import math
import random
from collections.abc import Callable

import pytest

from cai.engine.concurrency import AdaptiveLimit

MEAN_S = 0.3
Serve = Callable[[int, random.Random], tuple[float, bool]]
"""From the calls in flight: seconds for a token, and whether the call is refused."""


def settled(limit: AdaptiveLimit, serve: Serve, n_calls: int = 20_000, seed: int = 0) -> list[int]:
    """The limit after each of so many calls to a server that always has calls waiting for it."""
    rng = random.Random(seed)
    now_s, in_flight = 0.0, 0
    ends: list[tuple[float, float, int, bool]] = []
    values: list[int] = []
    while len(values) < n_calls:
        while in_flight < limit.value:
            in_flight += 1
            limit.note_full()
            tokens = 1 + int(rng.lognormvariate(4.0, 0.8))
            a_token_s, is_refused = serve(in_flight, rng)
            seconds = 0.01 if is_refused else tokens * a_token_s
            heapq.heappush(ends, (now_s + seconds, seconds, tokens, is_refused))
        now_s, seconds, tokens, is_refused = heapq.heappop(ends)
        in_flight -= 1
        limit.note(seconds, 0 if is_refused else tokens, float(is_refused), now_s)
        values.append(limit.value)
    return values


def in_time(rng: random.Random) -> float:
    return 0.004 * rng.uniform(0.9, 1.1)


def unlimited(in_flight: int, rng: random.Random) -> tuple[float, bool]:
    return in_time(rng), False


def fifo(slots: int) -> Serve:
    """Calls beyond the slots wait: every one takes longer, and no more are done."""
    return lambda in_flight, rng: (in_time(rng) * max(1.0, in_flight / slots), False)


def refusing(slots: int) -> Serve:
    """Calls beyond the slots are refused at once."""
    return lambda in_flight, rng: (in_time(rng), in_flight > slots)


def batching(in_flight: int, rng: random.Random) -> tuple[float, bool]:
    """Slower with each call in flight, and still faster in all: throughput rises to the end."""
    return in_time(rng) * math.sqrt(in_flight), False


def faulty(share: float) -> Serve:
    """Refuses by chance, however few are in flight."""
    return lambda in_flight, rng: (in_time(rng), rng.random() < share)


def test_it_grows_fast_to_its_bound_where_nothing_speaks_against_it():
    values = settled(AdaptiveLimit(64, 256, 0.0), unlimited, 600)
    assert values[-1] == 256


def test_where_calls_queue_it_settles_a_little_above_the_slots():
    values = settled(AdaptiveLimit(64, 1024, 0.0), fifo(100), 60_000)[30_000:]
    assert min(values) >= 100 and max(values) <= 320


def test_where_calls_are_refused_it_settles_a_little_above_the_slots():
    values = settled(AdaptiveLimit(64, 1024, 0.0), refusing(100))[10_000:]
    assert min(values) >= 40 and max(values) <= 130


def test_a_server_that_batches_is_not_taken_for_one_that_queues():
    values = settled(AdaptiveLimit(64, 256, 0.0), batching)[5000:]
    assert sum(values) / len(values) > 160


@pytest.mark.parametrize("share", [0.04, 0.12])
def test_faults_by_chance_do_not_choke_it(share: float):
    values = settled(AdaptiveLimit(64, 64, 0.0), faulty(share), 40_000)
    assert sum(values) / len(values) > 48


def test_a_server_that_refuses_everything_is_asked_less_and_less():
    assert settled(AdaptiveLimit(64, 64, 0.0), faulty(1.0), 20_000)[-1] <= 2


def test_it_comes_back_when_the_server_does():
    limit = AdaptiveLimit(64, 64, 0.0)
    assert settled(limit, faulty(1.0))[-1] <= 2
    assert settled(limit, unlimited, 20_000)[-1] == 64


def test_a_server_three_times_slower_gets_fewer_calls():
    limit = AdaptiveLimit(64, 64, 0.0)
    settled(limit, unlimited, 2000)
    slow = settled(limit, lambda in_flight, rng: (4 * in_time(rng), False), 1000)
    assert slow[-1] < 40


def test_it_never_leaves_its_bounds():
    for serve in (unlimited, fifo(3), refusing(3), faulty(0.5), batching):
        values = settled(AdaptiveLimit(8, 32, 0.0), serve, 5000)
        assert min(values) >= 1 and max(values) <= 32
