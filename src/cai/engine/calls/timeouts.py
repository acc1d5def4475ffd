"""How long a call may take, learnt from how long calls take.

Four times the latency that one call in a hundred exceeds, at least five seconds, at most what the
model's name allows. After a time-out it is doubled until a call succeeds, as TCP does with its own
(RFC 6298, §5.5), so that a server which has become slow is not asked the same for ever.
"""

import math
from collections import deque

LEAST_S = 5.0
_TIMES = 4.0
_SHARE = 0.99
_MEMORY = 512
_CLOSE = 0.8  # a time-out that is a little longer than need be is left as it is
_EVERY = 32  # calls between two looks at the latencies; and so many before the first


class Timeout:
    """The time-out for calls to one endpoint, never above `longest_s`.

    A call that takes longer than `straggler_s` is a rare one; None while too few are known.
    """

    def __init__(self, longest_s: float | None) -> None:
        self.longest_s = math.inf if longest_s is None else longest_s
        self._latencies: deque[float] = deque(maxlen=_MEMORY)
        self._n_seen = 0
        self._learnt_s = math.inf
        self._factor = 1.0
        self.straggler_s: float | None = None

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
            self.straggler_s = ordered[min(len(ordered) - 1, int(_SHARE * len(ordered)))]
            learnt_s = max(LEAST_S, _TIMES * self.straggler_s)
            if not _CLOSE * self._learnt_s <= learnt_s <= self._learnt_s:
                self._learnt_s = learnt_s
        return self.seconds != before_s

    def note_expiry(self, seconds: float) -> None:
        """A call was given up after so long; of many that hung together the first one counts."""
        if seconds >= _CLOSE * self.seconds:
            self._factor *= 2
