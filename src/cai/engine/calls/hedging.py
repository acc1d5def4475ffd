"""Stragglers asked a second time, of which the answer that comes first is taken.

Dean and Barroso 2013, "The Tail at Scale": it buys time at the end of a run, where most seats are
idle, and pays for two answers.
"""

import asyncio
from collections.abc import Callable, Coroutine

from cai.engine.calls.call import Answer

_LOOK_EVERY_S = 0.5

Asking = Callable[[], Coroutine[None, None, Answer]]


async def hedged(
    ask: Asking,
    straggler_s: Callable[[], float | None],
    is_idle: Callable[[], bool],
    count: Callable[[], None],
) -> Answer:
    """The first answer of one call, or of two where the first is late while seats are idle.

    `straggler_s` is how long a call takes at most but for rare ones; None while nobody knows.
    `count` is told of each second call.
    """
    tasks = [asyncio.create_task(ask())]
    try:
        if await _is_late(tasks[0], straggler_s, is_idle):
            count()
            tasks.append(asyncio.create_task(ask()))
        while True:
            done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            best = next((task for task in done if task.exception() is None), None)
            if best is not None or not others:
                return (best or done.pop()).result()
            tasks = list(others)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _is_late(
    task: "asyncio.Task[Answer]",
    straggler_s: Callable[[], float | None],
    is_idle: Callable[[], bool],
) -> bool:
    """Waits for its end, or until it is a straggler while seats are idle; whether it is."""
    waited_s, pause_s = 0.0, straggler_s() or _LOOK_EVERY_S
    while not (await asyncio.wait([task], timeout=pause_s))[0]:
        waited_s += pause_s
        longest_s = straggler_s()
        if longest_s is not None and waited_s >= longest_s and is_idle():
            return True
        pause_s = _LOOK_EVERY_S
    return False
