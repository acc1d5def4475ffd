"""What run folders hold: `cai status`, `cai report` and `cai cache`. None of them calls a model.

`cai status` reads a run while another process writes it: the journal is SQLite in WAL mode, so
readers never block its writer. `cai cache` shows, prunes and repairs the cached responses.

Example:
    $ cai status runs/judged --follow
    $ cai cache prune runs/first --unused
    $ cai report runs/judged
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from cai.cli.options.run_options import echo_json, prices_option
from cai.cli.options.settings_options import PATH
from cai.cli.tables import accounts_table, named, plain_table, printable
from cai.engine.budget import Ledger, load_prices
from cai.engine.journal import PruneFilter, answer_stats, count_matching, prune
from cai.engine.progress import Snapshot, causes, count, last_snapshot
from cai.engine.recovery import salvage
from cai.engine.run_files import Counts, writer_of
from cai.engine.run_folder import JOURNAL_FILE, RunFolder
from cai.runs.config import REWARD
from cai.runs.divided import check_one_run, what_is_missing

FOLLOW_EVERY_S = 1.0
# Output to a file or a pipe is read by line, and should not be broken at 80 columns.
PLAIN_WIDTH = 240

_run = click.argument("run", type=PATH)
_json = click.option("--json", "is_json", is_flag=True, help="As one JSON object.")


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What a run folder holds. `pid` is the process that writes it now, None if there is none."""

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
        """The status of the folder now. Raises JournalError where the folder is not a run."""
        with RunFolder.existing(path) as folder:
            snapshot = last_snapshot(folder)
            # A killed process leaves a snapshot that says "running"; only its lock shows that it
            # lives, and the lock alone may belong to `cai cache prune`.
            is_running = snapshot is not None and snapshot.state == "running"
            files = (path / JOURNAL_FILE, path / f"{JOURNAL_FILE}-wal")  # the log counts as well
            return cls(
                path,
                str(folder.config.get("method", "run")),
                folder.created,
                folder.counts(),
                folder.failures(),
                Ledger.of(folder.database, load_prices(prices)),
                n_bytes=sum(file.stat().st_size for file in files if file.exists()),
                pid=writer_of(path) if is_running else None,
                snapshot=snapshot,
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

    def __rich__(self) -> RenderableType:
        """The status as text, with the accounts of the roles as a table."""
        counts, total = self.counts, self.snapshot.total if self.snapshot else None
        of = "" if total is None else f" of {total:,}"
        failed = f", {counts.failed:,} failed ({causes(self.failures)})" if counts.failed else ""
        writer = "no process writes it" if self.pid is None else f"process {self.pid} writes it"
        is_reward = self.method == REWARD
        what = "judge calls for the rewards of a training" if is_reward else self.method
        lines = [f"{self.path}: {what}, started {self.created}; {writer}"]
        if not is_reward:  # a run of rewards has calls alone, no examples
            lines.append(f"{counts.done:,} done{of}{failed}")
        if self.live is not None:
            lines += [f"now: {self.live.line()}", *(f"  {x}" for x in self.live.endpoint_lines())]
        lines.append(f"journal: {self.ledger.n_calls:,} calls, {count(self.n_bytes)}B")
        shown: list[RenderableType] = [Text(printable(line)) for line in lines]
        if self.ledger.accounts:
            shown.append(accounts_table(self.ledger))
        return Group(*shown)


@dataclass(frozen=True, slots=True)
class DividedStatus:
    """The parts of a divided run, and what they are together."""

    parts: tuple[RunStatus, ...]
    missing: str  # a sentence; "" where all parts are there and finished

    @classmethod
    def of(cls, paths: Sequence[Path], prices: Path | None) -> "DividedStatus":
        """Raises UsageError where the folders are not parts of one run, or have examples twice."""
        with ExitStack() as opened:
            folders = [opened.enter_context(RunFolder.existing(path)) for path in paths]
            check_one_run(folders)
            missing = what_is_missing(folders)
        return cls(tuple(RunStatus.of(path, prices) for path in paths), missing)

    def line(self) -> str:
        """Such as: together: 480 done, 2 failed, 1,950 calls."""
        done = sum(part.counts.done for part in self.parts)
        failed = sum(part.counts.failed for part in self.parts)
        calls = sum(part.ledger.n_calls for part in self.parts)
        text = f"together: {done:,} done, {failed:,} failed, {calls:,} calls"
        return f"{text}. {self.missing}" if self.missing else text

    def as_json(self) -> dict[str, object]:
        costs = [part.ledger.cost_usd for part in self.parts]
        return {
            "parts": [part.as_json() for part in self.parts],
            "done": sum(part.counts.done for part in self.parts),
            "failed": sum(part.counts.failed for part in self.parts),
            "calls": sum(part.ledger.n_calls for part in self.parts),
            # One unknown price makes the sum unknown.
            "cost_usd": None if None in costs else sum(cost for cost in costs if cost is not None),
            "missing": self.missing or None,
        }


@click.command(epilog="Example: cai status runs/first --follow")
@click.argument("runs", metavar="RUN...", type=PATH, nargs=-1, required=True)
@click.option("--follow", is_flag=True, help="Go on until the process that writes it ends.")
@prices_option
@click.option("--json", "is_json", is_flag=True, help="As JSON; followed, a line a second.")
def status(runs: tuple[Path, ...], follow: bool, prices: Path | None, is_json: bool) -> int:
    """What RUN holds: examples, failures by cause, calls, tokens and cost by role.

    Also while another process, in another terminal, writes it. Several folders must be the parts of
    one divided run, and their sums come last. Exit code 1 if examples failed.
    """
    console = Console()
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    first, *others = runs
    if follow:
        if others:
            raise click.UsageError("--follow shows one run. Name one.")
        return 1 if _follow(first, prices, console, is_json).counts.failed else 0
    if not others:
        current = RunStatus.of(first, prices)
        if is_json:
            echo_json(current.as_json())
        else:
            console.print(current)
        return 1 if current.counts.failed else 0
    parts = DividedStatus.of(runs, prices)
    if is_json:
        echo_json(parts.as_json())
    else:
        for part in parts.parts:
            console.print(part)
        console.print(named(parts.line()))
    return 1 if any(part.counts.failed for part in parts.parts) else 0


def _follow(run: Path, prices: Path | None, console: Console, is_json: bool) -> RunStatus:
    """Shows the run once a second until no process writes it; the status at the end."""
    current = RunStatus.of(run, prices)
    if console.is_terminal and not is_json:
        # Drawn once a second by hand: rich's own refresh would redraw an unchanged text.
        with Live(current, console=console, auto_refresh=False) as live:
            while current.pid is not None:
                time.sleep(FOLLOW_EVERY_S)
                current = RunStatus.of(run, prices)
                live.update(current, refresh=True)
        return current
    while True:
        if is_json:  # its last line is the status already
            echo_json(current.as_json())
        elif current.live is not None:
            click.echo(printable(" | ".join([current.live.line(), *current.live.endpoint_lines()])))
        if current.pid is None:
            break
        time.sleep(FOLLOW_EVERY_S)
        current = RunStatus.of(run, prices)
    if not is_json:
        console.print(current)
    return current


@click.command(epilog="Example: cai report demo -o demo.html")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=PATH)
@click.option(
    "-o", "--out", type=PATH, help="The file to write.  [default: report.html in the folder]"
)
@prices_option
def report(paths: tuple[Path, ...], out: Path | None, prices: Path | None) -> int:
    """Write what the folders PATH… hold as one HTML file that needs nothing else.

    A PATH is the folder of a run, a training, an evaluation or rounds, or one that holds several:
    then the report is of the whole chain. It says what was done, whether it worked, what it cost
    and what to distrust, and shows tables, plots and examples. No model is called.
    """
    from cai.report.build import write_report  # heavy: matplotlib
    from cai.testbed.truth import OracleTruth

    written = write_report(paths, out, prices=prices, truth=OracleTruth())
    click.echo(f"{printable(str(written))}  {written.stat().st_size / 1e6:.1f} MB")
    return 0


