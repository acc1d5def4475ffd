"""The layers between the methods of a run and its models, put together.

A call passes the journal, which may have the answer; the retry of failures that may pass; the
budget, which enforces the caps; and the scheduler, which assigns a slot at an endpoint of the
model. The methods use a `Model` and know none of this.

Example:
    engine = Engine(run.journal, Ledger.of(run.database, load_prices()), Caps(cost_usd=5.0))
    judge = engine.wrap(open_model("openai:gpt-4.1-mini"), "judge")
    engine.check_caps()
    async for pair, verdict in stream(pairs, work, room=engine): ...  # work asks `judge`
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from cai.engine.budget import Budget, Caps, Ledger
from cai.engine.calls import Answer, Call, CallNext, Retry, wrap_model
from cai.engine.endpoint import EndpointView
from cai.engine.journal import Journal
from cai.engine.scheduler import Scheduler
from cai.errors import ModelError, RunStopped
from cai.models.base import Model

try:  # uvloop halves the overhead of a call, and does not exist on every platform
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop

__all__ = ["Engine", "Scheduling", "new_event_loop", "run_async", "wait_for"]

T = TypeVar("T")

_LAST = 3  # times the slots; so many examples count as the last ones
_FIRST, _FIRST_S = 8, 0.1
_NEW_OBJECTS = 20_000  # between two collections of garbage
_MOST_EXAMPLES = 4  # times the slots; more could be in flight while many wait for a pause to end


@dataclass(frozen=True, slots=True)
class Scheduling:
    """At most `cap` calls at a time to an endpoint; with `hedges`, slow calls are sent twice."""

    cap: int | None = None
    hedges: bool = False


class Engine:
    """The models of one run as its methods use them; also the `Room` of its stream."""

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
        self.budget.on_close = self._refuse
        self.retry = retry or Retry(sleep=self.budget.pause)
        self._scheduling = scheduling
        self._schedulers: dict[int, Scheduler] = {}
        self._names: set[str] = set()
        self._on_room: Callable[[], None] = lambda: None
        self._is_starting = False

    def wrap(self, model: Model, role: str) -> Model:
        """The model in that role, with every call through the layers of this run."""
        self._names.add(model.name)
        scheduler = self._schedulers.get(id(model))
        if scheduler is None:  # one per model, also in several roles: they share its slots
            cap, hedges = self._scheduling.cap, self._scheduling.hedges
            scheduler = Scheduler(model, cap, hedges, on_room=lambda: self._on_room())
            self._schedulers[id(model)] = scheduler

        async def through_layers(call: Call, call_next: CallNext) -> Answer:
            try:
                answer = await self.journal.answer(
                    call,
                    lambda: self.retry.answer(
                        call, lambda: self.budget.answer(call, lambda: scheduler.answer(call))
                    ),
                )
                self._is_starting = False
                return answer
            except ModelError as error:
                if error.cause != "no credit":
                    raise
                # Every further call would fail so: what is in flight is finished, no more begun.
                stopped = RunStopped(
                    f"{error} Finished examples are stored: once there is credit again, give the "
                    "same command."
                )
                self.stop(stopped)
                raise stopped from error

        return wrap_model(model, through_layers, role)

    def check_caps(self) -> None:
        """Checks that the caps can be enforced for the models used so far.

        Raises:
            UsageError: There is a cap on money, and a model without a price.
        """
        self.budget.caps.check(self.budget.ledger, sorted(self._names))

    def stop(self, error: RunStopped) -> None:
        """Starts no new call; those in flight are finished and stored."""
        self.budget.close(error)

    def n_more(self, n_in_flight: int, n_left: int | None) -> int:
        """How many more examples would get a slot soon at every model used so far."""
        if self._is_starting:
            return _FIRST - n_in_flight
        schedulers = self._schedulers.values()
        slots = max((each.n_slots for each in schedulers), default=1)
        are_last = n_left is not None and n_left + n_in_flight <= _LAST * slots
        # The last examples all start together, and those with the fewest calls answered go first,
        # so that all end at about the same time: a long chain must not start last (Hu 1961,
        # "Parallel sequencing and assembly line problems"). Not under a cap: the run may end at any
        # call, and then many unfinished examples would be worth less than a few finished ones.
        if n_left is not None and are_last and self.budget.caps == Caps():
            for each in schedulers:
                each.level_out()
            return n_left
        most = _MOST_EXAMPLES * slots - n_in_flight
        return min([most, *(each.n_more for each in schedulers)])

    def watch(self, notify: Callable[[], None]) -> None:
        # For a moment, or until the first answer, few examples are in flight: where an account is
        # empty or a field is refused, few calls find it out.
        def start() -> None:
            self._is_starting = False
            notify()

        self._on_room, self._is_starting = notify, True
        asyncio.get_running_loop().call_later(_FIRST_S, start)

    def endpoints(self) -> list[EndpointView]:
        """The state of each endpoint."""
        return [view for each in self._schedulers.values() for view in each.views()]

    @property
    def n_waiting(self) -> int:
        return sum(each.n_waiting for each in self._schedulers.values())

    @property
    def n_hedged(self) -> int:
        return sum(each.n_hedged for each in self._schedulers.values())

    def _refuse(self, error: RunStopped) -> None:
        for each in self._schedulers.values():
            each.refuse(error)


def run_async(work: Coroutine[None, None, T]) -> T:
    """The result of the coroutine, in an event loop of its own."""
    # Whatever is imported by now lives to the end. Unless it is frozen, each full collection walks
    # through it and stops all calls for a tenth of a second.
    gc.freeze()
    # By default every 700 new objects, a few calls, start a collection, which finds all the others
    # still in flight.
    before = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(work)
    finally:
        gc.set_threshold(*before)


def wait_for(work: Coroutine[None, None, T]) -> T:
    """The result of the coroutine; in its own thread if a loop is running, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_async(work)
    loop = new_event_loop()
    task = loop.create_task(work)
    with contextlib.closing(loop), ThreadPoolExecutor(1) as pool:
        result = pool.submit(loop.run_until_complete, task)
        try:
            return result.result()
        except KeyboardInterrupt:  # otherwise the thread would continue to the end of the run
            loop.call_soon_threadsafe(task.cancel)
            raise
