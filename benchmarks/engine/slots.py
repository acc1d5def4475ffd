"""The slots of a simulated server: a fixed number, and one queue, first come first served.

A request holds a slot for its time of service and for nothing else. One whose client has gone
leaves the queue, or gives its slot back, at once.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Job:
    """A request that wants a slot for `seconds`; `finish` is called when they are over."""

    seconds: float
    finish: Callable[[], None]
    began: float | None = None
    timer: asyncio.TimerHandle | None = None
    is_over: bool = False


@dataclass(slots=True)
class Counts:
    """What happened since the start or the last reset. Times are those of the event loop."""

    received: int = 0
    answered: int = 0
    duplicates: int = 0
    abandoned: int = 0
    refused: int = 0
    garbage: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    longest_queue: int = 0
    busy_s: float = 0.0
    first: float | None = None
    last: float | None = None
    faults: Counter[str] = field(default_factory=Counter[str])
    times_answered: Counter[str] = field(default_factory=Counter[str])

    def arrive(self, now: float) -> int:
        """The number of the request that arrives."""
        self.received += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.first is None:
            self.first = now
        return self.received

    def leave(self) -> None:
        # One that arrived before a reset is not counted as being here.
        self.in_flight = max(0, self.in_flight - 1)

    def answer(self, digest: str, now: float) -> None:
        """Count an answer that was sent whole: what a client pays for."""
        self.answered += 1
        self.last = now
        self.times_answered[digest] += 1
        if self.times_answered[digest] > 1:
            self.duplicates += 1

    def as_json(self) -> dict[str, object]:
        window = self.last - self.first if self.first is not None and self.last is not None else 0.0
        return {
            "received": self.received,
            "answered": self.answered,
            "duplicates": self.duplicates,
            "abandoned": self.abandoned,
            "refused": self.refused,
            "garbage": self.garbage,
            "faults": dict(self.faults),
            "busy_slot_s": round(self.busy_s, 4),
            "window_s": round(window, 4),
            "longest_queue": self.longest_queue,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
        }


class Slots:
    """`n` slots; what they do is added to `counts`."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.counts = Counts()
        self._n_free = n
        self._queue: deque[Job] = deque()
        self._loop = asyncio.get_running_loop()

    def enter(self, job: Job) -> None:
        if self._n_free:
            self._n_free -= 1
            self._start(job)
        else:
            self._queue.append(job)
            self.counts.longest_queue = max(self.counts.longest_queue, len(self._queue))

    def leave(self, job: Job) -> None:
        """Drop a job whose client has gone."""
        if job.is_over:
            return
        job.is_over = True
        if job.timer is None:
            self._queue.remove(job)
        else:
            job.timer.cancel()
            self._free(job)

    def _start(self, job: Job) -> None:
        job.began = self._loop.time()
        job.timer = self._loop.call_at(job.began + job.seconds, self._end, job)

    def _end(self, job: Job) -> None:
        job.is_over = True
        self._free(job)
        job.finish()

    def _free(self, job: Job) -> None:
        assert job.began is not None
        self.counts.busy_s += self._loop.time() - job.began
        if self._queue:
            self._start(self._queue.popleft())
        else:
            self._n_free += 1