@click.group(epilog="Example: cai cache show runs/first")
def cache() -> None:
    """The cached responses of a run, from which a repeated command is answered without calls."""


@cache.command("show", epilog="Example: cai cache show runs/first")
@_run
@_json
def show(run: Path, is_json: bool) -> int:
    """What the journal of RUN holds, by role and model."""
    with RunFolder.existing(run) as folder:
        cached = answer_stats(folder.database)
    if is_json:
        echo_json({"run": str(run), "stocks": [asdict(each) for each in cached]})
        return 0
    if not cached:
        click.echo(f"{run}: the journal holds no response")
        return 0
    table = plain_table("cached responses", "calls", "unused", "bytes", "from", "to")
    for each in cached:
        first, last = (
            datetime.fromtimestamp(time_s).strftime("%m-%d %H:%M")
            for time_s in (each.oldest_s, each.newest_s)
        )
        cells = (f"{each.n_calls:,}", f"{each.n_unused:,}", count(each.n_bytes), first, last)
        table.add_row(named(f"{each.role or 'call'}, {each.model}"), *cells)
    Console().print(table)
    if any(each.n_unused for each in cached):
        click.echo(f"Next: cai cache prune {run} --unused")
    return 0


@cache.command("prune", epilog="Example: cai cache prune runs/first --unused")
@_run
@click.option("--unused", is_flag=True, help="Responses that made none of the present records.")
@click.option("--model", help="Responses of the model of this name.")
@click.option("--role", help="Responses in this role: respond, critique, revise, judge, score.")
@click.option("--older-than", type=click.FloatRange(0), metavar="DAYS", help="Given before that.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune_command(
    run: Path,
    unused: bool,
    model: str | None,
    role: str | None,
    older_than: float | None,
    yes: bool,
) -> int:
    """Remove cached responses from the journal of RUN; all given conditions must hold.

    The records stay. A removed response is requested and paid again if it is needed again.
    """
    choice = PruneFilter(model, role, older_than, unused)
    if choice == PruneFilter():  # without a condition it would empty the journal
        raise click.UsageError("Say which: --unused, --model, --role or --older-than.")
    # Closed again before the question: another command may write while the user thinks.
    with RunFolder.existing(run) as folder:
        n, n_bytes = count_matching(folder.database, choice)
    if not n:
        click.echo(f"{run}: no such response")
        return 0
    if not yes and not click.confirm(f"{run}: remove {n:,} responses, {count(n_bytes)}B?"):
        click.echo(f"{run}: unchanged")
        return 0
    click.echo(f"{run}: {prune(run, choice):,} responses removed")
    return 0


@cache.command("repair", epilog="Example: cai cache repair runs/first")
@_run
@_json
def repair(run: Path, is_json: bool) -> int:
    """Save what can be read of the damaged journal of RUN; the damaged file stays beside it."""
    # SQLite cannot repair in place; the readable rows go to a new file.
    saved = salvage(run)
    if is_json:
        echo_json({**asdict(saved), "damaged": str(saved.damaged)})
    else:
        click.echo(
            f"{run}: {saved.n_calls:,} responses and {saved.n_records:,} records saved; the "
            f"damaged file is {saved.damaged}"
        )
        click.echo("The command that made the run goes on with them.")
    return 0
