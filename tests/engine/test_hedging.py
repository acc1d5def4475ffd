"""Hedging: a straggler is asked a second time where seats are idle, and else nothing is."""

import asyncio

import pytest
from slow_servers import AWAY, SlowServer, call_of
from virtual_time import in_virtual_time, now_s

from cai.engine.calls import Answer
from cai.engine.scheduler import Scheduler
from cai.errors import ModelError
from cai.models.base import Limits

CALL = call_of()


async def hedging(server: SlowServer) -> Scheduler:
    """A pool that knows from 32 calls that they take as long as they do now."""
    pool = Scheduler(server, hedges=True, clock=now_s)
    await asyncio.gather(*(pool.answer(CALL) for _ in range(32)))
    server.texts.clear()
    return pool


def server_of(seats: int = 8, takes_s: float = 1.0) -> SlowServer:
    return SlowServer(limits=Limits(seats, seats), takes_s=takes_s)


async def begun(pool: Scheduler, server: SlowServer, takes_s: float) -> "asyncio.Task[Answer]":
    """A call that takes so long; later ones take a second again."""
    server.takes_s = takes_s
    task = asyncio.create_task(pool.answer(CALL))
    for _ in range(3):
        await asyncio.sleep(0)
    server.takes_s = 1.0
    return task


@in_virtual_time
async def test_a_straggler_is_asked_twice_and_the_first_answer_is_taken():
    """Calls take 1 s. One that hangs is late then, and its second answer comes after another."""
    server = server_of(seats=32)
    pool = await hedging(server)
    began_s = now_s()
    straggler = await begun(pool, server, 4.9)
    assert getattr(await straggler, "text", "") == "Left."
    assert now_s() - began_s == 2.0
    assert (pool.n_hedged, len(server.texts)) == (1, 2)
    assert (server.n_cancelled, server.now, pool.views()[0].in_flight) == (1, 0, 0)


@in_virtual_time
async def test_where_the_first_one_comes_first_the_second_is_cancelled():
    server = server_of(seats=32)
    pool = await hedging(server)
    began_s = now_s()
    straggler = await begun(pool, server, 1.5)
    await straggler
    assert now_s() - began_s == 1.5
    assert (pool.n_hedged, server.n_cancelled, server.now) == (1, 1, 0)


@in_virtual_time
async def test_nothing_is_asked_twice_while_most_seats_are_taken():
    server = server_of(seats=2)
    pool = await hedging(server)
    tasks = [await begun(pool, server, 4.0) for _ in range(2)]
    await asyncio.gather(*tasks)
    assert (pool.n_hedged, len(server.texts)) == (0, 2)


@in_virtual_time
async def test_it_is_asked_twice_as_soon_as_seats_fall_idle():
    """7 calls take 3.1 s; the straggler is looked at each 0.5 s, at 3.5 s asked again for 1 s."""
    server = server_of(seats=8, takes_s=1.0)
    pool = await hedging(server)
    began_s = now_s()
    others = [await begun(pool, server, 3.1) for _ in range(7)]
    straggler = await begun(pool, server, 4.9)
    await asyncio.gather(*others)
    assert pool.n_hedged == 0
    await straggler
    assert now_s() - began_s == 4.5
    assert pool.n_hedged == 1


@in_virtual_time
async def test_nothing_is_asked_twice_before_it_is_known_what_is_late():
    server = server_of()
    pool = Scheduler(server, hedges=True, clock=now_s)
    await (await begun(pool, server, 100.0))
    assert pool.n_hedged == 0


@in_virtual_time
async def test_when_one_of_both_fails_the_other_is_waited_for():
    server = server_of(seats=32)
    pool = await hedging(server)
    straggler = await begun(pool, server, 4.0)
    server.error = AWAY
    assert getattr(await straggler, "text", "") == "Left."
    assert (pool.n_hedged, len(server.texts)) == (1, 2)


@in_virtual_time
async def test_a_failure_before_it_is_late_is_the_answer():
    server = server_of(seats=32)
    pool = await hedging(server)
    server.error = ModelError("Too rude.")
    with pytest.raises(ModelError, match="rude"):
        await pool.answer(CALL)
    assert (pool.n_hedged, len(server.texts)) == (0, 1)


@in_virtual_time
async def test_a_caller_that_is_cancelled_cancels_both():
    server = server_of(seats=32)
    pool = await hedging(server)
    server.takes_s = 4.9
    straggler = asyncio.create_task(pool.answer(CALL))
    await asyncio.sleep(1.5)
    assert (pool.n_hedged, server.now) == (1, 2)
    straggler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await straggler
    assert (server.n_cancelled, server.now, pool.views()[0].in_flight) == (2, 0, 0)
    assert len(asyncio.all_tasks()) == 1


@in_virtual_time
async def test_without_hedging_a_straggler_is_waited_for():
    server = server_of(seats=32)
    pool = Scheduler(server, clock=now_s)
    await asyncio.gather(*(pool.answer(CALL) for _ in range(32)))
    await (await begun(pool, server, 4.0))
    assert pool.n_hedged == 0
