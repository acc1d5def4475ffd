"""The pool: which endpoint a call goes to, whose call goes first, and what waits for how long."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from slow_servers import AWAY, SlowServer, Spread, call_of
from virtual_time import in_virtual_time, now_s

from cai.engine.calls.call import EXAMPLE, Answer, Example
from cai.engine.calls.pool import PATIENCE_S, Pool
from cai.engine.calls.retry import Retry
from cai.errors import ModelError, ModelUnavailable, RunStopped
from cai.models.protocol import Completion, Limits, Sampling
from cai.models.scripted import ScriptedModel
from cai.types import Message

CALL = call_of()
Answers = list[Answer | BaseException]


def pool_of(*servers: SlowServer, on_room: Callable[[], None] = lambda: None) -> Pool:
    return Pool(Spread(*servers), on_room=on_room, clock=now_s)


async def asked(pool: Pool, n: int) -> Answers:
    """So many calls at a time, asked again where a failure may pass."""
    retry = Retry(jitter=lambda: 0.0)
    calls = (retry.answer(CALL, lambda: pool.answer(CALL)) for _ in range(n))
    return await asyncio.gather(*calls, return_exceptions=True)


async def settled(*tasks: Awaitable[object]) -> list[object]:
    return list(await asyncio.gather(*tasks, return_exceptions=True))


def begun(pool: Pool, text: str = "?", number: int = 0) -> "asyncio.Task[Answer]":
    """A call of the example of that number."""

    async def ask() -> Answer:
        EXAMPLE.set(Example(number))
        return await pool.answer(call_of(text))

    return asyncio.create_task(ask())


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
async def test_when_one_of_two_endpoints_dies_the_other_answers_all_calls():
    dead, alive = SlowServer("a", takes_s=1.0), SlowServer("b", takes_s=1.0)
    pool = pool_of(dead, alive)
    first = asyncio.create_task(asked(pool, 20))
    await asyncio.sleep(1.5)
    dead.error = AWAY
    assert not [each for each in await first if isinstance(each, BaseException)]
    n_tries, n_seconds = len(dead.texts), now_s()
    assert not [each for each in await asked(pool, 40) if isinstance(each, BaseException)]
    assert len(dead.texts) - n_tries <= (now_s() - n_seconds) / 2  # it is tried, now and then
    assert pool.views()[0].down_for_s is not None


@in_virtual_time
async def test_an_endpoint_that_is_back_is_found_by_one_call_and_gets_its_share_again():
    back, other = SlowServer("a", error=AWAY), SlowServer("b", takes_s=1.0)
    pool = pool_of(back, other)
    await asked(pool, 4)
    back.error, back.takes_s, back.texts = None, 1.0, []
    assert not [each for each in await asked(pool, 40) if isinstance(each, BaseException)]
    assert pool.views()[0].down_for_s is None
    assert len(back.texts) > 10 and back.most == 2


@in_virtual_time
async def test_when_all_are_away_calls_wait_and_go_on_when_one_is_back():
    """Nobody's attempts are used up: nine minutes outlast the ten of `Retry`, about three."""
    servers = SlowServer("a", error=AWAY), SlowServer("b", error=AWAY)
    pool = pool_of(*servers)
    calls = asyncio.create_task(asked(pool, 30))
    await asyncio.sleep(545.0)
    assert not calls.done()
    assert pool.n_waiting == 30
    # one before it is known; then at 1, 3, 7 and 15 s, and each 15 s from 30 to 540 s: 4 + 35
    assert [len(server.texts) for server in servers] == [1 + 4 + 35] * 2
    servers[1].error = None
    assert not [each for each in await calls if isinstance(each, BaseException)]
    assert now_s() <= 1000.0 + 545.0 + 15.0


@in_virtual_time
async def test_after_ten_minutes_away_those_that_wait_are_told_so():
    pool = pool_of(SlowServer("a", error=AWAY))
    with pytest.raises(ModelUnavailable) as first:
        await pool.answer(CALL)
    assert first.value is AWAY
    errors = await settled(*(begun(pool) for _ in range(50)))
    assert PATIENCE_S < now_s() - 1000.0 <= PATIENCE_S + 15.0
    assert pool.n_waiting == 0
    for error in errors:
        assert isinstance(error, ModelUnavailable) and error.retryable
        assert str(error).startswith("a could not be reached for 10 minutes. Start it again")


@in_virtual_time
async def test_calls_that_break_their_server_do_not_keep_it_down():
    """Twelve take it down. They are the oldest, and still another one's try finds it well."""
    crash = ModelUnavailable("Crashed.", cause="server error")

    class Breaking(SlowServer):
        async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
            self.error = crash if messages[-1].content == "bad" else None
            return await super().complete(messages, sampling)

    pool = pool_of(Breaking(limits=Limits(12, 12)))
    retry = Retry(jitter=lambda: 0.0)

    async def ask(text: str, number: int) -> Answer:
        EXAMPLE.set(Example(number))
        return await retry.answer(CALL, lambda: pool.answer(call_of(text)))

    bad = [asyncio.create_task(ask("bad", 1 + i)) for i in range(12)]
    good = await settled(*(ask("good", 100 + i) for i in range(20)))
    assert not [each for each in good if isinstance(each, BaseException)]
    assert now_s() == 1001.0
    assert {type(each) for each in await settled(*bad)} == {ModelUnavailable}


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
        EXAMPLE.set(Example(number))
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


class CancelOnce(list["asyncio.Task[Answer]"]):
    """Cancels the task in it at the next sign of room: just after a seat was given."""

    def __call__(self) -> None:
        if self:
            self.pop().cancel()


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
async def test_a_try_whose_caller_is_cancelled_as_it_gets_its_seat_is_made_by_another():
    server, cancel = SlowServer(error=AWAY), CancelOnce()
    pool = pool_of(server, on_room=cancel)
    await settled(begun(pool))
    server.error = None
    first, second = begun(pool, "1", 1), begun(pool, "2", 2)
    await asyncio.sleep(0.5)
    cancel.append(first)
    await settled(first, second)
    assert first.cancelled()
    assert server.texts[1:] == ["2"]
    assert pool.views()[0].down_for_s is None


@in_virtual_time
async def test_there_is_room_for_as_many_more_as_seats_are_free_and_a_few_that_wait():
    """8 seats and 1 + 8 // 8 = 2 that may wait: 10, less those in flight and those that wait."""
    rooms: list[int] = []
    server = SlowServer(limits=Limits(8, 8), takes_s=1.0)
    pool = pool_of(server, on_room=lambda: rooms.append(pool.n_more))
    assert (pool.n_seats, pool.n_more) == (8, 10)
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
    assert Pool(ScriptedModel()).n_more == 64


@in_virtual_time
async def test_a_failure_that_is_no_servers_goes_to_its_caller_alone():
    server = SlowServer(error=ModelError("Too rude."))
    pool = pool_of(server)
    with pytest.raises(ModelError, match="rude"):
        await pool.answer(CALL)
    server.error = None
    assert getattr(await pool.answer(CALL), "text", "") == "Left."
