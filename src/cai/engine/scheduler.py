"""All calls to one model: each to its least strained endpoint, those of older examples first.

So an example that is begun is soon done, and what is finished leaves early. No call is given to an
endpoint without a free slot, so nothing queues at a server that could still go elsewhere. When
every endpoint is down, calls wait until one is back.

Slow calls asked a second time, of which the answer that comes first is taken.

Dean and Barroso 2013, "The Tail at Scale": it buys time at the end of a run, where most slots are
idle, and pays for two answers.
"""

import asyncio
import heapq
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from itertools import count

from cai.engine.calls import EXAMPLE, Answer, Call, ExampleInFlight
from cai.engine.endpoint import Clock, Endpoint, EndpointView
from cai.errors import CaiError, ModelUnavailable
from cai.models.base import Model, SpreadModel

_LOOK_EVERY_S = 0.5

Asking = Callable[[], Coroutine[None, None, Answer]]


async def hedged(
    ask: Asking,
    slow_call_s: Callable[[], float | None],
    is_idle: Callable[[], bool],
    count: Callable[[], None],
) -> Answer:
    """The first answer of one call, or of two where the first is late while slots are idle.

    `slow_call_s` is how long a call takes at most but for rare ones; None while nobody knows.
    `count` is told of each second call.
    """
    tasks = [asyncio.create_task(ask())]
    try:
        if await _is_late(tasks[0], slow_call_s, is_idle):
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
    slow_call_s: Callable[[], float | None],
    is_idle: Callable[[], bool],
) -> bool:
    """Waits for its end, or until it is a slow call while slots are idle; whether it is."""
    waited_s, pause_s = 0.0, slow_call_s() or _LOOK_EVERY_S
    while not (await asyncio.wait([task], timeout=pause_s))[0]:
        waited_s += pause_s
        longest_s = slow_call_s()
        if longest_s is not None and waited_s >= longest_s and is_idle():
            return True
        pause_s = _LOOK_EVERY_S
    return False


PATIENCE_S = 600.0  # how long a model may be away before its calls fail
_AHEAD = 8  # one call in so many waits, so that a slot that falls free is taken at once
_BYTES_A_TOKEN = 4
_NO_EXAMPLE = ExampleInFlight(0)


@dataclass(frozen=True, slots=True, order=True)
class _Waiting:
    """A call without a slot. The least `rank` goes first, then the call that came first."""

    rank: tuple[int, int]
    turn: int
    example: ExampleInFlight = field(compare=False)
    n_tokens: int = field(compare=False)
    slot: "asyncio.Future[Endpoint]" = field(compare=False)


