"""`cai rounds`: rounds of feedback and training, each measured against frozen anchors.

A series of rounds as tables: a row a round.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

import click
from rich.console import Console
from rich.table import Table

from cai.cli.options.run_options import as_json, echo_json
from cai.cli.tables import NONE, named, plain_table, printable
from cai.engine.budget import Caps
from cai.engine.engine import run_async
from cai.evaluation.metrics import ROUNDS, metric_of
from cai.rounds.config import load_rounds
from cai.rounds.splits import check_enough
from cai.rounds.state import Decision, RoundResult, Series
from cai.runs.options import RunOptions
from cai.training.environment import require

_TABLES: Sequence[tuple[str, Sequence[str]]] = (
    ("By the frozen judge", ("win_start", "win_last", "level_last", "adherence")),
    (
        "The next round's judge",
        ("judge_gap", "judges_agree", "agreement", "agreement_gap", "calibration", "undecided"),
    ),
    ("How far from where", ("kl_start", "kl_last", "entropy")),
    ("Texts", ("length", "distinct_2", "self_similarity", "boilerplate", "empty")),
    ("Declining", ("refusals", "evasive")),
)
_BY_KIND = ("refusals", "evasive")


def show_series(series: Series) -> None:
    """Every table, and what a reader must know."""
    console = Console()
    click.secho(f"\n{series.name}: rating over rounds", bold=True)
    console.print(_ratings(series))
    for title, metrics in _TABLES:
        shown = [name for name in metrics if any(name in each.figures for each in series.rounds)]
        shown += [
            name
            for name in series.metrics
            if "/" in name and name.partition("/")[0] in shown and name.startswith(_BY_KIND)
        ]
        if shown:
            click.secho(f"\n{title}", bold=True)
            console.print(_figures(series.rounds, shown))
    for line in _lines(series):
        click.echo(printable(line))


def _ratings(series: Series) -> Table:
    table = plain_table("round", "from", "rating", "95 %", "decision", "rules broken", "minutes")
    for each, rating in zip(series.rounds, series.ratings, strict=True):
        value = NONE if rating.value is None else f"{rating.value:+.0f}"
        low, high = rating.low, rating.high
        span = NONE if low is None or high is None else f"{low:+.0f} to {high:+.0f}"
        table.add_row(
            f"{each.number}{' (best)' if each.number == series.best else ''}",
            NONE if not each.number else str(each.parent),
            value,
            span,
            each.decision,
            str(len(each.broken)),
            f"{each.seconds / 60:.1f}",
        )
    return table


def _figures(rounds: Sequence[RoundResult], names: Sequence[str]) -> Table:
    table = plain_table("round", *(_heading(name) for name in names))
    for each in rounds:
        cells = (
            metric_of(name, ROUNDS).text(each.figures[name].value) if name in each.figures else NONE
            for name in names
        )
        table.add_row(named(str(each.number)), *cells)
    return table


def _heading(name: str) -> str:
    metric = ROUNDS.get(name)  # None for a share of one kind of prompts
    return metric.heading if metric and metric.heading else name.replace("/", "\n")


def _lines(series: Series) -> Iterator[str]:
    for each in series.rounds:
        for sentence in each.broken:
            yield f"round {each.number}: {sentence}"
    if series.ended:
        yield series.ended
    for caveat in series.caveats:
        yield f"- {caveat}"
    best = series.rounds[series.best]
    yield f"The best policy that no rule threw out is that of round {best.number}: {best.policy}"


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
    from cai.rounds.controller import run_rounds_async

    run_options = RunOptions(concurrency, caps=Caps(max_cost_usd, max_total_tokens), prices=prices)
    console, answer = Console(stderr=True), cast("Decision | None", decide)
    while True:
        series = run_async(
            run_rounds_async(loaded, out, run_options, answer=answer, console=console)
        )
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
