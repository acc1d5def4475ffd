"""Many cases through one async function, a fixed number at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

IN_FLIGHT = 64


async def every(items: Iterable[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """The result of every item, in their order."""
    room = asyncio.Semaphore(IN_FLIGHT)

    async def one(item: T) -> R:
        async with room:
            return await work(item)

    return await asyncio.gather(*(one(item) for item in items))
