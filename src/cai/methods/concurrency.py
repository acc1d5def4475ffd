"""Several calls at a time inside of one step, without losing any of them."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def gather_all(work: Iterable[Awaitable[T]]) -> list[T]:
    """All results, in order. One failure cancels no other call; the first is raised at the end."""
    # Plain asyncio.gather raises at the first failure and leaves the other calls running without
    # anybody waiting for them; a TaskGroup cancels calls that are paid for already.
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
