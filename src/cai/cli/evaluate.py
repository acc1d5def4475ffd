"""`cai evaluate`: policies against each other, on the same prompts."""

from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click
from rich.console import Console

from cai.arena.answers import Prompts
from cai.arena.contests import Meeting
from cai.arena.entrants import open_entrants, parse_entrants
from cai.arena.estimating import Estimates
from cai.arena.estimating import estimate as estimate_evaluation
from cai.arena.evaluating import evaluate_policies
from cai.arena.gathering import check_asked
from cai.arena.plan import EvaluationPlan, Judging
from cai.cli.accounts_table import estimate_line, estimate_table
from cai.cli.console import printable
from cai.cli.evaluation_tables import show_evaluation
from cai.cli.judging_options import JudgeChoice, check_both_named, judging_if_named
from cai.cli.pacing import as_json, echo_json, paced, run_folder
from cai.cli.speaking import sampling_of
from cai.constitution.loading import load_constitution
from cai.engine.loop import run_async
from cai.evaluation.conduct import ALL
from cai.jobs.pace import Pace
from cai.jobs.probing import Verdicts
from cai.jobs.prompt_source import PromptSource
from cai.judging.judge import JudgePlan


@click.command(
    epilog="Example: cai evaluate harmful=red-team.jsonl benign=helpful.jsonl -p before=embedded "
    "-p after=hf:models/rl -c harmless -m openai:JUDGE@http://localhost:8000/v1 -o runs/evaluation"
)
@click.argument("sources", nargs=-1, metavar="[KIND=]PROMPTS...")
@click.option(
    "-p",
    "--policy",
    "policies",
    multiple=True,
    required=True,
    metavar="[NAME=]POLICY",
    help="A model, a checkpoint, a run folder or a file of responses; the first is the anchor.",
)
@judging_if_named
@click.option(
    "-k", type=click.IntRange(1), default=1, show_default=True, help="Responses of each model."
)
@click.option("--temperature", type=float, default=1.0, show_default=True, help="Of responses.")
@click.option(
    "--response-tokens",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help="At most, each.",
)
@click.option(
    "--meeting",
    type=click.Choice(get_args(Meeting)),
    default="all",
    show_default=True,
    help="Every two policies meet, each the first, or each the one before it.",
)
@click.option(
    "--check", "checks", multiple=True, metavar="CONSTITUTION", help="Check responses by it too."
)
@click.option(
    "--stop-at-error-rate",
    "error_rate",
    type=float,
    help="Judge prompt by prompt until every pair is decided, at this rate, such as 0.05.",
)
@click.option(
    "--within",
    "half_width",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Say how many prompts give win rates to within this.",
)
@run_folder
@paced
@as_json
def evaluate(
    sources: tuple[str, ...],
    policies: tuple[str, ...],
    judges: JudgeChoice,
    plan: JudgePlan,
    constitution: str | None,
    verdicts: Verdicts,
    seed: int,
    k: int,
    temperature: float,
    response_tokens: int,
    meeting: Meeting,
    checks: tuple[str, ...],
    error_rate: float | None,
    half_width: float,
    out: Path,
    pace: Pace,
    is_json: bool,
) -> int:
    """Compare policies on PROMPTS: win rates and ratings by a judge, conduct, adherence.

    Each policy answers every prompt; of runs and files the responses are taken that are there. With
    -m and -c every two are judged in both orders. Prompts may be given in kinds, KIND=FILE, such as
    harmful and benign, and figures are then also of each kind. The same command goes on after an
    interruption.
    """
    named = parse_entrants(policies)
    prompts = tuple(map(_prompts, sources))
    check_both_named(judges, constitution)
    check_asked(prompts, has_models=any(each.is_model for each in named))
    asked = EvaluationPlan(
        k, meeting, tuple(map(load_constitution, checks)), error_rate, half_width, seed
    )
    for each in prompts:
        each.source.check()  # a broken file is said before a model is loaded
    judging = None
    if constitution is not None:
        loaded = load_constitution(constitution)
        plan.check((), loaded)
        judging = Judging(judges.open(), loaded, plan, verdicts)
    entrants = open_entrants(named, sampling_of(temperature, 1.0, 0, response_tokens))
    console = Console(stderr=True)
    if pace.sample is not None:
        work = estimate_evaluation(entrants, prompts, judging, asked, out, pace, console=console)
        _show_estimates(run_async(work), out, is_json=is_json)
        if error_rate is not None and not is_json:
            click.echo("Judging stops once every pair is decided, and takes less then.")
        return 0
    found = run_async(
        evaluate_policies(entrants, prompts, judging, asked, out, pace, console=console)
    )
    if is_json:
        echo_json({"event": "end", "evaluation": str(out), **asdict(found)})
    else:
        show_evaluation(found)
        click.echo(printable(f"Everything is in {out}. See it: cai report {out}"))
    return 1 if found.n_failed else 0


def _show_estimates(found: Estimates, out: Path, *, is_json: bool) -> None:
    if is_json:
        echo_json({"event": "end", "evaluation": str(out), "estimates": asdict(found)["steps"]})
        return
    for each in found.steps:
        click.secho(printable(f"\n{each.step}"), bold=True)
        Console().print(estimate_table(each.estimate))
        click.echo(estimate_line(each.estimate))
    if not found.steps:
        click.echo("No model has to be asked anything: this evaluation costs nothing.")
    click.echo("The same command without --dry-run does the rest.")


def _prompts(source: str) -> Prompts:
    """KIND=FILE, or a file alone."""
    kind, equals, file = source.partition("=")
    if equals and kind and not Path(source).exists() and "/" not in kind:
        return Prompts(PromptSource((file,)), kind)
    return Prompts(PromptSource((source,)), ALL)
