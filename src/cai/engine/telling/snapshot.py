"""How a run is getting on at one moment: as a line, as JSON, and lines about the endpoints.

Rate and remaining time count only what this process did, not the examples that were done before.
The cost is that of the whole run, with what earlier processes spent: it is what a cap is about.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from cai.engine.calls.lane import LaneView
from cai.models.protocol import Usage

State = Literal["running", "finished", "stopped"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What this process did so far, of `total` examples of which `n_before` were done before.

    `total` None: nobody knows yet. `cost_usd` None: a price is not known. `retries` and `failures`
    are by cause.
    """

    state: State = "running"
    elapsed_s: float = 0.0
    total: int | None = None
    n_before: int = 0
    done: int = 0
    failed: int = 0
    flagged: int = 0
    n_calls: int = 0
    n_from_journal: int = 0
    usage: Usage = Usage()
    cost_usd: float | None = None
    retries: Mapping[str, int] = field(default_factory=dict[str, int])
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    n_waiting: int = 0
    n_hedged: int = 0
    endpoints: tuple[LaneView, ...] = ()

    @property
    def finished(self) -> int:
        return self.n_before + self.done + self.failed

    @property
    def per_s(self) -> float:
        """Examples a second."""
        return (self.done + self.failed) / max(self.elapsed_s, 1e-9)

    @property
    def tokens_per_s(self) -> float:
        """Tokens written a second, by all calls in flight together."""
        return self.usage.completion_tokens / max(self.elapsed_s, 1e-9)

    @property
    def remaining_s(self) -> float | None:
        """None while too little is finished: of what is under way nobody knows how far it is."""
        n_finished = self.done + self.failed
        n_under_way = self.n_waiting + sum(each.in_flight for each in self.endpoints)
        if self.total is None or not n_finished or n_finished < n_under_way:
            return None
        return max(self.total - self.finished, 0) / self.per_s

    def line(self) -> str:
        """Finished of total, rate, remaining time, tokens, cost, retries, failures, flags."""
        total = "" if self.total is None else f"/{self.total:,}"
        parts = [f"{self.finished:,}{total} examples", rate(self.per_s)]
        if (remaining_s := self.remaining_s) is not None:
            parts.append(f"{duration(remaining_s)} left")
        return " · ".join([*parts, *self._details()])

    def summary(self) -> str:
        """The last line: what is done in all, and what it took this time."""
        parts = [
            f"{self.n_before + self.done:,} done in {duration(self.elapsed_s)}",
            *([f"{self.n_before:,} of them before"] if self.n_before else []),
            rate(self.per_s),
            *self._details(),
        ]
        return " · ".join(parts)

    def endpoint_lines(self) -> list[str]:
        """A line for each endpoint that may be overloaded or away."""
        return [_endpoint_line(each) for each in self.endpoints if each.limit is not None]

    def as_json(self) -> dict[str, object]:
        """All figures, also those worked out of others."""
        return {
            **asdict(self),
            "elapsed_s": round(self.elapsed_s, 3),
            "finished": self.finished,
            "per_s": round(self.per_s, 4),
            "tokens_per_s": round(self.tokens_per_s, 1),
            "remaining_s": self.remaining_s,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> "Snapshot":
        """The snapshot that `as_json` told; what an older cai did not tell is at its default."""
        from pydantic import TypeAdapter

        fields = {name: content[name] for name in cls.__slots__ if name in content}
        return TypeAdapter(cls).validate_python(fields)

    def _details(self) -> Iterator[str]:
        usage = self.usage
        if self.n_calls:
            yield f"{self.n_calls:,} calls"
        if usage != Usage():
            yield f"{count(usage.prompt_tokens)} tokens in, {count(usage.completion_tokens)} out"
            yield f"{count(round(self.tokens_per_s))} tokens/s"
        if self.cost_usd:
            yield f"${self.cost_usd:,.2f}"
        if self.retries:
            yield f"{sum(self.retries.values()):,} retries ({causes(self.retries)})"
        if self.n_hedged:
            yield f"{self.n_hedged:,} asked twice"
        if self.failed:
            yield f"{self.failed:,} failed ({causes(self.failures)})"
        if self.flagged:
            yield f"{self.flagged:,} flagged"
        if self.n_from_journal:
            yield f"{self.n_from_journal:,} calls from the journal"


def causes(counts: Mapping[str, int]) -> str:
    """How often for each cause, the most frequent first: "3 time-out, 1 rate limit"."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{n:,} {cause}" for cause, n in ordered)


def rate(per_s: float) -> str:
    """Never "0.0/s" for a slow run: below one in ten seconds it is told by the minute."""
    if 0 < per_s < 0.1:
        return f"{per_s * 60:.1f}/min"
    return f"{per_s:.1f}/s"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def count(n: int) -> str:
    """At most four digits: 950, 12.3k, 4.5M, 1.2G."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if n >= size:
            return f"{n / size:.1f}{unit}"
    return str(n)


def _endpoint_line(view: LaneView) -> str:
    if view.down_for_s is not None:
        return f"{view.name}: away for {duration(view.down_for_s)}, tried again"
    latency = "" if view.latency_s is None else f", {view.latency_s:.2f} s a call"
    return f"{view.name}: {view.in_flight} of {view.limit} calls in flight{latency}"
