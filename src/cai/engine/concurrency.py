"""How many calls an endpoint is asked at a time, learnt from how it bears them.

Additive increase and multiplicative decrease, one step for each window of calls:

* significantly more than a tenth refused: fewer, in proportion to the share, as in DCTCP (Alizadeh
  et al. 2010, "Data Center TCP", §3.1). A few faults by chance do not choke a run; an error of the
  server (5xx) counts half of a rate limit (429), for it may have other reasons than our calls;
* the same work takes half as long again as it could, and hardly more is done of it than with fewer
  in flight: fewer, for the calls queue at the server. By Little's law calls in flight are
  throughput × latency: where throughput rises with latency the server batches, and gets more;
* the same work takes three times as long as it could: fewer, whatever the reason;
* all slots taken and none of these: more; doubled until the first sign, which takes the last
  doubling back, then a sixteenth.

Work is counted in tokens written, else in calls, so that long answers are not taken for slow ones.
"""

import math
from dataclasses import dataclass

TOLERATED = 0.10
_LARGEST_CUT = 0.5
_SLOWER, _MUCH_SLOWER = 1.5, 3.0
_STEP = 1.25  # slots are told apart by such factors
_LEAST_GAIN = 0.3  # by how much throughput must rise with the slots, as an elasticity
_QUEUE_DECREASE = 0.8
_FORGETTING = 1.01  # a window; what was the best an hour ago need not be possible today
_SMOOTHING = 0.3
_LEAST_WINDOW = 64  # calls; fewer tell too little from chance


@dataclass(slots=True)
class _Window:
    began_s: float
    n: int = 0
    n_refused: int = 0
    refusals: float = 0.0
    work: float = 0.0
    seconds: float = 0.0
    was_full: bool = False

    @property
    def latency_s(self) -> float:
        """Of those that were answered, on average; a second where none was."""
        n_answered = self.n - self.n_refused
        return self.seconds / n_answered if n_answered else 1.0


class AdaptiveLimit:
    """A number of calls between 1 and `most`, beginning at `start`."""

    def __init__(self, start: int, most: int, now_s: float) -> None:
        self._limit = float(min(start, most))
        self._most = most
        self._is_starting = start < most
        self._window = _Window(now_s)
        self._best_pace_s = math.inf  # latency a unit of work, when it was least
        self._best_seats = self._limit
        self._throughputs: dict[int, float] = {}  # units of work a second, by `_rung` of the slots

    @property
    def value(self) -> int:
        return max(1, int(self._limit))

    def note_full(self) -> None:
        """A call has to wait for a slot, or takes the last one."""
        self._window.was_full = True

    def note(self, seconds: float, tokens: int, refusal: float, now_s: float) -> None:
        """A call that took so long was answered in so many tokens, or refused: with a weight."""
        window = self._window
        if now_s < window.began_s:
            return  # asked before the last cut, it tells nothing of it
        window.n += 1
        window.n_refused += refusal > 0
        window.refusals += refusal
        if not refusal:
            window.work += max(tokens, 1)
            window.seconds += seconds
        if window.n >= max(_LEAST_WINDOW, self.value) and now_s > window.began_s:
            before = self._limit
            self._step(window, now_s)
            is_cut = self._limit < before
            self._window = _Window(now_s + window.latency_s if is_cut else now_s)

    def _step(self, window: _Window, now_s: float) -> None:
        refused = window.refusals / window.n
        if refused > TOLERATED + 2 * math.sqrt(TOLERATED * (1 - TOLERATED) / window.n):
            self._is_starting = False
            self._limit *= 1 - min(refused - TOLERATED, _LARGEST_CUT)
        elif window.work and self._is_overloaded(window, now_s):
            self._limit *= 0.5 if self._is_starting else _QUEUE_DECREASE
            self._is_starting = False
        elif window.was_full:
            self._limit += self._limit if self._is_starting else max(1.0, self._limit / 16)
        self._limit = min(max(self._limit, 1.0), float(self._most))

    def _is_overloaded(self, window: _Window, now_s: float) -> bool:
        """Whether the same work takes longer than it could, and nothing is gained by it."""
        pace_s = window.seconds / window.work
        throughput = window.work / (now_s - window.began_s)
        slower = pace_s / self._best_pace_s
        rung = _rung(self._limit)
        here = self._throughputs[rung] = _smoothed(self._throughputs.get(rung), throughput)
        if slower <= 1:
            known_s = None if math.isinf(self._best_pace_s) else self._best_pace_s
            self._best_pace_s = _smoothed(known_s, pace_s)
            self._best_seats = self._limit
        elif self._limit <= self._best_seats:
            self._best_pace_s *= _FORGETTING
        return slower > _MUCH_SLOWER or (slower > _SLOWER and not self._gains(rung, here))

    def _gains(self, rung: int, throughput: float) -> bool:
        """Whether clearly more is done than when there were fewer slots; yes where nobody knows."""
        fewer = [each for each in self._throughputs if each < rung]
        if not fewer:
            return True
        below = max(fewer)
        least = _STEP ** (_LEAST_GAIN * (rung - below))
        return throughput > least * self._throughputs[below]


def _rung(slots: float) -> int:
    return round(math.log(slots) / math.log(_STEP))


def _smoothed(known: float | None, new: float) -> float:
    return new if known is None else known + _SMOOTHING * (new - known)
