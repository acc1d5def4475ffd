"""The fair queue: requests take turns, and none waits for all of another."""

import asyncio

import pytest

from cai.serving.fair_queue import FairQueue


async def order_of(queue: FairQueue, requests: str) -> str:
    """In which order items of these requests run, a letter each, when all arrive at once."""
    order: list[str] = []

    async def one(request: str) -> None:
        async with queue.turn(request):
            order.append(request)
            await asyncio.sleep(0)

    await asyncio.gather(*map(one, requests))
    return "".join(order)


async def test_items_of_several_requests_alternate():
    """The first two run at once; from then on each request has its turn."""
    assert await order_of(FairQueue(2), "aaaaaabcbc") == "aabcabcaaa"


async def test_a_request_that_hangs_keeps_no_other_waiting():
    queue, is_released = FairQueue(1), asyncio.Event()

    async def hang() -> None:
        async with queue.turn("stuck"):
            await is_released.wait()

    hanging = [asyncio.create_task(hang()) for _ in range(3)]
    await asyncio.sleep(0)
    assert await order_of(queue, "abab") == "abab"
    is_released.set()
    await asyncio.gather(*hanging)


@pytest.mark.parametrize("n_steps", range(4))
async def test_a_cancelled_item_gives_its_place_back(n_steps: int):
    queue = FairQueue(1)
    tasks = [asyncio.create_task(order_of(queue, "aaa")) for _ in range(2)]
    for _ in range(n_steps):
        await asyncio.sleep(0)
    tasks[0].cancel()
    assert await tasks[1] == "aaa"
    assert await order_of(queue, "bb") == "bb"