class Scheduler:
    """The endpoints of a model. `on_room` is called when more calls may be asked."""

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
        self._hedges = hedges
        self._on_room = on_room
        self._clock = clock
        self._waiting: list[_Waiting] = []  # a heap; those whose callers were cancelled among them
        self.n_waiting = 0
        self._turns = count()
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: CaiError | None = None
        self._levels_out = False

    @property
    def n_slots(self) -> int:
        """How many calls keep it busy."""
        return sum(endpoint.limit or endpoint.start for endpoint in self.endpoints)

    @property
    def n_more(self) -> int:
        """How many more calls would find a slot soon."""
        n_free = sum(
            (endpoint.limit or endpoint.start) - endpoint.in_flight for endpoint in self.endpoints
        )
        n_ahead = 1 + self.n_slots // _AHEAD if self.endpoints[0].limit is not None else 0
        return n_free + n_ahead - self.n_waiting

    def level_out(self) -> None:
        """From now on calls of the examples that have come least far go first."""
        if not self._levels_out:
            self._levels_out = True
            self._waiting = [replace(each, rank=self._rank(each.example)) for each in self._waiting]
            heapq.heapify(self._waiting)

    def views(self) -> list[EndpointView]:
        return [endpoint.view() for endpoint in self.endpoints]

    def refuse(self, error: CaiError) -> None:
        """Lets no call go any more: those that wait, and all later ones, get this error."""
        self._refusal = error
        self._fail_waiting(error)

    async def answer(self, call: Call) -> Answer:
        """The answer of an endpoint, once one has a slot.

        Raises:
            ModelUnavailable: All endpoints have been away for too long.
            CaiError: The call failed.
        """
        if not self._hedges:
            return await self._ask(call)
        return await hedged(
            lambda: self._ask(call), self._slow_call_s, self._is_idle, self._count_hedged
        )

    async def _ask(self, call: Call) -> Answer:
        n_tokens = _about(call)
        while True:
            endpoint = await self._slot(n_tokens)
            is_try = endpoint.is_down
            try:
                answer = await endpoint.ask(call, n_tokens)
            except ModelUnavailable as error:
                if is_try and error.cause == "unreachable":
                    continue  # it found out for all that nobody is there yet, and waits on
                raise  # of another failure it may be the cause itself
            finally:
                endpoint.leave()
                self._dispatch()
            if (example := EXAMPLE.get()) is not None:
                example.n_answered += 1
            return answer

    def _count_hedged(self) -> None:
        self.n_hedged += 1

    def _slow_call_s(self) -> float | None:
        times = [endpoint.timeout.slow_call_s for endpoint in self.endpoints]
        return min((each for each in times if each is not None), default=None)

    def _is_idle(self) -> bool:
        """Whether the run is near its end: most of the slots are free."""
        n_in_flight = sum(endpoint.in_flight for endpoint in self.endpoints)
        return not self.n_waiting and 2 * n_in_flight < self.n_slots

    async def _slot(self, n_tokens: int) -> Endpoint:
        if self._refusal is not None:
            raise self._refusal
        if not self.n_waiting and (endpoint := self._open_lane()) is not None:
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
                future.result().give_back()  # it was given a slot and cancelled in the same moment
            self._dispatch()
            raise

    def _rank(self, example: ExampleInFlight) -> tuple[int, int]:
        """That of the older example is less; once levelled out, that of the one less far."""
        return (example.n_answered if self._levels_out else 0, example.number)

    def _dispatch(self) -> None:
        """Gives free slots to those who wait, and says when there is room for more."""
        while self._waiting:
            first = self._waiting[0]
            if first.slot.done():  # it went to try, or its caller was cancelled
                heapq.heappop(self._waiting)
                continue
            endpoint = self._open_lane()
            if endpoint is None:
                break
            if endpoint.is_down:
                first = self._longest_waiting()
            self.n_waiting -= 1
            endpoint.take(first.n_tokens)
            first.slot.set_result(endpoint)
        if self._waiting:
            self._look_again()
        if self.n_more > 0:
            self._on_room()

    def _longest_waiting(self) -> _Waiting:
        """The call that is to try an endpoint: no call twice before the others.

        The oldest would make all tries, and none be heard but it if it is what breaks the server.
        """
        waiting = (each for each in self._waiting if not each.slot.done())
        return min(waiting, key=lambda each: each.turn)

    def _open_lane(self) -> Endpoint | None:
        return min(
            (endpoint for endpoint in self.endpoints if endpoint.is_open()),
            key=lambda endpoint: endpoint.strain,
            default=None,
        )

    def _look_again(self) -> None:
        """Sets a timer for when a slot may open by time alone, and lets no call wait for ever."""
        for endpoint in self.endpoints:
            if not endpoint.is_down:
                endpoint.note_wait()
        away_s = [endpoint.down_for_s for endpoint in self.endpoints]
        if all(each is not None and each > PATIENCE_S for each in away_s):
            self._fail_waiting(self._gone())
            return
        times = [at for endpoint in self.endpoints if (at := endpoint.opens_at_s()) is not None]
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

    def _gone(self) -> ModelUnavailable:
        names = ", ".join(endpoint.model.name for endpoint in self.endpoints)
        return ModelUnavailable(
            f"{names} could not be reached for {PATIENCE_S / 60:.0f} minutes. Start it again, then "
            "give the same command.",
            retry_after_s=2 * PATIENCE_S,  # nobody needs to ask again so soon
            cause="unreachable",
        )


def _about(call: Call) -> int:
    """How many tokens the request has, roughly; to pace calls where tokens a minute are capped."""
    return sum(len(message.content) for message in call.messages) // _BYTES_A_TOKEN
