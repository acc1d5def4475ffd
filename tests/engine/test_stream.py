"""The stream: how many at once, in which order, what a failure does, and what stopping does."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from cai.engine.stream import READ_AHEAD, AtMost, ItemFailure, stream
from cai.errors import (
    CaiError,
    ContextLengthError,
    JournalError,
    ModelError,
    ModelUnavailable,
    PromptError,
    UsageError,
)


class Counted:
    """Doubles numbers, slowly, and counts how many are under work."""

    def __init__(self) -> None:
        self.now = self.most = self.cancelled = 0

    async def __call__(self, number: int) -> int:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.001 * (number % 3))
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # an end that takes a moment
            self.cancelled += 1
            raise
        finally:
            self.now -= 1
        return 2 * number


async def doubled(number: int) -> int:
    return 2 * number


async def gathered(items, work, concurrency: int = 4, stop_after: int = 25):
    return [pair async for pair in stream(items, work, AtMost(concurrency), stop_after)]


async def test_every_item_comes_back_with_its_result():
    pairs = await gathered(range(100), Counted())
    assert sorted(pairs) == [(number, 2 * number) for number in range(100)]


async def test_no_items_give_no_results():
    assert await gathered([], doubled) == []


async def test_exactly_so_many_are_in_flight():
    work = Counted()
    await gathered(range(50), work, concurrency=7)
    assert work.most == 7
    assert work.now == 0


async def test_results_come_in_the_order_of_completion_without_barriers():
    gate = asyncio.Event()

    async def first_is_slow(number: int) -> int:
        if number == 0:
            await gate.wait()
        if number == 9:
            gate.set()
        return number

    pairs = await gathered(range(10), first_is_slow, concurrency=2)
    assert [number for number, _ in pairs] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


async def test_few_items_are_pulled_before_there_is_room():
    pulled: list[int] = []

    def endless() -> Iterator[int]:
        number = 0
        while True:
            pulled.append(number)
            yield number
            number += 1

    n_seen = 0
    async with aclosing(stream(endless(), Counted(), AtMost(5))) as results:
        async for _ in results:
            n_seen += 1
            assert len(pulled) <= n_seen + 5 + READ_AHEAD + 32
            if n_seen == 5000:
                break
    assert n_seen == 5000


async def test_the_failure_of_one_item_is_data_and_spares_the_others():
    async def picky(number: int) -> int:
        if number % 10 == 3:
            raise ModelError(f"No answer to {number}.")
        return number

    pairs = await gathered(range(30), picky)
    failures = {number: str(result) for number, result in pairs if isinstance(result, CaiError)}
    assert failures == {number: f"No answer to {number}." for number in (3, 13, 23)}
    assert len(pairs) == 30


async def test_an_unforeseen_failure_is_data_with_its_type_and_its_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
):
    async def broken(number: int) -> float:
        return 1 / number

    with caplog.at_level(logging.DEBUG, "cai.engine.stream"):
        pairs = await gathered([0, 1], broken)
    failure = dict(pairs)[0]
    assert isinstance(failure, ItemFailure)
    assert str(failure) == "ZeroDivisionError: division by zero"
    assert "return 1 / number" in caplog.text
    assert dict(pairs)[1] == 1.0


async def test_a_row_of_failures_stops_the_stream_and_none_of_them_is_given_out():
    asked: list[int] = []

    async def dies_after_ten(number: int) -> int:
        asked.append(number)
        if number >= 10:
            raise ModelUnavailable("Connection refused.")
        return number

    seen: list[object] = []
    with pytest.raises(ModelError, match=r"25 examples in a row failed.*refused.*same command"):
        async for pair in stream(range(100_000), dies_after_ten, AtMost(4)):
            seen.append(pair)
    assert seen == [(number, number) for number in range(10)]
    assert len(asked) < 10 + 25 + 4 + 1


async def test_a_row_of_bugs_stops_the_stream_as_a_bug():
    async def broken(number: int) -> float:
        return number / 0

    with pytest.raises(ItemFailure, match="ZeroDivisionError"):
        await gathered(range(100), broken)


async def test_a_success_breaks_the_row():
    async def every_third_works(number: int) -> int:
        if number % 3:
            raise ModelError("Refused.")
        return number

    pairs = await gathered(range(60), every_third_works, concurrency=1, stop_after=3)
    assert [number for number, _ in pairs][:4] == [0, 1, 2, 3]
    assert len(pairs) == 60


async def test_an_item_that_is_too_long_says_nothing_of_the_server_and_keeps_the_row():
    async def dead_server(number: int) -> int:
        if number % 2:
            raise ContextLengthError("Too long.")
        raise ModelUnavailable("Connection refused.")

    seen: list[int] = []
    with pytest.raises(ModelError, match="3 examples in a row"):
        async for number, _ in stream(range(100), dead_server, AtMost(1), stop_after=3):
            seen.append(number)
    assert seen == [1, 3]


async def test_a_row_of_refused_contents_never_stops_the_stream():
    """Prompts of red teams may all be flagged; that says nothing of the server."""

    async def flagged(number: int) -> int:
        raise ModelError("Flagged.", "refused content")

    assert len(await gathered(range(100), flagged)) == 100


async def test_a_row_of_failures_is_told_by_the_last_of_each_cause():
    async def dead_server(number: int) -> int:
        raise ModelError(f"Said {number}.", "refused key" if number % 2 else "chat template")

    with pytest.raises(ModelError, match=r"Said 24\. Said 23\. Finished"):
        await gathered(range(100), dead_server, concurrency=1)


@pytest.mark.parametrize("kind", [ContextLengthError, PromptError])
async def test_failures_of_the_items_themselves_never_stop_the_stream(kind: type[CaiError]):
    async def refused(number: int) -> int:
        raise kind(f"Item {number} is unfit.")

    pairs = await gathered(range(100), refused)
    assert {type(result) for _, result in pairs} == {kind}
    assert len(pairs) == 100


async def test_failures_too_few_to_stop_are_given_out_at_the_end():
    async def refused(number: int) -> int:
        raise ModelError("Refused.")

    pairs = await gathered(range(24), refused)
    assert len(pairs) == 24


async def test_a_run_folder_that_cannot_be_written_stops_the_stream_at_once():
    work = Counted()

    async def disk_fills(number: int) -> int:
        if number == 5:
            raise JournalError("The disk is full.")
        return await work(number)

    with pytest.raises(JournalError, match="disk is full"):
        await gathered(range(100_000), disk_fills)
    assert work.now == 0


async def test_a_source_that_fails_stops_the_stream_and_what_is_in_flight():
    work = Counted()

    def broken_source() -> Iterator[int]:
        yield 2
        yield 2
        raise PromptError("Line 3 is broken.")

    with pytest.raises(PromptError, match="Line 3"):
        await gathered(broken_source(), work)
    assert work.now == 0


async def test_a_consumer_that_stops_early_leaves_nothing_running():
    work = Counted()
    before = asyncio.all_tasks()
    async with aclosing(stream(range(1000), work, AtMost(9))) as results:
        async for _ in results:
            break
    assert work.now == 0
    assert work.cancelled > 0
    assert asyncio.all_tasks() == before


async def test_a_cancelled_stream_cancels_and_awaits_what_is_in_flight():
    work = Counted()
    task = asyncio.create_task(gathered(range(1_000_000), work, 9))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.now == 0


@pytest.mark.parametrize("concurrency", [0, -3])
async def test_nothing_at_a_time_is_refused(concurrency: int):
    with pytest.raises(UsageError, match="at least 1"):
        await gathered([1], doubled, concurrency)
