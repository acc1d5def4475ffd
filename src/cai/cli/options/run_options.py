"""How a run is done, as options of every command that writes one, and its progress as JSON.

Example:
    @click.command()
    @run_folder
    @with_run_options
    def sample(out: Path, run_options: RunOptions, is_json: bool) -> int: ...
"""

import json
from collections.abc import Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click

from cai.cli.options.settings_options import PATH, Command, with_options
from cai.engine.budget import Caps
from cai.engine.progress import Snapshot
from cai.runs.options import WHOLE, Part, RunOptions

# Enough examples for a mean and its spread, few enough to cost little of any run.
DRY_RUN_SAMPLE = 16
EVENT_EVERY_S = 1.0

run_folder = click.option("-o", "--out", type=PATH, required=True, help="Run folder.")
as_json = click.option(
    "--json", "is_json", is_flag=True, help="JSON lines: events as they come, the outcome last."
)
prices_option = click.option(
    "--prices",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML of prices, over the shipped.",
)

concurrency_option = click.option(
    "--concurrency",
    type=click.IntRange(1, 4096),
    help="Calls at a time to a server.  [default: adaptive]",
)
max_cost_option = click.option(
    "--max-cost-usd", type=click.FloatRange(0, min_open=True), help="Stop before it costs more."
)
max_tokens_option = click.option(
    "--max-total-tokens", type=click.IntRange(1), help="Stop before it takes more tokens."
)


class PartOption(click.ParamType[Part]):
    """A part of the source, as I/N."""

    # click shows it as the value in the help.
    name = "I/N"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Part:
        """The part. Raises BadParameter or UsageError where the source has no such part."""
        if isinstance(value, Part):  # click converts defaults too
            return value
        number, _, of = str(value).partition("/")
        if not (number.isdecimal() and of.isdecimal()):
            raise click.BadParameter(f"{value!r} is not of the form 2/8.")
        return Part(int(number), int(of))


_RUN_OPTIONS = [
    click.option("--limit", type=click.IntRange(1), help="Only the first examples of the source."),
    click.option(
        "--dry-run",
        "is_dry_run",
        is_flag=True,
        help=f"Do {DRY_RUN_SAMPLE} examples, store them, and estimate the whole run.",
    ),
    click.option(
        "--part", type=PartOption(), default=WHOLE, show_default=False, help="This part, as 2/8."
    ),
    concurrency_option,
    click.option(
        "--hedge", "hedges", is_flag=True, help="Send duplicates of the slowest calls (hedging)."
    ),
    click.option(
        "--retry-failed", is_flag=True, help="Do failed examples again, whatever the cause."
    ),
    click.option(
        "--update", is_flag=True, help="Make a run with other settings this one; only new calls."
    ),
    max_cost_option,
    max_tokens_option,
    prices_option,
    as_json,
]


def with_run_options(command: Command) -> Command:
    """Gives a command `run_options` and `is_json`."""

    @wraps(command)
    def run(
        is_json: bool,
        is_dry_run: bool,
        max_cost_usd: float | None,
        max_total_tokens: int | None,
        **options: Any,
    ) -> int:
        names = ("concurrency", "limit", "part", "retry_failed", "update", "hedges", "prices")
        # In JSON progress comes as lines on stdout, so that one reader follows run and outcome.
        run_options = RunOptions(
            **{name: options.pop(name) for name in names},
            sample=DRY_RUN_SAMPLE if is_dry_run else None,
            caps=Caps(max_cost_usd, max_total_tokens),
            tell=JsonEvents().tell if is_json else None,
        )
        # Settings of the method are stored with the run; these may differ between two starts.
        return command(run_options=run_options, is_json=is_json, **options)

    return with_options(run, _RUN_OPTIONS)


class JsonEvents:
    """A line of JSON about a run in progress, one a second, and a last one where it is stopped."""

    def __init__(self) -> None:
        self._last_s = 0.0

    def tell(self, snapshot: Snapshot) -> None:
        # the outcome itself is the last line of a run that ends well, so "done" has no event
        is_due = snapshot.elapsed_s - self._last_s >= EVENT_EVERY_S
        if snapshot.state == "stopped" or (snapshot.state == "running" and is_due):
            self._last_s = snapshot.elapsed_s
            echo_json({"event": "progress", **snapshot.as_json()})


def echo_json(content: Mapping[str, object]) -> None:
    click.echo(json.dumps(content))
