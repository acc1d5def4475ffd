"""The stream and its room: when items are begun, how the last are announced, and how a run ends."""

import asyncio
from collections.abc import Callable

import pytest

from cai.engine.calls import EXAMPLE
from cai.engine.stream import READ_AHEAD, AtMost, stream
from cai.errors import CaiError, ModelUnavailable, RunStopped

STOP = RunStopped("The cap is reached.")


class Growing:
    """Room for `most` items, and a record of what it was asked."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked: list[tuple[int, int | None]] = []
        self.tell: Callable[[], None] = lambda: None

    def n_more(self, n_in_flight: int, n_left: int | None) -> int:
        self.asked.append((n_in_flight, n_left))
        return self.most - n_in_flight

    def watch(self, tell: Callable[[], None]) -> None:
        self.tell = tell


async def at_once(number: int) -> int:
    return number


async def test_a_run_that_is_stopped_finishes_what_is_in_flight_and_records_none_that_was_not():
    """4 in flight: 10 is told of the stop; 11, 12 and 13, in flight with it, come to their ends."""
    begun: list[int] = []
    is_over = asyncio.Event()

    async def work(number: int) -> int:
        begun.append(number)
        if number == 10:
            is_over.set()
            raise STOP
        if number > 10:
            await is_over.wait()
            await asyncio.sleep(0.001 * number)
        return number

    seen: list[object] = []
    with pytest.raises(RunStopped) as caught:
        async for _, result in stream(range(100_000), work, Growing(4)):
            seen.append(result)
    assert caught.value is STOP
    assert begun[-1] <= 14
    assert sorted(seen) == [number for number in begun if number != 10]
    assert STOP not in seen


async def test_all_that_are_told_of_the_stop_end_without_a_record():
    async def work(number: int) -> int:
        if number % 2:
            raise RunStopped("Another one.")
        return number

    pairs: list[object] = []
    with pytest.raises(RunStopped):
        async for pair in stream(range(6), work, AtMost(6)):
            pairs.append(pair)
    assert set(pairs) <= {(0, 0), (2, 2), (4, 4)}


async def test_failures_while_a_stopped_run_drains_do_not_make_a_row():
    async def work(number: int) -> int:
        if number == 0:
            raise STOP
        await asyncio.sleep(0.002)
        raise ModelUnavailable("Refused.")

    pairs: list[tuple[int, int | CaiError]] = []
    with pytest.raises(RunStopped):
        async for pair in stream(range(8), work, AtMost(8), stop_after=3):
            pairs.append(pair)
    assert {type(result) for _, result in pairs} <= {ModelUnavailable}


async def test_the_last_items_are_announced():
    """Nobody knows how many are left while there may be more than are read ahead."""
    room = Growing(2)
    n = READ_AHEAD + 100
    async for _ in stream(range(n), at_once, room):
        pass
    n_left = [each for _, each in room.asked]
    n_unknown = n_left.count(None)
    assert n_unknown > 50
    assert set(n_left[:n_unknown]) == {None}
    known = [each for each in n_left if each is not None]
    assert known[0] < READ_AHEAD + 32  # so many are read at once
    assert known == sorted(known, reverse=True)
    assert known[-1] == 1


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 64])
async def test_of_a_short_source_all_is_known_soon(n: int):
    room = Growing(1)
    found = [number async for number, _ in stream(range(n), at_once, room)]
    assert found == list(range(n))
    assert None not in [each for _, each in room.asked[2:]]


async def test_room_that_grows_wakes_the_stream():
    room, begun, may_end = Growing(2), [], asyncio.Event()

    async def work(number: int) -> int:
        begun.append(number)
        await may_end.wait()
        return number

    async def through() -> int:
        return len([pair async for pair in stream(range(10), work, room)])

    task = asyncio.create_task(through())
    await asyncio.sleep(0.005)
    assert begun == [0, 1]
    room.most = 5
    await asyncio.sleep(0.005)
    assert begun == [0, 1]  # nobody has said so yet
    room.tell()
    await asyncio.sleep(0.005)
    assert begun == [0, 1, 2, 3, 4]
    may_end.set()
    assert await task == 10


async def test_without_any_room_one_item_at_a_time_is_under_work():
    most = now = 0

    async def work(number: int) -> int:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return number

    assert len([pair async for pair in stream(range(20), work, Growing(-5))]) == 20
    assert most == 1


async def test_each_item_is_an_example_of_its_own_in_the_order_of_beginning():
    async def numbered(item: str) -> int:
        await asyncio.sleep(0)
        example = EXAMPLE.get()
        assert example is not None
        return example.number

    pairs = [pair async for pair in stream("abcdef", numbered, AtMost(3))]
    assert sorted(pairs) == list(zip("abcdef", range(1, 7), strict=True))
    assert EXAMPLE.get() is None
