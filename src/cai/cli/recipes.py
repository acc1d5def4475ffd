"""Recipes: `cai run` does the steps of one, and `cai rounds` repeats them on its own policy.

Rounds are iterated online training, Bai et al. 2022, arXiv:2204.05862, §4.5, with AI feedback; each
round is measured against frozen anchors.

Example:
    $ cai run bai2022 red-team.jsonl -m hf:MODEL -o runs/bai
    $ cai rounds examples/recipes/testbed-rounds.yaml -o runs/rounds
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

import click
from rich.console import Console

from cai.cli.options.run_options import (
    as_json,
    concurrency_option,
    echo_json,
    max_cost_option,
    max_tokens_option,
    prices_option,
    with_run_options,
)
from cai.cli.options.settings_options import PATH
from cai.cli.tables import NONE, named, plain_table, printable, show_estimate
from cai.data.prompts import PromptSource
from cai.engine.budget import Caps
from cai.engine.engine import run_async
from cai.errors import UsageError
from cai.evaluation.format import rating_cells
from cai.evaluation.metrics import ROUNDS, metric_of
from cai.methods.settings import ModelRole
from cai.models.registry import SCHEMES
from cai.pipeline.checks import check_steps
from cai.pipeline.loader import load_recipe, preset_text
from cai.pipeline.runner import run_recipe
from cai.pipeline.schema import ROLES
from cai.pipeline.train_runner import open_role_models
from cai.rounds.config import load_rounds
from cai.rounds.splits import check_enough
from cai.rounds.state import Decision, Series
from cai.runs.options import RunOptions
from cai.training.environment import require

_ROLES: dict[str, ModelRole] = {role: role for role in ROLES}


@click.command(
    "run",
    epilog="Example: cai run bai2022 red-team.jsonl -m embedded -c testbed -o runs/bai\n\n"
    "A recipe of your own: cai run bai2022 --show > mine.yaml",
)
@click.argument("recipe")
@click.argument("prompts", nargs=-1)
@click.option("-m", "--model", help=f"Model of every role that has none: {SCHEMES}.")
@click.option(
    "--role", "roles", multiple=True, metavar="ROLE=SPEC", help=f"One of {', '.join(ROLES)}."
)
@click.option("-c", "--constitution", help="In place of the recipe's.")
@click.option("-o", "--out", type=PATH, help="Folder of the runs and files.")
@click.option("--show", "is_shown", is_flag=True, help="Print a preset's YAML and do nothing.")
@with_run_options
def run(
    recipe: str,
    prompts: tuple[str, ...],
    model: str | None,
    roles: tuple[str, ...],
    constitution: str | None,
    out: Path | None,
    run_options: RunOptions,
    is_shown: bool,
    is_json: bool,
) -> int:
    """Do every step of RECIPE, a preset or a YAML file, on PROMPTS.

    The presets are bai2022, bai2022-cot, bai2022-rl, lee2023 and lee2023-direct. The same command
    goes on after an interruption; finished calls and trainings are never repeated.
    """
    if is_shown:
        click.echo(preset_text(recipe), nl=False)
        return 0
    loaded = load_recipe(recipe)
    if constitution is not None:
        loaded = loaded.model_copy(update={"constitution": constitution})
    # --role goes before the recipe, and -m after it: -m is for roles that nothing names.
    models: dict[ModelRole, str] = dict(loaded.models)
    for given in roles:
        name, _, spec = given.partition("=")
        role = _ROLES.get(name)
        if role is None or not spec:
            raise click.UsageError(
                f"--role {given!r} is not ROLE=SPEC. The roles are {', '.join(ROLES)}."
            )
        models[role] = spec
    loaded = loaded.model_copy(update={"models": models})
    if loaded.train:
        require()
    # Before models are opened and prompts are read: a wrong recipe is the quickest thing to report.
    check_steps(loaded)
    files = prompts or loaded.prompts
    if not files:
        raise UsageError(
            f"The recipe {loaded.name!r} names no prompts. Name files after it: "
            f"cai run {loaded.name} prompts.jsonl …"
        )
    source = PromptSource(files).check()  # a broken file is reported before a model is loaded
    if out is None:  # not required by click, as --show needs no folder
        raise click.UsageError("Name the folder of the runs with -o.")
    work = run_recipe(
        loaded, open_role_models(loaded, model), source, out, run_options, Console(stderr=True)
    )
    steps = run_async(work)
    if is_json:
        rows = [
            {
                "step": each.step,
                "path": str(each.path),
                "counts": None if each.counts is None else asdict(each.counts),
                "summary": each.summary,
                "estimate": None if each.estimate is None else asdict(each.estimate),
            }
            for each in steps
        ]
        echo_json({"event": "end", "steps": rows})
    else:
        for each in steps:
            click.echo(printable(f"{each.path}: {each.summary}"))
            if each.estimate is not None:
                show_estimate(each.estimate)
    return 1 if any(each.counts and each.counts.failed for each in steps) else 0


_TABLES: Sequence[tuple[str, Sequence[str]]] = (
    ("By the frozen judge", ("win_start", "win_last", "level_last", "adherence")),
    (
        "The next round's judge",
        ("judge_gap", "judges_agree", "agreement", "agreement_gap", "calibration", "undecided"),
    ),
    ("Distance from the start and the last round", ("kl_start", "kl_last", "entropy")),
    ("Texts", ("length", "distinct_2", "self_similarity", "boilerplate", "empty")),
    ("Declining", ("refusals", "evasive")),
)
# Refusals of harmful prompts are wanted and those of benign ones are not, so they have a column
# each.
_BY_KIND = ("refusals", "evasive")
_ANSWERS = ("go on", "stop", "roll back")


@click.command(epilog="Example: cai rounds examples/recipes/testbed-rounds.yaml -o runs/rounds")
@click.argument("recipe", type=PATH)
@click.option("-o", "--out", type=PATH, help="Folder of the series.")
@click.option("--rounds", "n_rounds", type=click.IntRange(1), help="In place of the recipe's.")
@click.option(
    "--decide", type=click.Choice(_ANSWERS), help="Decision on a round where a rule asked."
)
@concurrency_option
@max_cost_option
@max_tokens_option
@prices_option
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
    """Do the rounds of RECIPE: feedback, training, and measurements of the policy.

    Every round's policy is measured against anchors: a frozen judge, prompts, people's pairs. Rules
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
    from cai.rounds.controller import run_rounds_async  # heavy: torch, trl

    # The caps are of the whole series. Each round gets what the rounds before it left.
    run_options = RunOptions(concurrency, caps=Caps(max_cost_usd, max_total_tokens), prices=prices)
    console, answer = Console(stderr=True), cast("Decision | None", decide)
    while True:
        series = run_async(
            run_rounds_async(loaded, out, run_options, answer=answer, console=console)
        )
        last = series.rounds[-1]
        # without a terminal there is no answer: the series ends here, and --decide continues it
        if last.decision != "ask" or is_json or not sys.stdin.isatty():
            break
        for rule in last.broken:
            click.echo(printable(rule))
        choice = click.prompt(f"Decision on round {last.number}", type=click.Choice(_ANSWERS))
        answer = cast("Decision", choice)
    if is_json:
        echo_json({"event": "end", "series": str(out), **asdict(series)})
    else:
        show_series(series)
        click.echo(f"Everything is in {out}. See it: cai report {out}")
    return 0


