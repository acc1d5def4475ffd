"""`cai status`: what a run holds, also while another process writes it."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from cai.cli.cost_table import accounts_table
from cai.cli.options.run_options import echo_json
from cai.cli.tables import printable
from cai.engine.budget import Ledger, load_prices
from cai.engine.lock import writer_of
from cai.engine.progress import Snapshot, causes, count, last_snapshot
from cai.engine.run_files import Counts
from cai.engine.run_folder import JOURNAL_FILE, RunFolder
from cai.runs.config import REWARD

FOLLOW_EVERY_S = 1.0
PLAIN_WIDTH = 240  # off a terminal a line is a line


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What a run folder holds. `pid` is the process that writes it now; None where none does."""

    path: Path
    method: str
    created: str
    counts: Counts
    failures: dict[str, int]
    ledger: Ledger
    n_bytes: int
    pid: int | None
    snapshot: Snapshot | None

    @classmethod
    def of(cls, path: Path, prices: Path | None) -> "RunStatus":
        """Raises JournalError where the folder is no run."""
        with RunFolder.existing(path) as folder:
            snapshot = last_snapshot(folder)
            is_running = snapshot is not None and snapshot.state == "running"
            return cls(
                path,
                str(folder.config.get("method", "run")),
                folder.created,
                folder.counts(),
                folder.failures(),
                Ledger.of(folder.database, load_prices(prices)),
                _n_bytes(path),
                writer_of(path) if is_running else None,
                snapshot,
            )

    @property
    def live(self) -> Snapshot | None:
        """The last snapshot of the process that writes it now."""
        return self.snapshot if self.pid is not None else None

    def as_json(self) -> dict[str, object]:
        usage = self.ledger.usage
        return {
            "run": str(self.path),
            "method": self.method,
            "created": self.created,
            "done": self.counts.done,
            "failed": self.counts.failed,
            "failures": self.failures,
            "total": self.snapshot.total if self.snapshot else None,
            "calls": self.ledger.n_calls,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cost_usd": self.ledger.cost_usd,
            "roles": {role: asdict(each) for role, each in self.ledger.by_role().items()},
            "journal_bytes": self.n_bytes,
            "pid": self.pid,
            "progress": self.live.as_json() if self.live else None,
        }


@click.command(epilog="Example: cai status runs/first --follow")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--follow", is_flag=True, help="Go on until the process that writes it ends.")
@click.option("--prices", type=click.Path(path_type=Path, dir_okay=False), help="File of prices.")
@click.option("--json", "is_json", is_flag=True, help="As JSON; followed, a line a second.")
def status(run: Path, follow: bool, prices: Path | None, is_json: bool) -> int:
    """What RUN holds: examples, failures by cause, calls, tokens and cost by role.

    Also while another process, in another terminal, writes it. Exit code 1 if examples failed.
    """
    found = RunStatus.of(run, prices)
    console = Console()
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    if not follow:
        echo_json(found.as_json()) if is_json else console.print(_shown(found))
    elif is_json or not console.is_terminal:
        found = _follow_in_lines(run, prices, is_json)
    else:
        found = _follow_live(run, prices, console)
    return 1 if found.counts.failed else 0


def _follow_in_lines(run: Path, prices: Path | None, is_json: bool) -> RunStatus:
    while True:
        found = RunStatus.of(run, prices)
        if is_json:
            echo_json(found.as_json())
        elif found.live is not None:
            click.echo(printable(" | ".join([found.live.line(), *found.live.endpoint_lines()])))
        if found.pid is None:
            if not is_json:
                Console(width=PLAIN_WIDTH).print(_shown(found))
            return found
        time.sleep(FOLLOW_EVERY_S)


def _follow_live(run: Path, prices: Path | None, console: Console) -> RunStatus:
    found = RunStatus.of(run, prices)
    with Live(_shown(found), console=console, auto_refresh=False) as live:
        while found.pid is not None:
            time.sleep(FOLLOW_EVERY_S)
            found = RunStatus.of(run, prices)
            live.update(_shown(found), refresh=True)
    return found


def _n_bytes(path: Path) -> int:
    """Of the journal with the log of what is not in its file yet."""
    files = (path / JOURNAL_FILE, path / f"{JOURNAL_FILE}-wal")
    return sum(file.stat().st_size for file in files if file.exists())


def _shown(found: RunStatus) -> RenderableType:
    counts = found.counts
    total = found.snapshot.total if found.snapshot else None
    of = "" if total is None else f" of {total:,}"
    failed = f", {counts.failed:,} failed ({causes(found.failures)})" if counts.failed else ""
    writer = "nobody writes it now" if found.pid is None else f"process {found.pid} writes it"
    is_reward = found.method == REWARD
    what = "answers of judges that a training asked for rewards" if is_reward else found.method
    lines = [f"{found.path}: {what}, begun {found.created}; {writer}"]
    if not is_reward:
        lines.append(f"{counts.done:,} done{of}{failed}")
    if found.live is not None:
        lines += [f"now: {found.live.line()}", *(f"  {x}" for x in found.live.endpoint_lines())]
    lines.append(f"journal: {found.ledger.n_calls:,} calls, {count(found.n_bytes)}B")
    shown: list[RenderableType] = [Text(printable(line)) for line in lines]
    if found.ledger.accounts:
        shown.append(accounts_table(found.ledger))
    return Group(*shown)
