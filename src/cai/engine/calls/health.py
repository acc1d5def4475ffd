"""Whether an endpoint answers at all: a dead one is left out, and tried again with one call.

A circuit breaker (Nygard 2007, "Release It!", §5.2). A connection that is refused opens it at once,
other failures of the server when many come in a row. While it is open nobody's attempts are used up
by an endpoint that is known to be dead: calls wait, and one at a time tries.
"""

from dataclasses import dataclass

from cai.errors import CaiError

_FAILURES_IN_A_ROW = 12
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 15.0
_SERVERS_FAULT = ("server error", "broken connection", "time-out")


@dataclass(slots=True)
class Health:
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
