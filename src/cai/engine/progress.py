"""The progress of a run: snapshots of its counts, shown on a console and stored in its journal.

Rate and remaining time are of this process alone, without the examples that were done before. The
cost is that of the whole run, including earlier processes: that is what a cap limits.

Example:
    progress, display = Progress(engine, total=1000), Display(Console())
    async with reporting(progress, [display.show, LastSnapshot(run).save]):
        ...
        progress.add_done(is_flagged=False)
    print(last_snapshot(run).line())  # also from another terminal, during the run
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Literal

from pydantic import TypeAdapter
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
    """The work of this process so far; of the `total` examples `n_before` were done before.

    `total` and `cost_usd` are None if unknown. `retries` and `failures` are by cause.
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
        """Seconds to the end at the present rate; None while too little is finished."""
        n_finished = self.done + self.failed
        n_in_flight = self.n_waiting + sum(each.in_flight for each in self.endpoints)
        # At the start all examples are in flight and hardly one is finished: the rate of those few
        # would predict hours for a run of minutes.
        if self.total is None or not n_finished or n_finished < n_in_flight:
            return None
        return max(self.total - self.finished, 0) / self.per_s

    def line(self) -> str:
        """Examples finished and total, rate, time left, tokens, cost, retries, failures, flags."""
        total = "" if self.total is None else f"/{self.total:,}"
        parts = [f"{self.finished:,}{total} examples", rate(self.per_s)]
        if (remaining_s := self.remaining_s) is not None:
            parts.append(f"{duration(remaining_s)} left")
        return " · ".join([*parts, *self._details()])

    def summary(self) -> str:
        """The last line: the examples done in total, and what this process took."""
        parts = [
            f"{self.n_before + self.done:,} done in {duration(self.elapsed_s)}",
            *([f"{self.n_before:,} of them before"] if self.n_before else []),
            rate(self.per_s),
            *self._details(),
        ]
        return " · ".join(parts)

    def endpoint_lines(self) -> list[str]:
        """A line for each endpoint that may be overloaded or down."""
        lines: list[str] = []
        for each in self.endpoints:
            latency = "" if each.latency_s is None else f", {each.latency_s:.2f} s a call"
            state = f"{each.in_flight} of {each.limit} calls in flight{latency}"
            if each.down_for_s is not None:
                state = f"down for {duration(each.down_for_s)}, retried"
            if each.limit is not None:
                lines.append(f"{each.name}: {state}")
        return lines

    def as_json(self) -> dict[str, object]:
        """All figures, also those computed from others."""
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
        """The snapshot that `as_json` wrote; fields that an older cai lacked have their default."""
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
            yield f"{self.n_hedged:,} hedged"
        if self.failed:
            yield f"{self.failed:,} failed ({causes(self.failures)})"
        if self.flagged:
            yield f"{self.flagged:,} flagged"
        if self.n_from_journal:
            yield f"{self.n_from_journal:,} calls from the journal"


def causes(counts: Mapping[str, int]) -> str:
    """Counts by cause as text, the most frequent first: "3 time-out, 1 rate limit"."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{n:,} {cause}" for cause, n in ordered)


def rate(per_s: float) -> str:
    """As "2.5/s"; below one in ten seconds by the minute, so a slow run never shows "0.0/s"."""
    return f"{per_s * 60:.1f}/min" if 0 < per_s < 0.1 else f"{per_s:.1f}/s"


def duration(seconds: float) -> str:
    """As "5 h 31 min", "2 min 05 s" or "12 s"."""
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


ProgressListener = Callable[[Snapshot], None]


class Progress:
    """Counts of finished examples; `n_before` of the `total` were done before this process."""

    def __init__(self, engine: Engine, total: int | None, n_before: int = 0) -> None:
        self.done = self.flagged = 0
        self.failures = Counter[str]()
        self._engine = engine
        self._total = total
        self._n_before = n_before
        self._began_s = time.monotonic()

    def add_done(self, is_flagged: bool) -> None:
        self.done += 1
        self.flagged += is_flagged

    def add_failed(self, cause: str) -> None:
        self.failures[cause] += 1

    def snapshot(self, state: State = "running") -> Snapshot:
        engine = self._engine
        return Snapshot(
            state=state,
            elapsed_s=time.monotonic() - self._began_s,
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
    progress: Progress, listeners: Sequence[ProgressListener], interval_s: float = 0.5
) -> AsyncGenerator[None]:
    """Inside the block each listener gets a snapshot at every interval, and a last one at its end.

    The last one says `finished`, or `stopped` after an error.
    """

    def report(state: State) -> None:
        snapshot = progress.snapshot(state)
        for listener in listeners:
            listener(snapshot)

    async def report_regularly() -> None:
        while True:
            report("running")
            await asyncio.sleep(interval_s)

    reports = asyncio.create_task(report_regularly())
    state: State = "stopped"
    try:
        yield
        state = "finished"
    finally:
        # First the end of the task, so that no snapshot that says `running` follows the last one.
        reports.cancel()
        with suppress(asyncio.CancelledError):
            await reports
        report(state)


LINE_EVERY_S = 10.0
SHARE_A_LINE = 0.1  # of the total; a run of seconds thus shows its progress too
SHORTEST_PAUSE_S = 1.0


class Display:
    """Shows snapshots: live lines on a terminal, plain lines elsewhere, then a summary.

    A plain line appears every ten seconds, and earlier for each tenth of the total.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._shown_s = 0.0
        self._n_shown = 0

    def show(self, snapshot: Snapshot) -> None:
        endpoint_lines = snapshot.endpoint_lines()
        if snapshot.state != "running":
            self.close()
            self._print(snapshot.summary())
        elif self._console.is_terminal:
            lines = [snapshot.line(), *(f"  {line}" for line in endpoint_lines)]
            shown = Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))
            if self._live is None:
                self._live = Live(shown, console=self._console, transient=True, auto_refresh=False)
                self._live.start()
            self._live.update(shown, refresh=True)
        else:
            pause_s = snapshot.elapsed_s - self._shown_s
            # Examples done before this process are no progress of it.
            n_new = snapshot.finished - max(self._n_shown, snapshot.n_before)
            has_moved = snapshot.total is not None and n_new >= SHARE_A_LINE * snapshot.total
            if pause_s >= LINE_EVERY_S or (has_moved and pause_s >= SHORTEST_PAUSE_S):
                self._shown_s = snapshot.elapsed_s
                self._n_shown = snapshot.finished
                self._print(" | ".join([snapshot.line(), *endpoint_lines]))

    def close(self) -> None:
        """Restores the terminal; repeated calls do nothing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _print(self, line: str) -> None:
        # Names of models and endpoints may contain brackets, which rich would read as markup.
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)


_STATE = "progress"
_SAVE_EVERY_S = 1.0


class LastSnapshot:
    """Stores a snapshot a second in the journal, and always the last one."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._saved_s = -_SAVE_EVERY_S

    def save(self, snapshot: Snapshot) -> None:
        # A commit costs a flush of the disk, and a snapshot that is lost costs nothing.
        if snapshot.state != "running" or snapshot.elapsed_s - self._saved_s >= _SAVE_EVERY_S:
            self._saved_s = snapshot.elapsed_s
            self._run.put_state(_STATE, json.dumps(snapshot.as_json()))


def last_snapshot(run: RunFolder) -> Snapshot | None:
    """The snapshot stored last; None if there is none, or it cannot be read."""
    content = run.state(_STATE)
    try:
        return None if content is None else Snapshot.from_json(json.loads(str(content)))
    except (ValueError, KeyError, TypeError):  # damaged, or written by another version of cai
        return None
