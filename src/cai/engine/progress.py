"""How a run is getting on: a live line on a terminal, plain lines elsewhere, and a summary.

Rate and remaining time count only what this process did, not the examples that were done before.
"""

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cai.models.protocol import Usage

LINE_EVERY_S = 10.0
SHARE_A_LINE = 0.1  # of the total; a run of seconds still shows that it moves
SHORTEST_PAUSE_S = 1.0


class Progress:
    """Counts what finishes and shows it on `console`; held in a `with` statement.

    `n_before` examples of `total` were done when this began. `total` None: nobody knows yet.
    """

    def __init__(
        self,
        console: Console,
        total: int | None,
        n_before: int = 0,
        is_quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done = self.failed = self.flagged = self.from_journal = 0
        self.usage = Usage()
        self._console = console
        self._total = total
        self._n_before = n_before
        self._is_quiet = is_quiet
        self._clock = clock
        self._began_s = self._shown_s = clock()
        self._n_shown = n_before
        self._live: Live | None = None

    def update(
        self,
        done: int = 0,
        failed: int = 0,
        flagged: int = 0,
        usage: Usage | None = None,
        from_journal: int = 0,
    ) -> None:
        """Adds to the counts: examples, tokens, and calls answered by the journal."""
        self.done += done
        self.failed += failed
        self.flagged += flagged
        self.usage += usage or Usage()
        self.from_journal += from_journal
        if not (self._is_quiet or self._console.is_terminal) and self._is_line_due():
            self._print(self.line())

    def line(self) -> str:
        """Finished of total, rate, remaining time, tokens, failures, flags."""
        finished = self._n_before + self.done + self.failed
        total = "" if self._total is None else f"/{self._total:,}"
        parts = [f"{finished:,}{total} examples", _rate(self._per_second())]
        if (remaining_s := self._remaining_s()) is not None:
            parts.append(f"{_duration(remaining_s)} left")
        return " · ".join([*parts, *self._details()])

    def summary(self) -> str:
        """The last line: what is done in all, and what it took this time."""
        parts = [
            f"{self._n_before + self.done:,} done in {_duration(self._elapsed_s())}",
            *([f"{self._n_before:,} of them before"] if self._n_before else []),
            _rate(self._per_second()),
            *self._details(),
        ]
        return " · ".join(parts)

    def __enter__(self) -> "Progress":
        self._began_s = self._shown_s = self._clock()
        if self._console.is_terminal and not self._is_quiet:
            self._live = Live(
                get_renderable=lambda: Text(self.line(), no_wrap=True, overflow="ellipsis"),
                console=self._console,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.stop()
            self._live = None
        if not self._is_quiet:
            self._print(self.summary())

    def _is_line_due(self) -> bool:
        pause_s = self._clock() - self._shown_s
        n_new = self._n_before + self.done + self.failed - self._n_shown
        has_moved = self._total is not None and n_new >= SHARE_A_LINE * self._total
        return pause_s >= LINE_EVERY_S or (has_moved and pause_s >= SHORTEST_PAUSE_S)

    def _print(self, line: str) -> None:
        self._shown_s = self._clock()
        self._n_shown = self._n_before + self.done + self.failed
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def _details(self) -> list[str]:
        usage = self.usage
        shown = [
            (
                usage != Usage(),
                f"{_count(usage.prompt_tokens)} tokens in, {_count(usage.completion_tokens)} out",
            ),
            (self.failed, f"{self.failed:,} failed"),
            (self.flagged, f"{self.flagged:,} flagged"),
            (self.from_journal, f"{self.from_journal:,} calls from the journal"),
        ]
        return [text for is_shown, text in shown if is_shown]

    def _elapsed_s(self) -> float:
        return self._clock() - self._began_s

    def _per_second(self) -> float:
        return (self.done + self.failed) / max(self._elapsed_s(), 1e-9)

    def _remaining_s(self) -> float | None:
        if self._total is None or not self.done + self.failed:
            return None
        n_left = self._total - self._n_before - self.done - self.failed
        return max(n_left, 0) / self._per_second()


def _rate(per_second: float) -> str:
    """Never "0.0/s" for a slow run: below one in ten seconds it is told by the minute."""
    if 0 < per_second < 0.1:
        return f"{per_second * 60:.1f}/min"
    return f"{per_second:.1f}/s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _count(n: int) -> str:
    """At most four digits: 950, 12.3k, 4.5M, 1.2G."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if n >= size:
            return f"{n / size:.1f}{unit}"
    return str(n)
