"""Many examples through one async function: as many in flight as there is room for, no barriers.

An item is pulled only when there is room for it, so memory is bounded whatever the size of the data
set, and what is begun goes before what is not: finished examples leave early. Results come in the
order of completion. One item's failure is data: it never stops its siblings. Three things stop the
stream: a run folder that cannot be written, for then nothing more could be kept; a long row of
failures with no success between, for then it is the server, the key or the code that fails, and not
the examples; and a run that is asked to end, which finishes the calls that are in flight.
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
    ContextLengthError,
    JournalError,
    ModelError,
    RunStopped,
    UsageError,
)

T = TypeVar("T")
R = TypeVar("R")

STOP_AFTER = 25
READ_AHEAD = 1024  # items; how near the end of the source is known
_READ_AT_ONCE = 32
_SHARE_AT_ONCE = 8  # of the room, one part in so many is filled before it is looked at again
_MOST_AT_ONCE = 16  # so that the answers that come meanwhile do not wait

_logger = logging.getLogger(__name__)


class ItemFailure(CaiError):
    """An item's failure that nobody foresaw: a bug. The traceback is logged at level DEBUG."""

    cause = "unforeseen"


class Room(Protocol):
    """How many more items may be begun when so many are in flight.

    `n_left` is how many there are still to begin; None: more than are worth to know.
    """

    def n_more(self, n_in_flight: int, n_left: int | None) -> int: ...

    def watch(self, tell: Callable[[], None]) -> None:
        """Has `tell` called whenever there may be room that was not there before."""
        ...


class AtMost:
    """Room for a fixed number of items."""

    def __init__(self, n: int) -> None:
        if n < 1:
            raise UsageError(f"{n} items in flight are asked for; there must be at least 1.")
        self._n = n

    def n_more(self, n_in_flight: int, n_left: int | None) -> int:
        return self._n - n_in_flight

    def watch(self, tell: Callable[[], None]) -> None:
        """Nothing but an item's end makes room."""


async def stream(
    items: Iterable[T],
    work: Callable[[T], Awaitable[R]],
    room: Room,
    stop_after: int = STOP_AFTER,
) -> AsyncGenerator[tuple[T, R | CaiError]]:
    """Pairs of an item and its result or error, in the order of completion.

    When the consumer stops early or the stream is cancelled, whatever is in flight is cancelled and
    awaited; a consumer that may stop early holds the stream in `contextlib.aclosing`, as for every
    async generator.

    Failures that look like the server's are held back until another item succeeds: those of a row
    that stops the stream are not given out, so that the next run does their items again.

    Raises:
        ModelError: `stop_after` items in a row failed, other than for their length.
        JournalError: An item found the run folder unusable.
        RunStopped: An item was told that the run ends; all that were in flight have come to an end.
    """
    flight = _Flight(iter(items), work, room)
    row: list[tuple[T, R | CaiError]] = []
    stopped: RunStopped | None = None
    try:
        while (finished := await flight.next()) is not None:
            item, result = finished
            if isinstance(result, RunStopped):
                stopped = result
                flight.begin_no_more()
                continue
            if _is_systemic(result):
                row.append((item, result))
                if stopped is None:
                    _check_row(result, len(row), stop_after)
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
    """The items under work, and those finished but not yet taken."""

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

    def begin_no_more(self) -> None:
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
        """Begins items while there is room and there are any; one at least is under work.

        What has finished is taken first, so that results do not pile up behind quick items.
        """
        while not self._finished and self._read_ahead():
            n_left = None if self._is_source_open else len(self._next)
            n_more = self._room.n_more(len(self._tasks), n_left)
            if n_more < 1 and self._tasks:
                return
            n = min(max(1, n_more // _SHARE_AT_ONCE), _MOST_AT_ONCE, len(self._next))
            for _ in range(n):
                self._begin(self._next.popleft())
            await asyncio.sleep(0)  # so that they have asked their first calls when we look again

    def _read_ahead(self) -> bool:
        """Whether there are items to begin; some are read from the source while few are known."""
        if self._is_source_open and len(self._next) < READ_AHEAD:
            found = list(islice(self._source, _READ_AT_ONCE))
            self._is_source_open = len(found) == _READ_AT_ONCE
            self._next.extend(found)
        return bool(self._next)

    def _begin(self, item: T) -> None:
        task = asyncio.create_task(_attempt(self._work, item, next(self._numbers)))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._finish(item, task))

    def _finish(self, item: T, task: "asyncio.Task[R | CaiError]") -> None:
        self._finished.append((item, task))
        self._wake.set()


async def _attempt(work: Callable[[T], Awaitable[R]], item: T, number: int) -> R | CaiError:
    EXAMPLE.set(ExampleInFlight(number))  # in the context of this task, which its own tasks inherit
    try:
        return await work(item)
    except JournalError:
        raise
    except CaiError as error:
        return error
    except Exception as error:  # the one place where what nobody foresaw becomes data
        _logger.debug("An item failed: %r", item, exc_info=True)
        return ItemFailure(f"{type(error).__name__}: {error}")


def _is_systemic(result: object) -> bool:
    """Whether it could be the failure of server, key or code rather than of this item."""
    return isinstance(result, ModelError | ItemFailure) and not isinstance(
        result, ContextLengthError
    )


def _check_row(last: object, length: int, stop_after: int) -> None:
    if length < stop_after or not isinstance(last, CaiError):
        return
    message = (
        f"{length} examples in a row failed, so the run was stopped. The last one: {last} "
        "What was finished is kept: once the cause is gone, give the same command again."
    )
    if isinstance(last, ModelError):
        raise ModelError(message, last.cause) from last
    raise ItemFailure(message) from last
