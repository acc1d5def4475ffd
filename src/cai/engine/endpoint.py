"""One endpoint as the scheduler sees it: its slots, rates, timeout and health.

Slots adapt where a server may be overloaded (`concurrency.py`); a local model queues its own calls.

Example:
    endpoint = Endpoint(model, cap=8)
    if endpoint.is_open():
        endpoint.take(n_tokens=500)
        try:
            answer = await endpoint.send(call, n_tokens=500)
        finally:
            endpoint.leave()
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cai.engine.calls import Answer, Call, call_model
from cai.engine.concurrency import AdaptiveLimit
from cai.errors import CaiError, ModelUnavailable
from cai.models.base import LimitedModel, Limits, Model

Clock = Callable[[], float]

LEAST_S = 5.0
_FACTOR = 4.0
_QUANTILE = 0.99
_N_LATENCIES = 512
_TOLERANCE = 0.8  # a timeout that is a little longer than necessary does not change
_EVERY = 32  # calls between two updates of the timeout, and before the first


class Timeout:
    """The timeout for calls to one endpoint, learnt from their latencies; at most `longest_s`.

    Four times the 99th percentile, at least five seconds. After a timeout it doubles until a call
    succeeds, as TCP's does (RFC 6298, §5.5): a server that has become slow would otherwise never
    finish a call again. A call longer than `slow_call_s` is a rare one; None while too few are
    known.
    """

    def __init__(self, longest_s: float | None) -> None:
        self.longest_s = math.inf if longest_s is None else longest_s
        self._latencies: deque[float] = deque(maxlen=_N_LATENCIES)
        self._n_seen = 0
        self._learnt_s = math.inf
        self._backoff = 1.0
        self.slow_call_s: float | None = None

    @property
    def seconds(self) -> float:
        return min(self.longest_s, self._learnt_s * self._backoff)

    def note(self, seconds: float) -> bool:
        """Records the latency of a successful call; whether the timeout has changed."""
        before_s = self.seconds
        self._backoff = 1.0
        self._latencies.append(seconds)
        self._n_seen += 1
        if self._n_seen % _EVERY == 0:
            ordered = sorted(self._latencies)
            self.slow_call_s = ordered[min(len(ordered) - 1, int(_QUANTILE * len(ordered)))]
            # It follows the latencies up at once, and down only by a fifth or more: each change
            # moves the deadline of every call in flight.
            learnt_s = max(LEAST_S, _FACTOR * self.slow_call_s)
            if not _TOLERANCE * self._learnt_s <= learnt_s <= self._learnt_s:
                self._learnt_s = learnt_s
        return self.seconds != before_s

    def note_expiry(self, seconds: float) -> None:
        """Records a call that timed out after `seconds`."""
        # Of many calls that hang together only the first may double it: the others began under the
        # shorter timeout and so expire below the new one.
        if seconds >= _TOLERANCE * self.seconds:
            self._backoff *= 2


_BURST_S = 2.0


class Bucket:
    """A token bucket (Turner 1986) that grants `per_minute` units a minute; None grants all.

    It has room for two seconds: servers count in windows that we do not know, and a burst at the
    start of one is the surest way to a refusal.
    """

    def __init__(self, per_minute: int | None, now_s: float) -> None:
        self._per_s = None if per_minute is None else per_minute / 60
        self._size = max(1.0, _BURST_S * (self._per_s or 0.0))
        self._level = self._size
        self._seen_s = now_s

    def ready_at_s(self, now_s: float) -> float:
        """When the next unit is granted; `now_s` or earlier for at once."""
        if self._per_s is None:
            return now_s
        self._fill(self._per_s, now_s)
        return now_s if self._level > 0 else now_s + (1e-3 - self._level) / self._per_s

    def take(self, units: float, now_s: float) -> None:
        """Takes the units, even more than there are: then later calls wait until it is refilled."""
        if self._per_s is not None:
            self._fill(self._per_s, now_s)
            self._level -= units

    def _fill(self, per_s: float, now_s: float) -> None:
        self._level = min(self._size, self._level + (now_s - self._seen_s) * per_s)
        self._seen_s = now_s


_FAILURES_IN_A_ROW = 12
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 15.0
_SERVER_CAUSES = ("server error", "broken connection", "time-out")


@dataclass(slots=True)
class EndpointHealth:
    """A circuit breaker (Nygard 2007, "Release It!", §5.2). `down_since_s` is None while up.

    A refused connection opens it at once, other server failures only many in a row. While it is
    open, calls wait instead of using up their attempts, and one at a time probes the endpoint.
    """

    down_since_s: float | None = None
    n_in_a_row: int = 0
    probe_at_s: float = 0.0
    is_probing: bool = False
    _probe_began_s: float = 0.0
    _pause_s: float = _FIRST_PAUSE_S

    def admits(self, now_s: float) -> bool:
        """Whether a call may go: any while it is up, one when a probe is due."""
        return self.down_since_s is None or (not self.is_probing and now_s >= self.probe_at_s)

    def note_start(self, now_s: float) -> None:
        """Records the start of a call; while the endpoint is down, this is the probe."""
        self.is_probing = self.down_since_s is not None
        self._probe_began_s = now_s

    def note_success(self) -> None:
        self.down_since_s = None
        self.n_in_a_row = 0
        self.is_probing = False
        self._pause_s = _FIRST_PAUSE_S

    def note_failure(self, error: CaiError, began_s: float, now_s: float) -> None:
        """Records a failure of any kind; one that the server itself replied is a sign of life."""
        if error.cause != "unreachable" and error.cause not in _SERVER_CAUSES:
            self.note_success()
            return
        is_new = self.down_since_s is None
        if error.cause != "unreachable":
            self.n_in_a_row += 1
            if is_new and self.n_in_a_row < _FAILURES_IN_A_ROW:
                return
        if not is_new and not self._is_probe(began_s):
            return  # in flight when the endpoint went down
        if is_new:
            self.down_since_s = now_s
        self.is_probing = False
        self.probe_at_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def note_abandoned(self, began_s: float) -> None:
        """Records a call that its caller cancelled, which shows nothing."""
        if self._is_probe(began_s):
            self.is_probing = False

    def _is_probe(self, began_s: float) -> bool:
        """Whether the call that began then is the probe."""
        return self.is_probing and began_s >= self._probe_began_s


_REFUSALS: dict[str, float] = {"rate limit": 1.0, "server error": 0.5}


@dataclass(frozen=True, slots=True)
class EndpointView:
    """The state of an endpoint for display. `limit` is None if it queues its own calls."""

    name: str
    in_flight: int
    limit: int | None
    latency_s: float | None
    down_for_s: float | None


class Endpoint:
    """A model at one endpoint, with at most `cap` calls at a time if that is given."""

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
        self._deadlines: dict[asyncio.Timeout, float] = {}
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
    def load(self) -> float:
        """The share of its slots in use; above 1 where more calls are in flight than slots."""
        return self.in_flight / (self.limit or self.start)

    @property
    def has_slot(self) -> bool:
        return self.limit is None or self.in_flight < self.limit

    def is_open(self) -> bool:
        """Whether a call can go now."""
        now_s = self._clock()
        return self.has_slot and self._health.admits(now_s) and self._granted_s(now_s) <= now_s

    def opens_at_s(self) -> float | None:
        """When it may open by time alone; None if that depends on the end of a call."""
        now_s = self._clock()
        if not self.has_slot or self._health.is_probing:
            return None
        probe_at_s = self._health.probe_at_s if self.is_down else now_s
        return max(probe_at_s, self._granted_s(now_s))

    def _granted_s(self, now_s: float) -> float:
        return max(self._requests.ready_at_s(now_s), self._tokens.ready_at_s(now_s))

    def take(self, n_tokens: int) -> None:
        """Takes a slot for a call of about so many tokens; `leave` frees it."""
        now_s = self._clock()
        self.in_flight += 1
        self._requests.take(1, now_s)
        self._tokens.take(n_tokens, now_s)
        self._health.note_start(now_s)
        if self._adaptive and not self.has_slot:
            self._adaptive.note_full()

    def leave(self) -> None:
        self.in_flight -= 1

    def leave_unused(self) -> None:
        """Frees a slot that no call was sent on."""
        self.leave()
        self._health.note_abandoned(self._clock())

    def note_wait(self) -> None:
        """Records that a call has to wait: more slots would be used."""
        if self._adaptive:
            self._adaptive.note_full()

    async def send(self, call: Call, n_tokens: int) -> Answer:
        """The endpoint's answer; what it shows of the endpoint's state is recorded.

        Raises:
            ModelUnavailable: It did not arrive in time, among others.
        """
        began_s = self._clock()
        try:
            answer = await self._send_with_timeout(call)
        except CaiError as error:
            now_s = self._clock()
            self._health.note_failure(error, began_s, now_s)
            if error.cause == "time-out":
                self.timeout.note_expiry(now_s - began_s)
            if self._adaptive and error.cause in _REFUSALS:
                self._adaptive.note(now_s - began_s, 0, _REFUSALS[error.cause], now_s)
            raise
        except BaseException:  # mostly a cancellation; the next call may probe in its place
            self._health.note_abandoned(began_s)
            raise
        now_s, usage = self._clock(), answer.usage
        took_s = now_s - began_s
        self._health.note_success()
        # `take` charged an estimate of the request; the server counts what was used.
        self._tokens.take(usage.prompt_tokens + usage.completion_tokens - n_tokens, now_s)
        before_s = self._latency_s
        self._latency_s = took_s if before_s is None else 0.95 * before_s + 0.05 * took_s
        if self.timeout.note(took_s):
            # The calls in flight get the new timeout too. Otherwise those sent first, when nothing
            # was known and it was longest, could hang until the end of the run.
            allowed_s = self.timeout.seconds
            for deadline, start_s in self._deadlines.items():
                if not deadline.expired():  # its call is ending already, and it may not be changed
                    deadline.reschedule(None if math.isinf(allowed_s) else start_s + allowed_s)
        if self._adaptive:
            self._adaptive.note(took_s, usage.completion_tokens, 0.0, now_s)
        return answer

    async def _send_with_timeout(self, call: Call) -> Answer:
        allowed_s, start_s = self.timeout.seconds, asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(None if math.isinf(allowed_s) else allowed_s) as deadline:
                self._deadlines[deadline] = start_s
                try:
                    return await call_model(self.model, call)
                finally:
                    del self._deadlines[deadline]
        except TimeoutError:
            took_s = asyncio.get_running_loop().time() - start_s
            raise ModelUnavailable(
                f"{self.model.name} gave no answer within {took_s:.0f} s, far longer "
                "than its calls take. If that happens again, check the server's load.",
                cause="time-out",
            ) from None

    def view(self) -> EndpointView:
        return EndpointView(
            self.model.name, self.in_flight, self.limit, self._latency_s, self.down_for_s
        )
