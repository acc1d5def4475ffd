"""What stands between the methods of a run and its models, put together.

A call goes through the journal, which may know the answer; is asked again when it fails for a cause
that may pass; passes the budget that keeps the caps; and waits for a slot at one of the model's
endpoints. The methods see Models and know of none of this.

The event loop of a run: uvloop where there is one, which halves the time that a call costs.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from cai.engine.budget import Budget, Caps, Ledger
from cai.engine.calls import Answer, Ask, Call, Retry, wrapped
from cai.engine.endpoint import EndpointView
from cai.engine.journal import Journal
from cai.engine.scheduler import Scheduler
from cai.errors import RunStopped
from cai.models.base import Model

_LAST = 3  # times the slots; so many examples are the last ones
_MOST_EXAMPLES = 4  # times the slots; more may be under way where many wait for a pause to end


@dataclass(frozen=True, slots=True)
class Scheduling:
    """How calls are spread: at most `cap` at a time to an endpoint, slow calls asked twice."""

    cap: int | None = None
    hedges: bool = False


class Engine:
    """The models of one run as its methods are to ask them; also the `Room` of its stream."""

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        caps: Caps = Caps(),
        scheduling: Scheduling = Scheduling(),
        retry: Retry | None = None,
    ) -> None:
        self.journal = journal
        self.budget = Budget(ledger, caps)
        self.retry = retry or Retry(sleep=self.budget.pause)
        self.budget.on_close = self._refuse
        self._scheduling = scheduling
        self._pools: dict[int, Scheduler] = {}
        self._names: set[str] = set()
        self._watcher: Callable[[], None] = lambda: None

    def through(self, model: Model, role: str) -> Model:
        """The model in that role, asked as this run asks."""
        pool = self._pool(model)
        self._names.add(model.name)

        async def around(call: Call, ask: Ask) -> Answer:
            return await self.journal.answer(
                call,
                lambda: self.retry.answer(
                    call, lambda: self.budget.answer(call, lambda: pool.answer(call))
                ),
            )

        return wrapped(model, around, role)

    def check_caps(self) -> None:
        """Finds out whether the caps can be kept with the models asked for so far.

        Raises:
            UsageError: There is a cap on money, and a model without a price.
        """
        self.budget.caps.check(self.budget.ledger, sorted(self._names))

    def stop(self, error: RunStopped) -> None:
        """Lets no new call go; those in flight are finished and kept."""
        self.budget.close(error)

    def n_more(self, n_in_flight: int, n_left: int | None) -> int:
        """How many more examples would find a slot soon at every model asked so far.

        The last ones are begun together and those that have come least far go first, so that all
        end at about the same time: what has the longest way to go must not be begun last (Hu 1961,
        "Parallel sequencing and assembly line problems"). Not so under a cap: where the run may end
        at any call, what is begun is to be finished.
        """
        pools = self._pools.values()
        slots = max((pool.n_slots for pool in pools), default=1)
        are_last = n_left is not None and n_left + n_in_flight <= _LAST * slots
        if n_left is not None and are_last and self.budget.caps == Caps():
            for pool in pools:
                pool.level_out()
            return n_left
        most = _MOST_EXAMPLES * slots - n_in_flight
        return min([most, *(pool.n_more for pool in pools)])

    def watch(self, tell: Callable[[], None]) -> None:
        self._watcher = tell

    def endpoints(self) -> list[EndpointView]:
        """How each endpoint is doing."""
        return [view for pool in self._pools.values() for view in pool.views()]

    @property
    def n_waiting(self) -> int:
        return sum(pool.n_waiting for pool in self._pools.values())

    @property
    def n_hedged(self) -> int:
        return sum(pool.n_hedged for pool in self._pools.values())

    def _pool(self, model: Model) -> Scheduler:
        pool = self._pools.get(id(model))
        if pool is None:
            scheduling = self._scheduling
            pool = Scheduler(model, scheduling.cap, scheduling.hedges, lambda: self._watcher())
            self._pools[id(model)] = pool
        return pool

    def _refuse(self, error: RunStopped) -> None:
        for pool in self._pools.values():
            pool.refuse(error)


try:
    from uvloop import new_event_loop
except ImportError:  # not on every platform
    from asyncio import new_event_loop

__all__ = ["new_event_loop", "run_async", "wait_for"]

T = TypeVar("T")


def run_async(work: Coroutine[None, None, T]) -> T:
    """The result of the work, in a loop of its own.

    What is imported by now lives to the end: the garbage collector is told not to walk through it
    again and again, which would stop all calls for a tenth of a second each time.
    """
    gc.freeze()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


def wait_for(work: Coroutine[None, None, T]) -> T:
    """The result of the work; in a thread of its own where a loop is running already."""
    if not _is_loop_running():
        return run_async(work)
    loop = new_event_loop()
    task = loop.create_task(work)
    with contextlib.closing(loop), ThreadPoolExecutor(1) as pool:
        result = pool.submit(loop.run_until_complete, task)
        try:
            return result.result()
        except KeyboardInterrupt:  # else the thread would go on to the end of the run
            loop.call_soon_threadsafe(task.cancel)
            raise


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
