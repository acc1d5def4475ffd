"""`cai evaluate`: policies against each other on the same prompts, in tables of 80 columns.

Harmless, helpful and evasive stand in one table. A policy that refuses everything does no harm, and
one that helps with everything refuses nothing, so one figure alone proves little: Bai et al. 2022,
arXiv:2212.08073, figure 2.

Example:
    $ cai evaluate harmful=red-team.jsonl benign=helpful.jsonl -p hf:models/sl -p hf:models/rl
          -c harmless -m hf:JUDGE -o runs/evaluation
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.table import Table

from cai.cli.options.model_options import check_both_named, open_judges, with_judges, with_sampling
from cai.cli.options.run_options import echo_json, run_folder, with_run_options
from cai.cli.options.settings_options import SETTING, refuse_options
from cai.cli.tables import (
    NONE,
    PolicyRow,
    named,
    plain_table,
    policy_tables,
    printable,
    show_estimate,
)
from cai.constitution.loader import load_constitution
from cai.data.prompts import PromptSource
from cai.engine.engine import run_async
from cai.evaluation.format import brief_share, rating_cells
from cai.evaluation.metrics import KIND_SHARES, TEXT
from cai.evaluation.policies.dry_run import estimate as estimate_evaluation
from cai.evaluation.policies.evaluate import evaluate_policies
from cai.evaluation.policies.matchups import READABLE, Meeting
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import open_policies, parse_policies
from cai.evaluation.policies.responses import Prompts, check_has_prompts
from cai.evaluation.policies.results import Evaluation, PolicyFigures
from cai.evaluation.policies.text_metrics import ALL
from cai.evaluation.stats.bootstrap import Estimate
from cai.methods.judging.pairwise import check_judging
from cai.methods.settings import JudgeSettings
from cai.models.base import Sampling
from cai.runs.options import RunOptions


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
@with_judges(is_required=False)
@click.option("-k", type=click.IntRange(1), default=1, help="Responses of each model.")
@with_sampling(temperature=1.0)
@click.option(
    "--meeting",
    type=click.Choice(get_args(Meeting)),
    default="all",
    help="Compare every two policies, each with the first, or each with the one before it.",
)
@click.option(
    "--check", "checks", multiple=True, metavar="CONSTITUTION", help="Also check responses by it."
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
    help="Say how many prompts give win rates to within this.",
)
@run_folder
@with_run_options
def evaluate(
    sources: tuple[str, ...],
    policies: tuple[str, ...],
    judges: tuple[str, ...],
    settings: JudgeSettings,
    constitution: str | None,
    seed: int,
    k: int,
    sampling: Sampling,
    meeting: Meeting,
    checks: tuple[str, ...],
    error_rate: float | None,
    half_width: float,
    out: Path,
    run_options: RunOptions,
    is_json: bool,
) -> int:
    """Compare policies on PROMPTS: win rates and ratings by a judge, conduct, adherence.

    Each policy answers every prompt; of runs and files the responses are taken that are there. With
    -m and -c every two are judged in both orders. Prompts may be given in kinds, KIND=FILE, such as
    harmful and benign, and figures are then also of each kind; --limit counts prompts of each
    source. The same command goes on after an interruption.
    """
    chosen = parse_policies(policies)
    prompts = tuple(map(_prompts, sources))
    check_both_named(judges, constitution)
    has_models = any(each.is_model for each in chosen)
    check_has_prompts(prompts, has_models=has_models)
    _refuse_unused(
        has_models, bool(judges), has_pairs=len(chosen) > 1, stops=error_rate is not None
    )
    constitutions = tuple(map(load_constitution, checks))
    plan = EvaluationPlan(k, meeting, constitutions, error_rate, half_width, seed)
    for each in prompts:
        each.source.check()  # a broken file is reported before a model is loaded
    # Without a judge there are still conduct and lengths, from the texts alone.
    judging = None
    if constitution is not None:
        loaded = load_constitution(constitution)
        check_judging(settings, loaded)
        judging = EvaluationJudge(open_judges(judges, settings), loaded, settings)
    opened, console = open_policies(chosen, sampling), Console(stderr=True)
    # A dry run does a sample of each step and stores it: the run that follows repeats none of it.
    if run_options.sample is not None:
        estimates = run_async(
            estimate_evaluation(opened, prompts, judging, plan, out, run_options, console=console)
        )
        if is_json:
            steps = asdict(estimates)["steps"]
            echo_json({"event": "end", "evaluation": str(out), "estimates": steps})
            return 0
        for each in estimates.steps:
            click.secho(printable(f"\n{each.step}"), bold=True)
            show_estimate(each.estimate)
        if not estimates.steps:
            click.echo("No model has to be called: this evaluation costs nothing.")
        click.echo("The same command without --dry-run does the rest.")
        if error_rate is not None:
            click.echo("Judging stops once every pair is decided, and takes less then.")
        return 0
    results = run_async(
        evaluate_policies(opened, prompts, judging, plan, out, run_options, console=console)
    )
    if is_json:
        echo_json({"event": "end", "evaluation": str(out), **asdict(results)})
    else:
        show_evaluation(results)
        click.echo(printable(f"Everything is in {out}. See it: cai report {out}"))
    return 1 if results.n_failed else 0


def _refuse_unused(has_models: bool, has_judge: bool, *, has_pairs: bool, stops: bool) -> None:
    """Refuses options that change nothing in an evaluation of this kind.

    Raises:
        UsageError: One of them was given.
    """
    if not has_models:
        of_responses = ("k", "temperature", "response_tokens")
        refuse_options(lambda name: name in of_responses, "where no policy is a model")
    if not has_judge:
        of_judge = ("meeting", "half_width")
        refuse_options(
            lambda name: name in of_judge or name.startswith(SETTING), "without a judge, -m"
        )
    if not has_models and not has_judge:
        of_calls = ("concurrency", "hedges", "retry_failed", "max_cost_usd", "max_total_tokens")
        refuse_options(lambda name: name in (*of_calls, "prices"), "where no model is called")
    if not has_pairs:
        of_pairs = ("meeting", "half_width", "error_rate")
        refuse_options(lambda name: name in of_pairs, "on one policy alone")
    if stops:
        refuse_options(lambda name: name == "half_width", "beside --stop-at-error-rate")


def _prompts(source: str) -> Prompts:
    """KIND=FILE, or a file alone."""
    kind, equals, file = source.partition("=")
    # a file or a hub name may hold "=" itself
    if equals and kind and not Path(source).exists() and "/" not in kind:
        return Prompts(PromptSource((file,)), kind)
    return Prompts(PromptSource((source,)), ALL)


HARMFUL, BENIGN = "harmful", "benign"
_FIGURES = ("length", "distinct_2", "self_similarity", "cut_off")


def show_evaluation(results: Evaluation) -> None:
    """Prints every table that there are figures for, and the caveats."""
    console = Console()
    for title, tables in _tables(results):
        click.secho(printable(f"\n{title}"), bold=True)
        for table in tables:
            console.print(table)
    if results.caveats:
        click.secho("\nCaveats", bold=True)
        for caveat in results.caveats:
            click.echo(printable(f"- {caveat}"))


def _tables(results: Evaluation) -> Iterator[tuple[str, Iterable[Table]]]:
    policies = results.policies
    names = [each.name for each in policies]
    kinds = dict.fromkeys(one.kind for each in policies for one in each.conduct)
    if results.win_rates:
        title = f"Win rates by {', '.join(results.judges)} under {results.constitution}"
        yield title, [_win_rate_table(results)]
    if results.ratings:
        table = plain_table("policy", "matches", "rating", "95 %")
        for each in results.ratings:
            cells = rating_cells(each.value, each.low, each.high)
            table.add_row(named(each.policy), f"{each.n:,}", *cells)
        yield f"Ratings, in points of Elo above {names[0]}", [table]
    # The table of both kinds comes before the details: its rows are to be read together.
    if {HARMFUL, BENIGN} <= set(kinds):
        yield "Together", policy_tables(names, list(together(results)))
    for kind in kinds:
        which = "all prompts" if kind == ALL else f"{kind} prompts"
        yield f"Conduct on {which}", policy_tables(names, list(_conduct(policies, kind)))
        adherence = [each.adherence.get(kind, {}) for each in policies]
        if not any(adherence):
            continue
        rows: list[PolicyRow] = []
        figures = dict.fromkeys(name for each in adherence for name in each)
        # principles are named CONSTITUTION/ID; of a single constitution the id says enough
        is_one = sum("/" not in name for name in figures) == 1
        for name in figures:
            principle = name.rpartition("/")[2] if is_one else name
            label = principle if "/" in name else f"all of {name}, by weight"
            rows.append((label, [brief_share(each.get(name)) for each in adherence]))
        yield f"Responses that follow each principle, on {which}", policy_tables(names, rows)


def _win_rate_table(results: Evaluation) -> Table:
    """Of all prompts; unread verdicts have a column where there are any."""
    n_read = [sum(each.outcomes.get(x, 0) for x in READABLE) for each in results.win_rates]
    has_unread = any(each.n > n for each, n in zip(results.win_rates, n_read, strict=True))
    counts = ("wins", "loses", "neither", *(["unread"] if has_unread else []))
    table = plain_table("", *counts, "win rate", "at equal\nlength")
    for each, n in zip(results.win_rates, n_read, strict=True):
        wins, losses = each.outcomes.get("a", 0), each.outcomes.get("b", 0)
        cells = [wins, losses, n - wins - losses, *([each.n - n] if has_unread else [])]
        # The rate at equal length stands beside the raw one, since judges favour longer responses.
        shares = (brief_share(each.rate), brief_share(each.length_controlled))
        label = named(f"{each.policy} against {each.opponent}")
        table.add_row(label, *(f"{cell:,}" for cell in cells), *shares)
    return table


def together(results: Evaluation) -> Iterator[PolicyRow]:
    """Adherence, refusals, and wins against the first policy, on harmful and benign prompts."""
    policies = results.policies

    def row(label: str, figure: Callable[[PolicyFigures], Estimate | None]) -> PolicyRow:
        return label, [brief_share(figure(each)) for each in policies]

    def share(policy: PolicyFigures, kind: str, name: str) -> Estimate | None:
        return next(each.shares.get(name) for each in policy.conduct if each.kind == kind)

    checked = [each.adherence.get(kind, {}) for each in policies for kind in (HARMFUL, BENIGN)]
    # only constitutions by which every policy was checked on both kinds: a row with gaps would
    # compare figures of different prompts
    names = [x for x in checked[0] if "/" not in x and all(x in each for each in checked)]
    for kind in (HARMFUL, BENIGN):
        for name in names:
            # bound as defaults, since a lambda in a loop sees the loop's last values
            label = f"{kind}: follows {name}"
            yield row(label, lambda each, k=kind, n=name: each.adherence[k][n])
    yield row("harmful: refuses", lambda each: share(each, HARMFUL, "refusals"))
    yield row("harmful: evasive", lambda each: share(each, HARMFUL, "evasive"))
    yield row("benign: refuses (over-refusal)", lambda each: share(each, BENIGN, "refusals"))
    if any(share(each, ALL, "boilerplate") for each in policies):
        yield row("all: stock sentences", lambda each: share(each, ALL, "boilerplate"))
    first = policies[0].name
    for kind in (HARMFUL, BENIGN):
        if not results.by_kind.get(kind):
            continue
        wins = {each.policy: each.rate for each in results.by_kind[kind] if each.opponent == first}
        cells = [NONE if x.name == first else brief_share(wins.get(x.name)) for x in policies]
        yield f"{kind}: wins against {first}", cells


def _conduct(policies: Iterable[PolicyFigures], kind: str) -> Iterator[PolicyRow]:
    conduct = [next(one for one in each.conduct if one.kind == kind) for each in policies]
    yield "responses", [f"{each.n:,}" for each in conduct]
    for name in KIND_SHARES:
        # a refusal of a benign prompt is a fault, and is named as one
        over = " (over-refusal)" if name == "refusals" and kind == BENIGN else ""
        yield TEXT[name].label + over, [brief_share(each.shares.get(name)) for each in conduct]
    for name in _FIGURES:
        metric = TEXT[name]
        yield metric.label, [metric.text(each.figures.get(name)) for each in conduct]
