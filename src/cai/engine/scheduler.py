"""All calls to one model: each to its least loaded endpoint, those of older examples first.

An example that has started is thus soon done, and results appear early. A call goes to an endpoint
only when that has a free slot, so nothing queues at a server while another one is idle. While every
endpoint is down, calls wait.

With hedging, slow calls are sent a second time and the first answer wins (Dean and Barroso 2013,
"The Tail at Scale"): that saves time at the end of a run, where most slots are idle, and costs a
second answer.

Example:
    scheduler = Scheduler(model, cap=64, hedges=True)
    answers = await asyncio.gather(*(scheduler.answer(call) for call in calls))
"""

import asyncio
import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

from cai.engine.calls import EXAMPLE, Answer, Call, ExampleInFlight
from cai.engine.endpoint import Clock, Endpoint, EndpointView
from cai.errors import CaiError, ModelUnavailable
from cai.models.base import Model, SpreadModel

PATIENCE_S = 600.0  # how long a model may be unreachable before its calls fail
_CHECK_EVERY_S = 0.5
_AHEAD = 8  # one waiting call for so many slots, so that a slot that becomes free is used at once
_BYTES_A_TOKEN = 4
_NO_EXAMPLE = ExampleInFlight(0)


@dataclass(frozen=True, slots=True, order=True)
class _Waiting:
    """A call without a slot. The least `rank` goes first, then the call that arrived first."""

    rank: tuple[int, int]
    turn: int
    example: ExampleInFlight = field(compare=False)
    n_tokens: int = field(compare=False)
    slot: "asyncio.Future[Endpoint]" = field(compare=False)


