"""One endpoint: its seats, its rates, its time-outs, and what its calls say of it."""

import asyncio

import pytest
from slow_servers import AWAY, Hand, SlowServer, call_of
from virtual_time import in_virtual_time, now_s

from cai.engine.endpoint import Endpoint
from cai.errors import Cause, ModelError, ModelUnavailable
from cai.models.base import Completion, Limits, Usage
from cai.models.scripted import ScriptedModel

CALL = call_of()


async def asked(lane: Endpoint, n_tokens: int = 0) -> object:
    """The answer or the error of a call that has a seat."""
    lane.take(n_tokens)
    try:
        return await lane.send(CALL, n_tokens)
    except ModelError as error:
        return error
    finally:
        lane.leave()


def test_seats_are_those_that_the_server_begins_with():
    lane = Endpoint(SlowServer(limits=Limits(start=2, calls=64)))
    assert (lane.limit, lane.load) == (2, 0.0)
    lane.take(0)
    assert lane.is_open() and lane.load == 0.5
    lane.take(0)
    assert not lane.is_open() and lane.load == 1.0
    assert lane.opens_at_s() is None  # the end of a call will tell
    lane.leave()
    assert lane.is_open()


@pytest.mark.parametrize(("cap", "limit"), [(1, 1), (8, 8), (100, 64)])
def test_a_cap_is_both_where_it_begins_and_the_most(cap: int, limit: int):
    assert Endpoint(SlowServer(limits=Limits(start=2, calls=64)), cap).limit == limit


def test_a_model_that_queues_its_calls_itself_has_any_number_of_seats():
    lane = Endpoint(ScriptedModel())
    for _ in range(1000):
        lane.take(0)
    assert lane.is_open()
    assert lane.limit is None
    assert lane.load == 1000 / 64
    assert Endpoint(ScriptedModel(), cap=3).limit == 3


def test_requests_a_minute_make_it_wait():
    """30 a minute are one in 2 s, with room for 1 at once and for another that overdraws it."""
    clock = Hand()
    lane = Endpoint(SlowServer(limits=Limits(8, 8, requests_per_minute=30)), clock=clock)
    lane.take(0)
    assert lane.opens_at_s() == clock.now_s + 0.002
    clock.now_s += 0.002
    lane.take(0)
    opens_s = lane.opens_at_s()
    assert opens_s is not None and 1.9 < opens_s - clock.now_s < 2.1
    assert not lane.is_open()
    clock.now_s = opens_s
    assert lane.is_open()


async def test_tokens_a_minute_are_guessed_before_a_call_and_counted_after():
    """60 a minute have room for 2: after a guess of 12 it is 10 short, of 8 in truth 6."""
    clock = Hand()
    server = SlowServer(limits=Limits(8, 8, tokens_per_minute=60), usage=Usage(5, 3))
    lane = Endpoint(server, clock=clock)
    lane.take(12)
    assert lane.opens_at_s() == clock.now_s + 10.001
    await lane.send(CALL, 12)
    assert lane.opens_at_s() == clock.now_s + 6.001


async def test_an_answer_is_noted_as_latency_and_nothing_is_left():
    clock = Hand()

    class Taking(SlowServer):
        async def complete(self, *request: object) -> Completion:
            clock.now_s += 2.0
            return Completion("Left.")

    lane = Endpoint(Taking(), clock=clock)
    assert lane.view().latency_s is None
    await asked(lane)
    view = lane.view()
    assert (view.name, view.in_flight, view.limit) == ("server", 0, 2)
    assert (view.latency_s, view.down_for_s) == (2.0, None)


@in_virtual_time
async def test_a_call_that_hangs_times_out():
    server = SlowServer(limits=Limits(2, 2, timeout_s=90.0))
    server.open.clear()
    lane = Endpoint(server, clock=now_s)
    began_s = now_s()
    error = await asked(lane)
    assert now_s() - began_s == 90.0
    assert isinstance(error, ModelUnavailable)
    assert error.retryable and error.cause == "time-out"
    assert "server gave no answer within 90 s" in str(error)
    assert "check the server's load" in str(error)
    assert (server.n_cancelled, lane.in_flight) == (1, 0)