def show_series(series: Series) -> None:
    """Prints the ratings, a table for each group of metrics, broken rules and caveats."""
    console = Console()
    click.secho(f"\n{series.name}: rating over rounds", bold=True)
    table = plain_table("round", "from", "rating", "95 %", "decision", "rules broken", "minutes")
    for each, rating in zip(series.rounds, series.ratings, strict=True):
        table.add_row(
            f"{each.number}{' (best)' if each.number == series.best else ''}",
            str(each.parent) if each.number else NONE,
            *rating_cells(rating.value, rating.low, rating.high),
            each.decision,
            str(len(each.broken)),
            f"{each.seconds / 60:.1f}",
        )
    console.print(table)
    for title, metrics in _TABLES:
        shown = [name for name in metrics if any(name in each.figures for each in series.rounds)]
        # shares of one kind of prompts, such as refusals/benign, stand after the share of all
        shown += [
            name
            for name in series.metrics
            if "/" in name and name.partition("/")[0] in shown and name.startswith(_BY_KIND)
        ]
        if shown:
            click.secho(f"\n{title}", bold=True)
            _show_metrics(series, shown, console)
    for each in series.rounds:
        for rule in each.broken:
            click.echo(printable(f"round {each.number}: {rule}"))
    if series.ended:
        click.echo(printable(series.ended))
    for caveat in series.caveats:
        click.echo(printable(f"- {caveat}"))
    best = series.rounds[series.best]
    line = f"The best policy that no rule excluded is that of round {best.number}: {best.policy}"
    click.echo(printable(line))


def _show_metrics(series: Series, names: Sequence[str], console: Console) -> None:
    headings: list[str] = []
    for name in names:
        metric = ROUNDS.get(name)  # None for a share of one kind of prompts
        headings.append((metric.heading if metric else "") or name.replace("/", "\n"))
    table = plain_table("round", *headings)
    for each in series.rounds:
        cells = (
            metric_of(name, ROUNDS).text(each.figures[name].value) if name in each.figures else NONE
            for name in names
        )
        table.add_row(named(str(each.number)), *cells)
    console.print(table)
