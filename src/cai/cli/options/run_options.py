"""How a run is carried out, as options of every command that writes one; and how it is told."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from cai.cli.cost_table import accounts_table, estimate_line, estimate_table
from cai.engine.budget import Caps
from cai.engine.progress import Snapshot, causes
from cai.runs.job import Outcome
from cai.runs.options import WHOLE, Part, RunOptions

DRY_RUN_SAMPLE = 16
EVENT_EVERY_S = 1.0

run_folder = click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="Run folder."
)
as_json = click.option(
    "--json",
    "is_json",
    is_flag=True,
    help="JSON lines: events as they come, the outcome last.",
)


class PartOption(click.ParamType[Part]):
    """A part of the source, as I/N."""

    name = "I/N"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Part:
        """The part. Raises UsageError where there is no such."""
        if isinstance(value, Part):
            return value
        number, _, of = str(value).partition("/")
        if not (number.isdecimal() and of.isdecimal()):
            raise click.BadParameter(f"{value!r} is not of the form 2/8.")
        return Part(int(number), int(of))


_PACE_OPTIONS = [
    click.option("--limit", type=click.IntRange(1), help="Only the first examples of the source."),
    click.option(
        "--dry-run",
        "is_dry_run",
        is_flag=True,
        help=f"Ask {DRY_RUN_SAMPLE} examples, keep them, and estimate the whole run.",
    ),
    click.option(
        "--part", type=PartOption(), default=WHOLE, metavar="I/N", help="Only this part, as 2/8."
    ),
    click.option(
        "--concurrency",
        type=click.IntRange(1, 4096),
        help="Most calls at a time to each server.  [default: it adapts]",
    ),
    click.option("--hedge", "hedges", is_flag=True, help="Ask the last stragglers twice."),
    click.option(
        "--retry-failed", is_flag=True, help="Do failed examples again, whatever the cause."
    ),
    click.option(
        "--update",
        is_flag=True,
        help="The run is with other settings: make it this one, asking only what is new.",
    ),
    click.option(
        "--max-cost-usd", type=click.FloatRange(0, min_open=True), help="Stop before it costs more."
    ),
    click.option(
        "--max-total-tokens", type=click.IntRange(1), help="Stop before it takes more tokens."
    ),
    click.option(
        "--prices",
        type=click.Path(path_type=Path, dir_okay=False),
        help="YAML file of prices, before those that ship.",
    ),
]


def with_run_options(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command the options of `run_options`."""

    @wraps(command)
    def gathered(
        is_dry_run: bool, max_cost_usd: float | None, max_total_tokens: int | None, **options: Any
    ) -> int:
        names = ("concurrency", "limit", "part", "retry_failed", "update", "hedges", "prices")
        run_options = RunOptions(
            **{name: options.pop(name) for name in names},
            sample=DRY_RUN_SAMPLE if is_dry_run else None,
            caps=Caps(max_cost_usd, max_total_tokens),
            tell=JsonEvents().tell if options.get("is_json") else None,
        )
        return command(run_options=run_options, **options)

    return with_options(gathered, _PACE_OPTIONS)


def with_options(
    command: Callable[..., int],
    options: Iterable[Callable[[Callable[..., int]], Callable[..., int]]],
) -> Callable[..., int]:
    """The command with the options, which its help shows in this order."""
    for option in reversed(list(options)):
        command = option(command)
    return command


class JsonEvents:
    """A line of JSON about a run in progress, one a second, and a last one where it is stopped."""

    def __init__(self) -> None:
        self._told_s = 0.0

    def tell(self, snapshot: Snapshot) -> None:
        is_due = snapshot.elapsed_s - self._told_s >= EVENT_EVERY_S
        if snapshot.state == "stopped" or (snapshot.state == "running" and is_due):
            self._told_s = snapshot.elapsed_s
            echo_json({"event": "progress", **snapshot.as_json()})


def show_counts(outcome: Outcome[Any], out: Path) -> None:
    """What the folder holds, what was asked and what it took, and how to see failures."""
    counts = outcome.counts
    click.echo(
        f"{out}: {counts.done} done, {counts.failed} failed; {outcome.n_calls} calls made, "
        f"{outcome.n_from_journal} from the journal"
    )
    console = Console()
    if outcome.estimate is not None:
        console.print(estimate_table(outcome.estimate))
        click.echo(estimate_line(outcome.estimate))
        click.echo("The same command without --dry-run does the rest.")
    elif outcome.ledger.cost_usd:
        console.print(accounts_table(outcome.ledger))
    if counts.failed:
        click.echo(f"failed: {causes(outcome.failures)}")
        click.echo(f"See the failures: cai export {out} --format everything -o all.jsonl")


def counts_as_json(
    outcome: Outcome[Any], out: Path, n_bad: int, seconds: float
) -> dict[str, object]:
    """What every command tells of a run."""
    content: dict[str, object] = {
        "event": "end",
        "run": str(out),
        "done": outcome.counts.done,
        "failed": outcome.counts.failed,
        "failures": dict(outcome.failures),
        "flagged": outcome.n_flagged,
        "calls": outcome.n_calls,
        "calls_from_journal": outcome.n_from_journal,
        "cost_usd": outcome.ledger.cost_usd,
        "bad_rows": n_bad,
        "seconds": round(seconds, 1),
    }
    if outcome.estimate is not None:
        content["estimate"] = asdict(outcome.estimate)
    return content


def echo_json(content: Mapping[str, object]) -> None:
    click.echo(json.dumps(content))
