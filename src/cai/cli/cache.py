"""`cai cache`: the answers that a run keeps: shown, taken out, saved from a damaged file."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console

from cai.cli.options.run_options import echo_json
from cai.cli.tables import named, plain_table
from cai.engine.journal import AnswerStats, PruneFilter, answer_stats, count_matching, prune
from cai.engine.progress import count
from cai.engine.recovery import salvage
from cai.engine.run_folder import RunFolder

_run = click.argument("run", type=click.Path(path_type=Path))


@click.group(epilog="Example: cai cache show runs/first")
def cache() -> None:
    """The answers that a run keeps, so that nothing is asked twice."""


@cache.command("show", epilog="Example: cai cache show runs/first")
@_run
@click.option("--json", "is_json", is_flag=True, help="As one JSON object.")
def show(run: Path, is_json: bool) -> int:
    """What the journal of RUN holds, by role and model."""
    with RunFolder.existing(run) as folder:
        found = answer_stats(folder.database)
    if is_json:
        echo_json({"run": str(run), "stocks": [asdict(each) for each in found]})
        return 0
    if not found:
        click.echo(f"{run}: the journal holds no answer")
        return 0
    table = plain_table("answers kept", "calls", "unused", "bytes", "from", "to")
    for each in found:
        table.add_row(named(f"{each.role or 'call'}, {each.model}"), *_figures(each))
    Console().print(table)
    n_unused = sum(each.n_unused for each in found)
    if n_unused:
        click.echo(f"Next: cai cache prune {run} --unused")
    return 0


@cache.command("prune", epilog="Example: cai cache prune runs/first --unused")
@_run
@click.option("--unused", is_flag=True, help="Answers that made none of the present records.")
@click.option("--model", help="Answers of the model of this name.")
@click.option("--role", help="Answers in this role: respond, critique, revise, judge, score.")
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
    """Take answers out of the journal of RUN; all conditions that are given must hold.

    The records stay. What is taken out is asked anew, and paid anew, if it is needed again.
    """
    choice = PruneFilter(model, role, older_than, unused)
    if choice == PruneFilter():
        raise click.UsageError("Say which: --unused, --model, --role or --older-than.")
    with RunFolder.existing(run) as folder:
        n, n_bytes = count_matching(folder.database, choice)
    if not n:
        click.echo(f"{run}: no such answer")
        return 0
    if not yes and not click.confirm(f"{run}: take out {n:,} answers, {count(n_bytes)}B?"):
        click.echo(f"{run}: left as it is")
        return 0
    click.echo(f"{run}: {prune(run, choice):,} answers taken out")
    return 0


@cache.command("repair", epilog="Example: cai cache repair runs/first")
@_run
@click.option("--json", "is_json", is_flag=True, help="As one JSON object.")
def repair(run: Path, is_json: bool) -> int:
    """Keep what can be read of the damaged journal of RUN; the damaged file stays beside it."""
    saved = salvage(run)
    if is_json:
        click.echo(json.dumps({**asdict(saved), "damaged": str(saved.damaged)}))
    else:
        click.echo(
            f"{run}: {saved.n_calls:,} answers and {saved.n_records:,} records kept; the damaged "
            f"file is {saved.damaged}"
        )
        click.echo("The command that made the run goes on with them.")
    return 0


def _figures(stock: AnswerStats) -> tuple[str, ...]:
    days = [
        datetime.fromtimestamp(each).strftime("%m-%d %H:%M")
        for each in (stock.oldest_s, stock.newest_s)
    ]
    return (f"{stock.n_calls:,}", f"{stock.n_unused:,}", count(stock.n_bytes), *days)
