"""A pool of slow servers, and calls to it."""

import asyncio
from collections.abc import Awaitable, Callable

from slow_servers import SlowServer, Spread, call_of
from virtual_time import now_s

from cai.engine.calls import EXAMPLE, Answer, ExampleInFlight, Retry
from cai.engine.scheduler import Scheduler

CALL = call_of()
Answers = list[Answer | BaseException]


def pool_of(*servers: SlowServer, on_room: Callable[[], None] = lambda: None) -> Scheduler:
    return Scheduler(Spread(*servers), on_room=on_room, clock=now_s)


async def asked(pool: Scheduler, n: int) -> Answers:
    """So many calls at a time, asked again where a failure may pass."""
    retry = Retry(jitter=lambda: 0.0)
    calls = (retry.answer(CALL, lambda: pool.answer(CALL)) for _ in range(n))
    return await asyncio.gather(*calls, return_exceptions=True)


async def settled(*tasks: Awaitable[object]) -> list[object]:
    return list(await asyncio.gather(*tasks, return_exceptions=True))


def begun(pool: Scheduler, text: str = "?", number: int = 0) -> "asyncio.Task[Answer]":
    """A call of the example of that number."""

    async def ask() -> Answer:
        EXAMPLE.set(ExampleInFlight(number))
        return await pool.answer(call_of(text))

    return asyncio.create_task(ask())


class CancelOnce(list["asyncio.Task[Answer]"]):
    """Cancels the task in it at the next sign of room: just after a seat was given."""

    def __call__(self) -> None:
        if self:
            self.pop().cancel()
