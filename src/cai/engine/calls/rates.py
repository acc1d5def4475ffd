"""So many requests, or tokens, a minute: a bucket that fills steadily.

Token bucket (Turner 1986), with room for two seconds: servers count in windows that nobody knows,
and a burst at the head of one is the surest way to a refusal.
"""

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
