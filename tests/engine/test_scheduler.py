"""The pool: which endpoint a call goes to, whose call goes first, and how much room there is."""

import asyncio

import pytest
from pooled_calls import CALL, CancelOnce, asked, begun, pool_of, settled
from slow_servers import SlowServer, call_of
from virtual_time import in_virtual_time

from cai.engine.calls import EXAMPLE, ExampleInFlight
from cai.engine.scheduler import Scheduler
from cai.errors import ModelError, RunStopped
from cai.models.base import Limits
from cai.models.scripted import ScriptedModel


@in_virtual_time
async def test_each_call_goes_to_the_endpoint_with_the_least_share_of_its_seats_taken():
    """4 and 2 seats: shares 0 0, ¼ 0, ¼ ½, ½ ½, ¾ ½, ¾ 1; of equal ones the first is taken."""
    large = SlowServer("a", Limits(4, 4), takes_s=1.0)
    small = SlowServer("b", Limits(2, 2), takes_s=1.0)
    pool = pool_of(large, small)
    taken: list[tuple[int, int]] = []
    tasks = []
    for _ in range(6):
        tasks.append(begun(pool))
        await asyncio.sleep(0)
        taken.append((large.now, small.now))
    assert taken == [(1, 0), (1, 1), (2, 1), (3, 1), (3, 2), (4, 2)]
    await settled(*tasks)


@in_virtual_time
async def test_no_endpoint_is_asked_more_than_it_has_seats_and_all_calls_are_answered():
    servers = [SlowServer("a", takes_s=1.0), SlowServer("b", Limits(3, 3), takes_s=2.0)]
    pool = pool_of(*servers)
    answers = await asked(pool, 50)
    assert {getattr(answer, "text", answer) for answer in answers} == {"Left."}
    assert [server.most for server in servers] == [2, 3]
    assert (pool.n_waiting, [view.in_flight for view in pool.views()]) == (0, [0, 0])


@in_virtual_time
async def test_older_examples_go_first():
    server = SlowServer(limits=Limits(1, 1), takes_s=1.0)
    pool = pool_of(server)
    tasks = [begun(pool, text, number) for text, number in [("first", 9), ("c", 3), ("b", 2)]]
    await asyncio.sleep(0)
    tasks += [begun(pool, text, number) for text, number in [("a", 1), ("b2", 2)]]
    await settled(*tasks)
    assert server.texts == ["first", "a", "b", "b2", "c"]


@in_virtual_time
async def test_levelled_out_those_that_have_come_least_far_go_first():
    server = SlowServer(limits=Limits(1, 1), takes_s=1.0)
    pool = pool_of(server)

    async def chain(number: int) -> None:
        EXAMPLE.set(ExampleInFlight(number))
        for step in range(3):
            await pool.answer(call_of(f"{number}.{step}"))

    old = asyncio.create_task(chain(1))
    await asyncio.sleep(1.5)  # it is at its second step
    tasks = [old, asyncio.create_task(chain(2)), asyncio.create_task(chain(3))]
    await asyncio.sleep(0)
    pool.level_out()
    pool.level_out()
    await settled(*tasks)
    assert server.texts == ["1.0", "1.1", "2.0", "3.0", "2.1", "3.1", "1.2", "2.2", "3.2"]


@in_virtual_time
async def test_a_pool_that_refuses_lets_those_in_flight_finish():
    server = SlowServer(takes_s=1.0)
    pool = pool_of(server)
    tasks = [begun(pool) for _ in range(5)]
    await asyncio.sleep(0.5)
    stop = RunStopped("Enough.")
    pool.refuse(stop)
    results = await settled(*tasks, begun(pool))
    assert [getattr(result, "text", result) for result in results] == ["Left."] * 2 + [stop] * 4
    assert (server.now, pool.n_waiting) == (0, 0)


@in_virtual_time
async def test_callers_that_are_cancelled_while_they_wait_leave_nothing():
    server = SlowServer(limits=Limits(1, 1), takes_s=1.0)
    pool = pool_of(server)
    tasks = [begun(pool, str(i), i) for i in range(6)]
    await asyncio.sleep(0.5)
    for task in tasks[1:5]:
        task.cancel()
    assert len(await settled(*tasks[1:5])) == 4
    assert pool.n_waiting == 1
    await settled(*tasks)
    assert server.texts == ["0", "5"]
    assert (pool.n_waiting, pool.views()[0].in_flight) == (0, 0)


@in_virtual_time
async def test_a_caller_that_is_cancelled_as_it_gets_a_seat_gives_it_back():
    server, cancel = SlowServer(limits=Limits(1, 1), takes_s=1.0), CancelOnce()
    pool = pool_of(server, on_room=cancel)
    first, second = begun(pool, "first", 1), begun(pool, "second", 2)
    await asyncio.sleep(0.5)
    cancel.append(second)
    await settled(first, second)
    assert second.cancelled()
    assert pool.views()[0].in_flight == 0
    await settled(begun(pool, "third", 3))
    assert server.texts == ["first", "third"]


@in_virtual_time
async def test_there_is_room_for_as_many_more_as_seats_are_free_and_a_few_that_wait():
    """8 seats and 1 + 8 // 8 = 2 that may wait: 10, less those in flight and those that wait."""
    rooms: list[int] = []
    server = SlowServer(limits=Limits(8, 8), takes_s=1.0)
    pool = pool_of(server, on_room=lambda: rooms.append(pool.n_more))
    assert (pool.n_slots, pool.n_more) == (8, 10)
    tasks = [begun(pool) for _ in range(3)]
    await asyncio.sleep(0)
    assert pool.n_more == 7
    tasks += [begun(pool) for _ in range(9)]
    await asyncio.sleep(0)
    assert (pool.n_more, pool.n_waiting) == (-2, 4)
    rooms.clear()
    await settled(*tasks)
    assert min(rooms) == 1 and rooms[-1] == 10


def test_a_model_that_queues_its_calls_itself_is_given_no_more_than_it_needs():
    assert Scheduler(ScriptedModel()).n_more == 64


@in_virtual_time
async def test_a_failure_that_is_no_servers_goes_to_its_caller_alone():
    server = SlowServer(error=ModelError("Too rude."))
    pool = pool_of(server)
    with pytest.raises(ModelError, match="rude"):
        await pool.answer(CALL)
    server.error = None
    assert getattr(await pool.answer(CALL), "text", "") == "Left."