@in_virtual_time
async def test_a_time_out_that_is_learnt_ends_calls_that_are_open_already():
    """One hangs. Others of 2 s one after the other: after 32, at 64 s, the time-out is 8 s."""
    began_s = now_s()
    server = SlowServer()
    lane = Endpoint(server, clock=now_s)
    server.open.clear()
    hung = asyncio.create_task(asked(lane))
    await asyncio.sleep(0)
    server.open = asyncio.Event()
    server.open.set()
    server.takes_s = 2.0
    for n_done in range(32):
        assert not hung.done(), n_done
        await asked(lane)
    error = await hung
    assert isinstance(error, ModelUnavailable) and error.cause == "time-out"
    assert now_s() - began_s == 64.0


@in_virtual_time
async def test_a_time_out_that_grows_again_spares_calls_that_are_open():
    """Learnt from calls of 1 s: 5 s. Calls of 3 s make it 12 s, and one of 10 s is not ended."""
    server = SlowServer(takes_s=1.0, limits=Limits(64, 64))
    lane = Endpoint(server, clock=now_s)
    for _ in range(32):
        await asked(lane)
    assert lane.timeout.seconds == 5.0
    server.takes_s = 4.0
    slow = [asyncio.create_task(asked(lane)) for _ in range(32)]
    await asyncio.sleep(2.0)
    server.takes_s = 10.0
    slowest = asyncio.create_task(asked(lane))
    await asyncio.gather(*slow)
    assert lane.timeout.seconds == 16.0
    assert isinstance(await slowest, Completion)


@in_virtual_time
async def test_calls_that_hang_together_double_the_time_out_once():
    server = SlowServer(takes_s=2.0, limits=Limits(64, 64))
    lane = Endpoint(server, clock=now_s)
    for _ in range(32):
        await asked(lane)
    assert lane.timeout.seconds == 8.0
    server.open.clear()
    errors = await asyncio.gather(*(asked(lane) for _ in range(32)))
    assert {str(error).partition(" within ")[2][:3] for error in errors} == {"8 s"}
    assert lane.timeout.seconds == 16.0


@pytest.mark.parametrize(("cause", "limit"), [("rate limit", 32), ("server error", 38)])
async def test_refusals_make_the_seats_fewer_and_faults_less_so(cause: Cause, limit: int):
    """All of 64 calls are refused: 1 - 0.5 of the seats stay, the most that is cut at once.

    As errors of the server they count half, 0.5 - 0.1 = 0.4 is cut, and 64 · 0.6 = 38.4 stay.
    """
    clock = Hand()
    error = ModelUnavailable("No.", cause=cause)
    lane = Endpoint(SlowServer(limits=Limits(64, 64), error=error), clock=clock)
    for _ in range(64):
        clock.now_s += 0.1
        await asked(lane)
    assert lane.limit == limit


async def test_an_unreachable_server_is_down_until_a_try_succeeds():
    clock = Hand()
    server = SlowServer(error=AWAY)
    lane = Endpoint(server, clock=clock)
    assert await asked(lane) is AWAY
    assert lane.is_down and not lane.is_open()
    assert lane.opens_at_s() == clock.now_s + 1.0
    clock.now_s += 1.0
    assert lane.down_for_s == 1.0
    assert lane.is_open()
    lane.take(0)
    assert not lane.is_open()
    assert lane.opens_at_s() is None  # the end of the try will tell
    server.error = None
    await lane.send(CALL, 0)
    assert not lane.is_down
    assert lane.view().down_for_s is None


async def test_a_try_that_nobody_made_is_given_back():
    clock = Hand()
    lane = Endpoint(SlowServer(error=AWAY), clock=clock)
    await asked(lane)
    clock.now_s += 1.0
    lane.take(0)
    lane.leave_unused()
    assert lane.is_open()
    assert lane.in_flight == 0


@in_virtual_time
async def test_a_cancelled_call_leaves_nothing():
    server = SlowServer(limits=Limits(2, 2, timeout_s=60.0))
    server.open.clear()
    lane = Endpoint(server, clock=now_s)
    task = asyncio.create_task(asked(lane))
    await asyncio.sleep(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (lane.in_flight, server.now, server.n_cancelled) == (0, 0, 1)
    assert lane.view().latency_s is None
    await asyncio.sleep(100.0)  # past its time-out, which has gone with it
    assert lane.is_open() and not lane.is_down
