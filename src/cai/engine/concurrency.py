"""The number of calls in flight at one endpoint, adapted to how it copes with them.

Additive increase and multiplicative decrease (AIMD), one step for each window of calls:

* significantly more than a tenth refused: fewer, in proportion to the share, as in DCTCP (Alizadeh
  et al. 2010, "Data Center TCP", §3.1). A few random faults do not choke a run; a server error
  (5xx) counts half of a rate limit (429), because it may have other reasons than our calls;
* the same work takes 1.5 times as long as it could, and hardly more is done of it than with fewer
  in flight: fewer, because the calls queue at the server. By Little's law calls in flight are
  throughput × latency: where throughput rises with latency the server batches, and gets more;
* the same work takes three times as long as it could: fewer, whatever the reason;
* all slots in use and none of these: more; doubled until the first sign of overload, which takes
  the last doubling off again (slow start), then by a sixteenth.

Work is counted in tokens written, or in calls if there are none, so that a long answer does not
count as a slow one.
"""

import math
from dataclasses import dataclass

TOLERATED = 0.10
_LARGEST_CUT = 0.5
_SLOWER, _MUCH_SLOWER = 1.5, 3.0
_STEP = 1.25  # numbers of slots that differ by less than this factor share a level
_LEAST_GAIN = 0.3  # the least rise of throughput with the slots, as an elasticity
_QUEUE_DECREASE = 0.8
_FORGETTING = 1.01  # a window; the best pace of an hour ago may no longer be possible
_SMOOTHING = 0.3
_LEAST_WINDOW = 64  # calls; with fewer, chance decides


@dataclass(slots=True)
class _Window:
    began_s: float
    n: int = 0
    n_refused: int = 0
    refusals: float = 0.0
    work: float = 0.0
    seconds: float = 0.0
    was_full: bool = False


class AdaptiveLimit:
    """A number of calls between 1 and `most`, starting at `start`."""

    def __init__(self, start: int, most: int, now_s: float) -> None:
        self._limit = float(min(start, most))
        self._most = most
        self._is_starting = start < most
        self._window = _Window(now_s)
        self._best_pace_s = math.inf  # the least latency per unit of work
        self._best_limit = self._limit
        self._throughputs: dict[int, float] = {}  # units of work a second, by level of the slots

    @property
    def value(self) -> int:
        return max(1, int(self._limit))

    def note_full(self) -> None:
        """Records that a call has to wait for a slot, or takes the last one."""
        self._window.was_full = True

    def note(self, seconds: float, tokens: int, refusal: float, now_s: float) -> None:
        """Records the end of a call after `seconds`, with `tokens` written.

        `refusal` is 0 for an answer, otherwise the weight of the refusal, in (0, 1].
        """
        window = self._window
        if now_s < window.began_s:
            return  # sent before the last cut, so it shows nothing of its effect
        window.n += 1
        window.n_refused += refusal > 0
        window.refusals += refusal
        if not refusal:
            window.work += max(tokens, 1)
            window.seconds += seconds
        if window.n < max(_LEAST_WINDOW, self.value) or now_s <= window.began_s:
            return
        before = self._limit
        refused = window.refusals / window.n
        # Two standard errors above what is tolerated: a run at a server with a tenth of random
        # faults would otherwise be cut again and again by chance.
        if refused > TOLERATED + 2 * math.sqrt(TOLERATED * (1 - TOLERATED) / window.n):
            self._is_starting = False
            self._limit *= 1 - min(refused - TOLERATED, _LARGEST_CUT)
        elif window.work and self._is_overloaded(window, now_s):
            self._limit *= 0.5 if self._is_starting else _QUEUE_DECREASE
            self._is_starting = False
        elif window.was_full:
            self._limit += self._limit if self._is_starting else max(1.0, self._limit / 16)
        self._limit = min(max(self._limit, 1.0), float(self._most))
        # After a cut the next window starts one latency later (a second if no call was answered):
        # until then the calls that end were sent under the old limit.
        n_answered = window.n - window.n_refused
        latency_s = window.seconds / n_answered if n_answered else 1.0
        self._window = _Window(now_s + latency_s if self._limit < before else now_s)

    def _is_overloaded(self, window: _Window, now_s: float) -> bool:
        """Whether the same work takes longer than it could, and no throughput is gained by it."""
        pace_s = window.seconds / window.work
        slower = pace_s / self._best_pace_s
        level = round(math.log(self._limit) / math.log(_STEP))
        throughput = _smoothed(self._throughputs.get(level), window.work / (now_s - window.began_s))
        self._throughputs[level] = throughput
        if slower <= 1:
            known_s = None if math.isinf(self._best_pace_s) else self._best_pace_s
            self._best_pace_s = _smoothed(known_s, pace_s)
            self._best_limit = self._limit
        elif self._limit <= self._best_limit:
            self._best_pace_s *= _FORGETTING
        # The gain is relative to the next lower level that was measured; unknown counts as a gain.
        below = max((each for each in self._throughputs if each < level), default=None)
        gains = below is None or (
            throughput > _STEP ** (_LEAST_GAIN * (level - below)) * self._throughputs[below]
        )
        return slower > _MUCH_SLOWER or (slower > _SLOWER and not gains)


def _smoothed(known: float | None, new: float) -> float:
    return new if known is None else known + _SMOOTHING * (new - known)
