"""One endpoint as the scheduler sees it: its seats, its rates, its time-outs, and whether it lives.

Seats adapt where a server may be overloaded; a model in process queues its calls itself.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from cai.engine.calls.adapting import AdaptiveLimit
from cai.engine.calls.call import Answer, Call, ask_model
from cai.engine.calls.health import Health
from cai.engine.calls.rates import Bucket
from cai.engine.calls.timeouts import Timeout
from cai.errors import CaiError, ModelUnavailable
from cai.models.protocol import LimitedModel, Limits, Model

Clock = Callable[[], float]
_REFUSALS: dict[str, float] = {"rate limit": 1.0, "server error": 0.5}


@dataclass(frozen=True, slots=True)
class LaneView:
    """How an endpoint is doing. `limit` is None where it queues calls itself."""

    name: str
    in_flight: int
    limit: int | None
    latency_s: float | None
    down_for_s: float | None


class Lane:
    """A model behind one endpoint, with at most `cap` calls at a time where that is given."""

    def __init__(self, model: Model, cap: int | None = None, clock: Clock = time.monotonic) -> None:
        limits = model.limits if isinstance(model, LimitedModel) else Limits()
        now_s = clock()
        self.model = model
        self.in_flight = 0
        self.start = limits.start if cap is None else cap
        self.timeout = Timeout(limits.timeout_s)
        self._clock = clock
        self._cap = cap
        self._adaptive: AdaptiveLimit | None = None
        if limits.calls is not None:
            most = limits.calls if cap is None else min(cap, limits.calls)
            self._adaptive = AdaptiveLimit(self.start, most, now_s)
        self._requests = Bucket(limits.requests_per_minute, now_s)
        self._tokens = Bucket(limits.tokens_per_minute, now_s)
        self._health = Health()
        self._open: dict[asyncio.Timeout, float] = {}
        self._latency_s: float | None = None

    @property
    def limit(self) -> int | None:
        """The most calls at a time now; None: any number."""
        return self._cap if self._adaptive is None else self._adaptive.value

    @property
    def is_down(self) -> bool:
        return self._health.down_since_s is not None

    @property
    def down_for_s(self) -> float | None:
        since = self._health.down_since_s
        return None if since is None else self._clock() - since

    @property
    def strain(self) -> float:
        """What orders lanes: the share of its seats that is taken."""
        return self.in_flight / (self.limit or self.start)

    @property
    def has_seat(self) -> bool:
        return self.limit is None or self.in_flight < self.limit

    def is_open(self) -> bool:
        """Whether a call can go now."""
        now_s = self._clock()
        return self.has_seat and self._health.lets_in(now_s) and self._granted_s(now_s) <= now_s

    def opens_at_s(self) -> float | None:
        """When to look again; None where the end of a call will tell."""
        now_s = self._clock()
        if not self.has_seat or self._health.is_tried:
            return None
        tries_s = self._health.tries_at_s if self.is_down else now_s
        return max(tries_s, self._granted_s(now_s))

    def take(self, n_tokens: int) -> None:
        """Takes a seat for a call of about so many tokens; `leave` gives it back."""
        now_s = self._clock()
        self.in_flight += 1
        self._requests.take(1, now_s)
        self._tokens.take(n_tokens, now_s)
        self._health.note_start(now_s)
        if self._adaptive and not self.has_seat:
            self._adaptive.note_full()

    def leave(self) -> None:
        self.in_flight -= 1

    def give_back(self) -> None:
        """Leaves a seat that was taken and not used."""
        self.leave()
        self._health.note_abandoned(self._clock())

    def note_wait(self) -> None:
        """A call has to wait, so more seats would be taken."""
        if self._adaptive:
            self._adaptive.note_full()

    async def ask(self, call: Call, n_tokens: int) -> Answer:
        """The endpoint's answer; what it says of the endpoint is noted.

        Raises:
            ModelUnavailable: It did not come in time, among others.
        """
        began_s = self._clock()
        try:
            answer = await self._in_time(call)
        except CaiError as error:
            self._note_failure(error, began_s)
            raise
        except BaseException:
            self._health.note_abandoned(began_s)
            raise
        now_s = self._clock()
        usage = answer.usage
        self._health.note_success()
        self._tokens.take(usage.prompt_tokens + usage.completion_tokens - n_tokens, now_s)
        self._note_latency(now_s - began_s)
        if self._adaptive:
            self._adaptive.note(now_s - began_s, usage.completion_tokens, 0.0, now_s)
        return answer

    def view(self) -> LaneView:
        return LaneView(
            self.model.name, self.in_flight, self.limit, self._latency_s, self.down_for_s
        )

    async def _in_time(self, call: Call) -> Answer:
        allowed_s, began_s = self.timeout.seconds, asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(None if math.isinf(allowed_s) else allowed_s) as deadline:
                self._open[deadline] = began_s
                try:
                    return await ask_model(self.model, call)
                finally:
                    del self._open[deadline]
        except TimeoutError:
            took_s = asyncio.get_running_loop().time() - began_s
            raise ModelUnavailable(
                f"{self.model.name} gave no answer within {took_s:.0f} s, far longer "
                "than its calls take. If it goes on, look at the server's load.",
                cause="time-out",
            ) from None

    def _note_failure(self, error: CaiError, began_s: float) -> None:
        now_s = self._clock()
        self._health.note_failure(error, began_s, now_s)
        if error.cause == "time-out":
            self.timeout.note_expiry(now_s - began_s)
        if self._adaptive and error.cause in _REFUSALS:
            self._adaptive.note(now_s - began_s, 0, _REFUSALS[error.cause], now_s)

    def _note_latency(self, seconds: float) -> None:
        before_s = self._latency_s
        self._latency_s = seconds if before_s is None else 0.95 * before_s + 0.05 * seconds
        if self.timeout.note(seconds):
            for deadline, began_s in self._open.items():
                allowed_s = self.timeout.seconds
                if not deadline.expired():  # else its call is being ended at this moment
                    deadline.reschedule(None if math.isinf(allowed_s) else began_s + allowed_s)

    def _granted_s(self, now_s: float) -> float:
        return max(self._requests.ready_at_s(now_s), self._tokens.ready_at_s(now_s))
