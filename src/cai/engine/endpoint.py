"""One endpoint as the scheduler sees it: its slots, its rates, its time-outs, and whether it lives.

Slots adapt where a server may be overloaded; a model in process queues its calls itself.

How long a call may take, learnt from how long calls take.

Four times the latency that one call in a hundred exceeds, at least five seconds, at most what the
model's name allows. After a time-out it is doubled until a call succeeds, as TCP does with its own
(RFC 6298, §5.5), so that a server which has become slow is not asked the same for ever.

So many requests, or tokens, a minute: a bucket that fills steadily.

Token bucket (Turner 1986), with room for two seconds: servers count in windows that nobody knows,
and a burst at the head of one is the surest way to a refusal.

Whether an endpoint answers at all: a dead one is left out, and tried again with one call.

A circuit breaker (Nygard 2007, "Release It!", §5.2). A connection that is refused opens it at once,
other failures of the server when many come in a row. While it is open nobody's attempts are used up
by an endpoint that is known to be dead: calls wait, and one at a time tries.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cai.engine.calls import Answer, Call, ask_model
from cai.engine.concurrency import AdaptiveLimit
from cai.errors import CaiError, ModelUnavailable
from cai.models.base import LimitedModel, Limits, Model

LEAST_S = 5.0
_TIMES = 4.0
_SHARE = 0.99
_MEMORY = 512
_CLOSE = 0.8  # a time-out that is a little longer than need be is left as it is
_EVERY = 32  # calls between two looks at the latencies; and so many before the first


class Timeout:
    """The time-out for calls to one endpoint, never above `longest_s`.

    A call that takes longer than `slow_call_s` is a rare one; None while too few are known.
    """

    def __init__(self, longest_s: float | None) -> None:
        self.longest_s = math.inf if longest_s is None else longest_s
        self._latencies: deque[float] = deque(maxlen=_MEMORY)
        self._n_seen = 0
        self._learnt_s = math.inf
        self._factor = 1.0
        self.slow_call_s: float | None = None

    @property
    def seconds(self) -> float:
        return min(self.longest_s, self._learnt_s * self._factor)

    def note(self, seconds: float) -> bool:
        """Takes in the latency of a call that succeeded; whether the time-out has changed."""
        before_s = self.seconds
        self._factor = 1.0
        self._latencies.append(seconds)
        self._n_seen += 1
        if self._n_seen % _EVERY == 0:
            ordered = sorted(self._latencies)
            self.slow_call_s = ordered[min(len(ordered) - 1, int(_SHARE * len(ordered)))]
            learnt_s = max(LEAST_S, _TIMES * self.slow_call_s)
            if not _CLOSE * self._learnt_s <= learnt_s <= self._learnt_s:
                self._learnt_s = learnt_s
        return self.seconds != before_s

    def note_expiry(self, seconds: float) -> None:
        """A call was given up after so long; of many that hung together the first one counts."""
        if seconds >= _CLOSE * self.seconds:
            self._factor *= 2


_BURST_S = 2.0


class Bucket:
    """Grants `per_minute` units a minute; None grants all."""

    def __init__(self, per_minute: int | None, now_s: float) -> None:
        self._per_s = None if per_minute is None else per_minute / 60
        self._room = max(1.0, _BURST_S * (self._per_s or 0.0))
        self._level = self._room
        self._seen_s = now_s

    def ready_at_s(self, now_s: float) -> float:
        """When the next unit is granted; `now_s` or earlier where it is at once."""
        if self._per_s is None:
            return now_s
        self._fill(now_s)
        return now_s if self._level > 0 else now_s + (1e-3 - self._level) / self._per_s

    def take(self, units: float, now_s: float) -> None:
        """Takes the units, also beyond what is there: later calls wait for it."""
        if self._per_s is not None:
            self._fill(now_s)
            self._level -= units

    def _fill(self, now_s: float) -> None:
        assert self._per_s is not None
        self._level = min(self._room, self._level + (now_s - self._seen_s) * self._per_s)
        self._seen_s = now_s


_FAILURES_IN_A_ROW = 12
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 15.0
_SERVERS_FAULT = ("server error", "broken connection", "time-out")


@dataclass(slots=True)
class EndpointHealth:
    """What the last calls say. `down_since_s` is None while it is up."""

    down_since_s: float | None = None
    n_in_a_row: int = 0
    tries_at_s: float = 0.0
    is_tried: bool = False
    _tried_since_s: float = 0.0
    _pause_s: float = _FIRST_PAUSE_S

    def lets_in(self, now_s: float) -> bool:
        """Whether a call may go: any while it is up, one when it is time to try."""
        return self.down_since_s is None or (not self.is_tried and now_s >= self.tries_at_s)

    def note_start(self, now_s: float) -> None:
        """A call goes; while it is down this is the one that tries."""
        self.is_tried = self.down_since_s is not None
        self._tried_since_s = now_s

    def note_success(self) -> None:
        self.down_since_s = None
        self.n_in_a_row = 0
        self.is_tried = False
        self._pause_s = _FIRST_PAUSE_S

    def note_failure(self, error: CaiError, began_s: float, now_s: float) -> None:
        """Of whatever kind: one that shows an endpoint which answers counts as a sign of life."""
        if error.cause == "unreachable":
            self._go_down(began_s, now_s)
        elif error.cause in _SERVERS_FAULT:
            self.n_in_a_row += 1
            if self.down_since_s is not None or self.n_in_a_row >= _FAILURES_IN_A_ROW:
                self._go_down(began_s, now_s)
        else:
            self.note_success()

    def note_abandoned(self, began_s: float) -> None:
        """A call was given up by its caller, and says nothing."""
        if self._tries(began_s):
            self.is_tried = False

    def _tries(self, began_s: float) -> bool:
        """Whether the call that began then is the one that tries."""
        return self.is_tried and began_s >= self._tried_since_s

    def _go_down(self, began_s: float, now_s: float) -> None:
        is_new = self.down_since_s is None
        if not is_new and not self._tries(began_s):
            return  # one of those that were in flight when it died
        if is_new:
            self.down_since_s = now_s
        self.is_tried = False
        self.tries_at_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)


Clock = Callable[[], float]
_REFUSALS: dict[str, float] = {"rate limit": 1.0, "server error": 0.5}


@dataclass(frozen=True, slots=True)
class EndpointView:
    """How an endpoint is doing. `limit` is None where it queues calls itself."""

    name: str
    in_flight: int
    limit: int | None
    latency_s: float | None
    down_for_s: float | None


class Endpoint:
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
        self._health = EndpointHealth()
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
        """What orders endpoints: the share of its slots that is taken."""
        return self.in_flight / (self.limit or self.start)

    @property
    def has_slot(self) -> bool:
        return self.limit is None or self.in_flight < self.limit

    def is_open(self) -> bool:
        """Whether a call can go now."""
        now_s = self._clock()
        return self.has_slot and self._health.lets_in(now_s) and self._granted_s(now_s) <= now_s

    def opens_at_s(self) -> float | None:
        """When to look again; None where the end of a call will tell."""
        now_s = self._clock()
        if not self.has_slot or self._health.is_tried:
            return None
        tries_s = self._health.tries_at_s if self.is_down else now_s
        return max(tries_s, self._granted_s(now_s))

    def take(self, n_tokens: int) -> None:
        """Takes a slot for a call of about so many tokens; `leave` gives it back."""
        now_s = self._clock()
        self.in_flight += 1
        self._requests.take(1, now_s)
        self._tokens.take(n_tokens, now_s)
        self._health.note_start(now_s)
        if self._adaptive and not self.has_slot:
            self._adaptive.note_full()

    def leave(self) -> None:
        self.in_flight -= 1

    def give_back(self) -> None:
        """Leaves a slot that was taken and not used."""
        self.leave()
        self._health.note_abandoned(self._clock())

    def note_wait(self) -> None:
        """A call has to wait, so more slots would be taken."""
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

    def view(self) -> EndpointView:
        return EndpointView(
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
