"""Snapshots on a console: lines that are kept up to date on a terminal, plain lines elsewhere."""

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from cai.engine.telling.snapshot import Snapshot

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
