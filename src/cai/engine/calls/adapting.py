"""How many calls an endpoint is asked at a time, learnt from how it bears them.

Additive increase and multiplicative decrease, one step for each window of calls:

* more than a tenth refused (429 or 5xx): fewer, in proportion to the share, as in DCTCP (Alizadeh
  et al. 2010, "Data Center TCP", §3.1); so a few faults by chance do not choke a run;
* latency for the same work up by half, and no more work done for it: fewer, for the calls queue at
  the server. By Little's law calls in flight are throughput × latency: latency that rises while
  throughput does too is a server that batches, and gets more;
* all seats taken and neither of both: more; doubled until the first sign, then a sixteenth.

Work is counted in tokens written, else in calls, so that long answers are not taken for slow ones.
"""

from dataclasses import dataclass

TOLERATED = 0.10
_SLOWER = 1.5
_NO_GAIN = 1.05
_QUEUE_DECREASE = 0.8
_FORGETTING = 1.01  # a window; what was the best an hour ago need not be possible today
_LEAST_WINDOW = 16


@dataclass(slots=True)
class _Window:
    began_s: float
    n: int = 0
    n_refused: int = 0
    work: float = 0.0
    seconds: float = 0.0
    was_full: bool = False


class AdaptiveLimit:
    """A number of calls between 1 and `most`, beginning at `start`."""

    def __init__(self, start: int, most: int, now_s: float) -> None:
        self._limit = float(min(start, most))
        self._most = most
        self._is_starting = start < most
        self._window = _Window(now_s)
        self._least_pace_s = float("inf")  # seconds of latency a unit of work
        self._best_throughput = 0.0  # units of work a second

    @property
    def value(self) -> int:
        return max(1, int(self._limit))

    def note_full(self) -> None:
        """A call has to wait for a seat, or takes the last one."""
        self._window.was_full = True

    def note(self, seconds: float, tokens: int, is_refused: bool, now_s: float) -> None:
        """A call that took so long was answered in so many tokens, or refused (429, 5xx)."""
        window = self._window
        window.n += 1
        window.n_refused += is_refused
        if not is_refused:
            window.work += max(tokens, 1)
            window.seconds += seconds
        if window.n >= max(_LEAST_WINDOW, self.value) and now_s > window.began_s:
            self._step(window, now_s)
            self._window = _Window(now_s)

    def _step(self, window: _Window, now_s: float) -> None:
        refused = window.n_refused / window.n
        if refused > TOLERATED:
            self._is_starting = False
            self._limit *= 1 - (refused - TOLERATED)
        elif self._queues(window, now_s):
            self._is_starting = False
            self._limit *= _QUEUE_DECREASE
        elif window.was_full:
            self._limit += self._limit if self._is_starting else max(1.0, self._limit / 16)
        self._limit = min(max(self._limit, 1.0), float(self._most))

    def _queues(self, window: _Window, now_s: float) -> bool:
        """Whether work takes longer than it could, and nothing is gained by it."""
        if not window.work:
            return False
        pace_s = window.seconds / window.work
        throughput = window.work / (now_s - window.began_s)
        is_slower = pace_s > _SLOWER * self._least_pace_s
        is_gain = throughput > _NO_GAIN * self._best_throughput
        self._least_pace_s = min(self._least_pace_s * _FORGETTING, pace_s)
        self._best_throughput = max(self._best_throughput / _FORGETTING, throughput)
        return is_slower and not is_gain
