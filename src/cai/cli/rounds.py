"""`cai rounds`: rounds of feedback and training, each measured against frozen anchors."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import cast

import click
from rich.console import Console

from cai.cli.console import printable
from cai.cli.pacing import as_json, echo_json
from cai.cli.rounds_tables import show_series
from cai.engine.loop import run_async
from cai.engine.spending.gate import Caps
from cai.jobs.pace import Pace
from cai.rounds.dealing import check_enough
from cai.rounds.found import Decision, Series
from cai.rounds.schema import load_rounds
from cai.training.extras import require

_ANSWERS = ("go on", "stop", "roll back")


@click.command(epilog="Example: cai rounds examples/recipes/testbed-rounds.yaml -o runs/rounds")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder of the series.")
@click.option("--rounds", "n_rounds", type=click.IntRange(1), help="In place of the recipe's.")
@click.option(
    "--decide",
    type=click.Choice(_ANSWERS),
    help="What follows from the last round, where a rule asked or stopped.",
)
@click.option("--concurrency", type=click.IntRange(1, 4096), help="Most calls at a time.")
@click.option(
    "--max-cost-usd", type=click.FloatRange(0, min_open=True), help="Of the whole series."
)
@click.option("--max-total-tokens", type=click.IntRange(1), help="Of the whole series.")
@click.option("--prices", type=click.Path(path_type=Path, dir_okay=False), help="YAML of prices.")
@as_json
def rounds(
    recipe: Path,
    out: Path | None,
    n_rounds: int | None,
    decide: str | None,
    concurrency: int | None,
    max_cost_usd: float | None,
    max_total_tokens: int | None,
    prices: Path | None,
    is_json: bool,
) -> int:
    """Do the rounds of RECIPE: feedback, training, and what became of the policy.

    Every round's policy is held against anchors: a frozen judge, prompts, people's pairs. Rules
    stop the series, roll back, or ask. The same command goes on after an interruption, in the
    middle of a step too; with more --rounds it adds some.
    """
    loaded = load_rounds(recipe)
    if n_rounds is not None:
        loaded = loaded.model_copy(update={"rounds": n_rounds})
    if out is None:
        raise click.UsageError("Name the folder of the series with -o.")
    require()
    loaded.check()
    check_enough(loaded)
    from cai.rounds.running import run_rounds_async

    pace = Pace(concurrency, caps=Caps(max_cost_usd, max_total_tokens), prices=prices)
    console, answer = Console(stderr=True), cast("Decision | None", decide)
    while True:
        series = run_async(run_rounds_async(loaded, out, pace, answer=answer, console=console))
        if series.rounds[-1].decision != "ask" or is_json or not sys.stdin.isatty():
            break
        answer = _asked(series)
    if is_json:
        echo_json({"event": "end", "series": str(out), **asdict(series)})
    else:
        show_series(series)
        click.echo(f"Everything is in {out}. See it: cai report {out}")
    return 0


def _asked(series: Series) -> Decision:
    """What the user decides."""
    last = series.rounds[-1]
    for sentence in last.broken:
        click.echo(printable(sentence))
    return cast(
        "Decision",
        click.prompt(f"Round {last.number}: what follows?", type=click.Choice(_ANSWERS)),
    )
