"""How a run is getting on at one moment: as a line, as JSON, and lines about the endpoints.

Rate and remaining time count only what this process did, not the examples that were done before.
The cost is that of the whole run, with what earlier processes spent: it is what a cap is about.

The counts of a run in progress, and snapshots of them at a steady beat.

Snapshots on a console: lines that are kept up to date on a terminal, plain lines elsewhere.

The last snapshot of a run, kept in its journal so that another terminal can watch it.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Literal

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from cai.engine.endpoint import EndpointView
from cai.engine.engine import Engine
from cai.engine.run_folder import RunFolder
from cai.models.base import Usage

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
    endpoints: tuple[EndpointView, ...] = ()

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


def _endpoint_line(view: EndpointView) -> str:
    if view.down_for_s is not None:
        return f"{view.name}: away for {duration(view.down_for_s)}, tried again"
    latency = "" if view.latency_s is None else f", {view.latency_s:.2f} s a call"
    return f"{view.name}: {view.in_flight} of {view.limit} calls in flight{latency}"


BEAT_S = 0.5

ProgressListener = Callable[[Snapshot], None]


class Progress:
    """What finishes, counted. `n_before` examples of `total` were done when this began."""

    def __init__(
        self,
        engine: Engine,
        total: int | None,
        n_before: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done = self.flagged = 0
        self.failures = Counter[str]()
        self._engine = engine
        self._total = total
        self._n_before = n_before
        self._clock = clock
        self._began_s = clock()

    def add_done(self, is_flagged: bool) -> None:
        self.done += 1
        self.flagged += is_flagged

    def add_failed(self, cause: str) -> None:
        self.failures[cause] += 1

    def snapshot(self, state: State = "running") -> Snapshot:
        engine = self._engine
        return Snapshot(
            state=state,
            elapsed_s=self._clock() - self._began_s,
            total=self._total,
            n_before=self._n_before,
            done=self.done,
            failed=self.failures.total(),
            flagged=self.flagged,
            n_calls=engine.journal.calls,
            n_from_journal=engine.journal.hits,
            usage=engine.journal.usage,
            cost_usd=engine.budget.ledger.cost_usd,
            retries=dict(engine.retry.counts),
            failures=dict(self.failures),
            n_waiting=engine.n_waiting,
            n_hedged=engine.n_hedged,
            endpoints=tuple(engine.endpoints()),
        )


@asynccontextmanager
async def reporting(
    progress: Progress, listeners: Sequence[ProgressListener], beat_s: float = BEAT_S
) -> AsyncGenerator[None]:
    """While it is open, each listener gets a snapshot at every beat; and a last one at the end."""
    beating = asyncio.create_task(_beat(progress, listeners, beat_s))
    state: State = "stopped"
    try:
        yield
        state = "finished"
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
        _tell(listeners, progress.snapshot(state))


async def _beat(progress: Progress, listeners: Sequence[ProgressListener], beat_s: float) -> None:
    while True:
        _tell(listeners, progress.snapshot())
        await asyncio.sleep(beat_s)


def _tell(listeners: Sequence[ProgressListener], snapshot: Snapshot) -> None:
    for tell in listeners:
        tell(snapshot)


LINE_EVERY_S = 10.0
SHARE_A_LINE = 0.1  # of the total; a run of seconds still shows that it moves
SHORTEST_PAUSE_S = 1.0


class Display:
    """Shows each snapshot it is given where it is due, and the last one as a summary."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._shown_s = 0.0
        self._n_shown = 0

    def show(self, snapshot: Snapshot) -> None:
        if snapshot.state != "running":
            self.close()
            self._print(snapshot.summary())
        elif self._console.is_terminal:
            self._refresh(snapshot)
        elif self._is_due(snapshot):
            self._shown_s = snapshot.elapsed_s
            self._n_shown = snapshot.finished
            self._print(" | ".join([snapshot.line(), *snapshot.endpoint_lines()]))

    def close(self) -> None:
        """Gives the terminal back; a second time does nothing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _refresh(self, snapshot: Snapshot) -> None:
        lines = [snapshot.line(), *(f"  {line}" for line in snapshot.endpoint_lines())]
        shown = Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))
        if self._live is None:
            self._live = Live(shown, console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        self._live.update(shown, refresh=True)

    def _is_due(self, snapshot: Snapshot) -> bool:
        pause_s = snapshot.elapsed_s - self._shown_s
        n_new = snapshot.finished - max(self._n_shown, snapshot.n_before)
        has_moved = snapshot.total is not None and n_new >= SHARE_A_LINE * snapshot.total
        return pause_s >= LINE_EVERY_S or (has_moved and pause_s >= SHORTEST_PAUSE_S)

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)


_NAME = "progress"
_EVERY_S = 1.0


class LastSnapshot:
    """Keeps a snapshot a second, and the last one. Nobody waits until it is stored."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._kept_s = -_EVERY_S

    def save(self, snapshot: Snapshot) -> None:
        if snapshot.state != "running" or snapshot.elapsed_s - self._kept_s >= _EVERY_S:
            self._kept_s = snapshot.elapsed_s
            self._run.put_state(_NAME, json.dumps(snapshot.as_json()))


def last_snapshot(run: RunFolder) -> Snapshot | None:
    """The last snapshot that was kept; None before there was one, or where it cannot be read."""
    content = run.state(_NAME)
    try:
        return None if content is None else Snapshot.from_json(json.loads(str(content)))
    except ValueError:  # of another version of cai
        return None
