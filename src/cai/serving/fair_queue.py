"""Which item is scored next: the requests take turns, so that none waits for all of a larger one.

A reward model scores in passes over what waits, and a judge's server has a queue of its own, so a
request of 4,096 items that was passed on whole would be answered before a later one of a single
item. Round robin over the requests is the fair queueing of Nagle 1987, RFC 970.

Example:
    queue, request = FairQueue(), object()
    async with queue.turn(request):
        result = await rewarder.score(prompt, response)
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

AT_ONCE = 128  # fills a reward model's pass with short texts, and the connections of most servers


class FairQueue:
    """Lets `at_once` items through at a time, and always one item of each request.

    So a request whose items take for ever, such as a text that a judge's server hangs on, keeps
    none of another request waiting.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._running: Counter[object] = Counter()  # items by request
        self._waiting: dict[object, deque[asyncio.Future[None]]] = {}  # in the order of turns

    @asynccontextmanager
    async def turn(self, request: object) -> AsyncGenerator[None]:
        """Waits for the turn of one item of that request, and holds its place while it is open."""
        if self._may_run(request) and not self._waiting:
            self._running[request] += 1
        else:
            await self._wait(request)
        try:
            yield
        finally:
            self._leave(request)

    async def _wait(self, request: object) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(request, deque()).append(future)
        self._let_through()
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():  # it got its turn and was cancelled at the same moment
                self._leave(request)
            raise

    def _leave(self, request: object) -> None:
        self._running[request] -= 1
        if not self._running[request]:
            del self._running[request]
        self._let_through()

    def _may_run(self, request: object) -> bool:
        return self._running.total() < self._at_once or request not in self._running

    def _let_through(self) -> None:
        for request in list(self._waiting):
            self._take_turn(request)
        while self._waiting and self._running.total() < self._at_once:
            self._take_turn(next(iter(self._waiting)))

    def _take_turn(self, request: object) -> None:
        """The next item of the request, if it may run; the request then goes to the end."""
        if not self._may_run(request):
            return
        items = self._waiting.pop(request)
        future = items.popleft()
        if items:
            self._waiting[request] = items
        if not future.done():  # else it was cancelled while it waited
            self._running[request] += 1
            future.set_result(None)
