"""How a run is carried out, as options of every command that writes one; and how it is told."""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click

from cai.jobs.running import Outcome, Pace

run_folder = click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="Run folder."
)
as_json = click.option("--json", "is_json", is_flag=True, help="The outcome as one JSON object.")

_PACE_OPTIONS = [
    click.option("--limit", type=click.IntRange(1), help="Only the first examples of the source."),
    click.option("--concurrency", type=click.IntRange(1, 4096), default=64, show_default=True),
    click.option(
        "--retry-failed", is_flag=True, help="Do failed examples again, whatever the cause."
    ),
]


def paced(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command the options of `pace`."""

    @wraps(command)
    def gathered(limit: int | None, concurrency: int, retry_failed: bool, **options: Any) -> int:
        return command(pace=Pace(concurrency, limit, retry_failed), **options)

    return with_options(gathered, _PACE_OPTIONS)


def with_options(
    command: Callable[..., int],
    options: Iterable[Callable[[Callable[..., int]], Callable[..., int]]],
) -> Callable[..., int]:
    """The command with the options, which its help shows in this order."""
    for option in reversed(list(options)):
        command = option(command)
    return command


def show_counts(outcome: Outcome[Any], out: Path) -> None:
    """What the folder holds and what was asked, and how to see failures."""
    counts = outcome.counts
    click.echo(
        f"{out}: {counts.done} done, {counts.failed} failed; {outcome.n_calls} calls made, "
        f"{outcome.n_from_journal} from the journal"
    )
    if counts.failed:
        click.echo(f"See the failures: cai export {out} --format everything -o all.jsonl")


def counts_as_json(
    outcome: Outcome[Any], out: Path, n_bad: int, seconds: float
) -> dict[str, object]:
    """What every command tells of a run."""
    return {
        "run": str(out),
        "done": outcome.counts.done,
        "failed": outcome.counts.failed,
        "flagged": outcome.n_flagged,
        "calls": outcome.n_calls,
        "calls_from_journal": outcome.n_from_journal,
        "bad_rows": n_bad,
        "seconds": round(seconds, 1),
    }


def echo_json(content: Mapping[str, object]) -> None:
    click.echo(json.dumps(content))