class Scheduler:
    """The endpoints of a model. `on_room` is called when more calls would get a slot soon."""

    def __init__(
        self,
        model: Model,
        cap: int | None = None,
        hedges: bool = False,
        on_room: Callable[[], None] = lambda: None,
        clock: Clock = time.monotonic,
    ) -> None:
        endpoints = model.endpoints if isinstance(model, SpreadModel) else (model,)
        self.endpoints = tuple(Endpoint(endpoint, cap, clock) for endpoint in endpoints)
        self.n_hedged = 0
        self.n_waiting = 0
        self._hedges = hedges
        self._on_room = on_room
        self._clock = clock
        # A heap. Cancelled calls stay in it until they are first, since removal would cost a search
        # of the heap each; so its length is not `n_waiting`.
        self._waiting: list[_Waiting] = []
        self._turns = count()
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: CaiError | None = None
        self._levels_out = False

    @property
    def n_slots(self) -> int:
        """The number of calls that use it fully."""
        return sum(endpoint.limit or endpoint.start for endpoint in self.endpoints)

    @property
    def n_more(self) -> int:
        """How many more calls would get a slot soon; may be negative."""
        n_free = sum(
            (endpoint.limit or endpoint.start) - endpoint.in_flight for endpoint in self.endpoints
        )
        n_ahead = 1 + self.n_slots // _AHEAD if self.endpoints[0].limit is not None else 0
        return n_free + n_ahead - self.n_waiting

    def level_out(self) -> None:
        """From now on calls of the examples with the fewest calls answered go first."""
        if not self._levels_out:
            self._levels_out = True
            self._waiting = [replace(each, rank=self._rank(each.example)) for each in self._waiting]
            heapq.heapify(self._waiting)

    def views(self) -> list[EndpointView]:
        return [endpoint.view() for endpoint in self.endpoints]

    def refuse(self, error: CaiError) -> None:
        """Sends no call any more: those that wait, and all later ones, get this error."""
        self._refusal = error
        self._fail_waiting(error)

    async def answer(self, call: Call) -> Answer:
        """The answer of an endpoint, after one has a slot.

        Raises:
            ModelUnavailable: All endpoints have been unreachable for too long.
            CaiError: The call failed.
        """
        if not self._hedges:
            return await self._send(call)
        tasks = [asyncio.create_task(self._send(call))]
        try:
            if await self._is_slow(tasks[0]):
                self.n_hedged += 1
                tasks.append(asyncio.create_task(self._send(call)))
            while True:
                done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                best = next((task for task in done if task.exception() is None), None)
                if best is not None or not others:
                    return (best or done.pop()).result()
                tasks = list(others)  # one failed: the other may still succeed
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _is_slow(self, task: "asyncio.Task[Answer]") -> bool:
        """Waits until the call has ended, or is slow while most slots are idle; whether it is."""
        waited_s, pause_s = 0.0, self._slow_call_s() or _CHECK_EVERY_S
        while not (await asyncio.wait([task], timeout=pause_s))[0]:
            waited_s += pause_s
            slow_s = self._slow_call_s()
            n_in_flight = sum(endpoint.in_flight for endpoint in self.endpoints)
            is_idle = not self.n_waiting and 2 * n_in_flight < self.n_slots
            if slow_s is not None and waited_s >= slow_s and is_idle:
                return True
            pause_s = _CHECK_EVERY_S
        return False

    def _slow_call_s(self) -> float | None:
        times = [endpoint.timeout.slow_call_s for endpoint in self.endpoints]
        return min((each for each in times if each is not None), default=None)

    async def _send(self, call: Call) -> Answer:
        # A rough estimate, which paces calls where tokens a minute are limited; `Endpoint.send`
        # corrects it afterwards by the server's own count.
        n_tokens = sum(len(message.content) for message in call.messages) // _BYTES_A_TOKEN
        while True:
            endpoint = await self._take_slot(n_tokens)
            is_probe = endpoint.is_down
            try:
                answer = await endpoint.send(call, n_tokens)
            except ModelUnavailable as error:
                if is_probe and error.cause == "unreachable":
                    continue  # the endpoint is still down, and this call has not failed
                raise  # any other failure may be of this call's own making
            finally:
                endpoint.leave()
                self._dispatch()
            if (example := EXAMPLE.get()) is not None:
                example.n_answered += 1
            return answer

    async def _take_slot(self, n_tokens: int) -> Endpoint:
        if self._refusal is not None:
            raise self._refusal
        # Not past calls that wait: those of older examples come first.
        if not self.n_waiting and (endpoint := self._least_loaded()) is not None:
            endpoint.take(n_tokens)
            return endpoint
        future: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        example = EXAMPLE.get() or _NO_EXAMPLE
        waiting = _Waiting(self._rank(example), next(self._turns), example, n_tokens, future)
        heapq.heappush(self._waiting, waiting)
        self.n_waiting += 1
        self._dispatch()
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():
                self.n_waiting -= 1
            elif future.exception() is None:
                future.result().leave_unused()  # it got a slot and was cancelled at the same moment
            self._dispatch()
            raise

    def _rank(self, example: ExampleInFlight) -> tuple[int, int]:
        return (example.n_answered if self._levels_out else 0, example.number)

    def _least_loaded(self) -> Endpoint | None:
        return min(
            (endpoint for endpoint in self.endpoints if endpoint.is_open()),
            key=lambda endpoint: endpoint.load,
            default=None,
        )

    def _dispatch(self) -> None:
        """Assigns free slots to waiting calls, and reports when there is room for more."""
        while self._waiting:
            first = self._waiting[0]
            if first.slot.done():  # it went as a probe, or was cancelled
                heapq.heappop(self._waiting)
                continue
            endpoint = self._least_loaded()
            if endpoint is None:
                break
            if endpoint.is_down:
                # The probe is the call that has waited longest, so each call probes once before any
                # does twice. By rank the oldest example would make all probes, and if its own call
                # is what breaks the server, the endpoint would never be up again.
                waiting = (each for each in self._waiting if not each.slot.done())
                first = min(waiting, key=lambda each: each.turn)
            self.n_waiting -= 1
            endpoint.take(first.n_tokens)
            first.slot.set_result(endpoint)
        if self._waiting:
            self._set_timer()
        if self.n_more > 0:
            self._on_room()

    def _set_timer(self) -> None:
        """Plans a dispatch for when an endpoint opens by time; fails calls that wait too long."""
        for endpoint in self.endpoints:
            if not endpoint.is_down:
                endpoint.note_wait()
        down_s = [endpoint.down_for_s for endpoint in self.endpoints]
        if all(each is not None and each > PATIENCE_S for each in down_s):
            names = ", ".join(endpoint.model.name for endpoint in self.endpoints)
            gone = ModelUnavailable(
                f"{names} could not be reached for {PATIENCE_S / 60:.0f} minutes. Start it again, "
                "then give the same command.",
                retry_after_s=2 * PATIENCE_S,  # longer than `Retry` accepts, so it gives up at once
                cause="unreachable",
            )
            self._fail_waiting(gone)
            return
        times = [at for endpoint in self.endpoints if (at := endpoint.opens_at_s()) is not None]
        # Only the latest timer counts, since the earliest time may have changed either way.
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if times:
            pause_s = max(min(times) - self._clock(), 0.001)
            self._timer = asyncio.get_running_loop().call_later(pause_s, self._dispatch)

    def _fail_waiting(self, error: CaiError) -> None:
        while self._waiting:
            slot = heapq.heappop(self._waiting).slot
            if not slot.done():
                self.n_waiting -= 1
                slot.set_exception(error)
