"""Many examples through one async function: as many in flight as there is room for, no barriers.

An item is pulled only when there is room for it, so memory is bounded for any size of data set.
Results arrive in the order of completion. One item's failure is data: it never stops the others.
Three things stop the stream: a run folder that cannot be written, since no result could be stored;
many failures in a row, since then the server, the key or the code fails, and not the examples; and
a run that is to end early, which first finishes the calls in flight.

Example:
    async with aclosing(stream(prompts, revise, AtMost(64))) as results:
        async for prompt, result in results:
            print(prompt.id, "failed" if isinstance(result, CaiError) else "done")
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from itertools import count, islice
from typing import Generic, Protocol, TypeVar

from cai.engine.calls import EXAMPLE, ExampleInFlight
from cai.errors import (
    CaiError,
    JournalError,
    ModelError,
    RunStopped,
    UsageError,
)

T = TypeVar("T")
R = TypeVar("R")

STOP_AFTER = 25
CAUSES_OF_EXAMPLES = frozenset[str]({"context length", "refused content"})
"""Causes that are about one example, and never about the server; they stop no run."""

READ_AHEAD = 1024  # items; near the end of the source their number is thus known exactly
_READ_AT_ONCE = 32
_SHARE_AT_ONCE = 8  # one part in so many of the room is filled before the room is measured again
_MOST_AT_ONCE = 16  # items started together, so that answers that arrive meanwhile do not wait

_logger = logging.getLogger(__name__)


class ItemFailure(CaiError):
    """An unexpected failure of an item: a bug. The traceback is logged at level DEBUG."""

    cause = "unforeseen"


class Room(Protocol):
    """How many more items may start when so many are in flight.

    `n_left` is how many have not started yet; None if more than are read ahead.
    """

    def n_more(self, n_in_flight: int, n_left: int | None) -> int: ...

    def watch(self, notify: Callable[[], None]) -> None:
        """Has `notify` called whenever there may be new room."""
        ...


class AtMost:
    """Room for a fixed number of items."""

    def __init__(self, n: int) -> None:
        if n < 1:
            raise UsageError(f"{n} items in flight are requested; there must be at least 1.")
        self._n = n

    def n_more(self, n_in_flight: int, n_left: int | None) -> int:
        return self._n - n_in_flight

    def watch(self, notify: Callable[[], None]) -> None:
        """Only the end of an item makes room."""


async def stream(
    items: Iterable[T],
    work: Callable[[T], Awaitable[R]],
    room: Room,
    stop_after: int = STOP_AFTER,
) -> AsyncGenerator[tuple[T, R | CaiError]]:
    """Pairs of an item and its result or error, in the order of completion.

    When the consumer stops early or the stream is cancelled, everything in flight is cancelled and
    awaited; a consumer that may stop early uses `contextlib.aclosing`, as for every async
    generator.

    Raises:
        ModelError: `stop_after` items in a row failed, other than for length or content.
        JournalError: An item could not use the run folder.
        RunStopped: The run ends early; all items in flight have ended.
    """
    flight = _Flight(iter(items), work, room)
    # Failures that may be the server's are held until another item succeeds. Those of a row that
    # stops the stream are never yielded: without a failed record the next run repeats them.
    row: list[tuple[T, R | CaiError]] = []
    stopped: RunStopped | None = None
    try:
        while (finished := await flight.next()) is not None:
            item, result = finished
            if isinstance(result, RunStopped):
                stopped = result
                flight.start_no_more()
                continue
            is_systemic = isinstance(result, ModelError | ItemFailure)
            if is_systemic and result.cause not in CAUSES_OF_EXAMPLES:
                row.append((item, result))
                if stopped is None and len(row) >= stop_after:
                    last = {each.cause: each for _, each in row if isinstance(each, CaiError)}
                    message = (
                        f"{len(row)} examples in a row failed, so the run was stopped. The last "
                        f"of each cause: {' '.join(map(str, last.values()))} Finished examples are "
                        "stored: once the cause is fixed, give the same command again."
                    )
                    if isinstance(result, ModelError):
                        raise ModelError(message, result.cause) from result
                    raise ItemFailure(message) from result
                continue
            if not isinstance(result, CaiError):
                for pair in row:
                    yield pair
                row.clear()
            yield item, result
        for pair in row:
            yield pair
    finally:
        await flight.stop()
    if stopped is not None:
        raise stopped


class _Flight(Generic[T, R]):
    """The items in flight, and those finished but not yet taken."""

    def __init__(self, source: Iterator[T], work: Callable[[T], Awaitable[R]], room: Room) -> None:
        self._source = source
        self._work = work
        self._room = room
        self._next: deque[T] = deque()  # read ahead
        self._is_source_open = True
        self._numbers = count(1)
        self._tasks: set[asyncio.Task[R | CaiError]] = set()
        self._finished: deque[tuple[T, asyncio.Task[R | CaiError]]] = deque()
        self._wake = asyncio.Event()
        room.watch(self._wake.set)

    def start_no_more(self) -> None:
        self._is_source_open = False
        self._next.clear()

    async def next(self) -> tuple[T, R | CaiError] | None:
        """The next item to finish, with its result; None when all have."""
        while True:
            await self._fill()
            if self._finished:
                item, task = self._finished.popleft()
                self._tasks.discard(task)
                return item, task.result()
            if not self._tasks:
                return None
            self._wake.clear()
            await self._wake.wait()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _fill(self) -> None:
        """Starts items while there are any, and room for them; always at least one."""
        while not self._finished:  # finished ones go first, or results pile up behind quick items
            if self._is_source_open and len(self._next) < READ_AHEAD:
                read = list(islice(self._source, _READ_AT_ONCE))
                self._is_source_open = len(read) == _READ_AT_ONCE
                self._next.extend(read)
            if not self._next:
                return
            n_left = None if self._is_source_open else len(self._next)
            n_more = self._room.n_more(len(self._tasks), n_left)
            if n_more < 1 and self._tasks:
                return
            n = min(max(1, n_more // _SHARE_AT_ONCE), _MOST_AT_ONCE, len(self._next))
            for _ in range(n):
                self._start(self._next.popleft())
            # Their first calls must be under way before the room is measured again.
            await asyncio.sleep(0)

    def _start(self, item: T) -> None:
        def finish(task: "asyncio.Task[R | CaiError]") -> None:
            self._finished.append((item, task))
            self._wake.set()

        task = asyncio.create_task(_attempt(self._work, item, next(self._numbers)))
        self._tasks.add(task)
        task.add_done_callback(finish)


async def _attempt(work: Callable[[T], Awaitable[R]], item: T, number: int) -> R | CaiError:
    EXAMPLE.set(ExampleInFlight(number))  # in the context of this task, which its own tasks inherit
    try:
        return await work(item)
    except JournalError:  # no failure of this item: no result could be stored any more
        raise
    except CaiError as error:
        return error
    except Exception as error:  # the one place where an unexpected failure becomes data
        _logger.debug("An item failed: %r", item, exc_info=True)
        return ItemFailure(f"{type(error).__name__}: {error}")
