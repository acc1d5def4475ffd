"""Many examples through one async function: a fixed number in flight, no barriers.

Items are pulled only when there is room for them, so memory is bounded whatever the size of the
data set, and results come in the order of completion. One item's failure is data: it never stops
its siblings. Two things stop the stream: a run folder that cannot be written, for then nothing
more could be kept; and a long row of failures with no success between, for then it is the server,
the key or the code that fails, and not the examples.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from typing import Generic, TypeVar

from cai.errors import CaiError, ContextLengthError, JournalError, ModelError, UsageError

T = TypeVar("T")
R = TypeVar("R")

STOP_AFTER = 25

_logger = logging.getLogger(__name__)


class ItemFailure(CaiError):
    """An item's failure that nobody foresaw: a bug. The traceback is logged at level DEBUG."""


async def stream(
    items: Iterable[T],
    work: Callable[[T], Awaitable[R]],
    concurrency: int,
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
    """
    if concurrency < 1:
        raise UsageError(f"Concurrency is {concurrency}; it must be at least 1.")
    flight = _Flight(iter(items), work)
    row: list[tuple[T, R | CaiError]] = []
    try:
        while flight.fill(concurrency):
            item, result = await flight.next()
            if _is_systemic(result):
                row.append((item, result))
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


class _Flight(Generic[T, R]):
    """The items under work, and those finished but not yet taken."""

    def __init__(self, source: Iterator[T], work: Callable[[T], Awaitable[R]]) -> None:
        self._source = source
        self._work = work
        self._tasks: set[asyncio.Task[R | CaiError]] = set()
        self._finished: asyncio.Queue[tuple[T, asyncio.Task[R | CaiError]]] = asyncio.Queue()

    def fill(self, concurrency: int) -> bool:
        """Starts items while there is room and there are any; whether any is in flight."""
        while len(self._tasks) < concurrency and self._start_next():
            pass
        return bool(self._tasks)

    async def next(self) -> tuple[T, R | CaiError]:
        """The next item to finish, with its result."""
        item, task = await self._finished.get()
        self._tasks.discard(task)
        return item, task.result()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start_next(self) -> bool:
        for item in self._source:
            task = asyncio.create_task(_attempt(self._work, item))
            self._tasks.add(task)
            task.add_done_callback(lambda task, item=item: self._finished.put_nowait((item, task)))
            return True
        return False


async def _attempt(work: Callable[[T], Awaitable[R]], item: T) -> R | CaiError:
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
    kind = ModelError if isinstance(last, ModelError) else ItemFailure
    raise kind(
        f"{length} examples in a row failed, so the run was stopped. The last one: {last} "
        "What was finished is kept: once the cause is gone, give the same command again."
    ) from last
