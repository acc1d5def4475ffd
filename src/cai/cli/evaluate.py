"""`cai evaluate`: policies against each other, on the same prompts.

An evaluation as tables of at most eighty columns.

Harmless, helpful and evasive at one glance: one figure alone is easily had at the others' cost.

A policy that refuses everything does no harm, and one that helps with everything refuses nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.table import Table

from cai.cli.cost_table import estimate_line, estimate_table
from cai.cli.options.judge_options import check_both_named, open_judges, with_judges
from cai.cli.options.run_options import as_json, echo_json, run_folder, with_run_options
from cai.cli.tables import NONE, Row, named, plain_table, policy_tables, printable
from cai.constitution.loader import load_constitution
from cai.data.prompts import PromptSource
from cai.engine.engine import run_async
from cai.evaluation.format import brief_share
from cai.evaluation.metrics import KIND_SHARES, TEXT
from cai.evaluation.policies.dry_run import Estimates
from cai.evaluation.policies.dry_run import estimate as estimate_evaluation
from cai.evaluation.policies.evaluate import evaluate_policies
from cai.evaluation.policies.matchups import READABLE, Meeting
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import open_policies, parse_policies
from cai.evaluation.policies.responses import Prompts, check_has_prompts
from cai.evaluation.policies.results import Evaluation, PolicyFigures
from cai.evaluation.policies.text_metrics import ALL
from cai.evaluation.policies.win_rates import WinRate
from cai.evaluation.stats.bootstrap import Estimate
from cai.methods.judging.pairwise import check_judging
from cai.methods.settings import JudgeSettings
from cai.models.base import Sampling
from cai.runs.options import RunOptions

HARMFUL, BENIGN = "harmful", "benign"


def together(found: Evaluation) -> Iterator[Row]:
    """What the responses keep, how they refuse, and how often they win against the first."""

    def row(said: str, figure: Callable[[PolicyFigures], Estimate | None]) -> Row:
        return said, [brief_share(figure(each)) for each in found.policies]

    for kind in (HARMFUL, BENIGN):
        for name in _checked(found):
            yield row(f"{kind}: keeps {name}", lambda each, k=kind, n=name: each.adherence[k][n])
    yield row("harmful: refuses", lambda each: _share(each, HARMFUL, "refusals"))
    yield row("harmful: evasive", lambda each: _share(each, HARMFUL, "evasive"))
    yield row("benign: refuses (over-refusal)", lambda each: _share(each, BENIGN, "refusals"))
    if any(_share(each, ALL, "boilerplate") for each in found.policies):
        yield row("all: stock sentences", lambda each: _share(each, ALL, "boilerplate"))
    for kind in (HARMFUL, BENIGN):
        if found.by_kind.get(kind):
            yield f"{kind}: wins against {found.policies[0].name}", _wins(found, kind)


def _checked(found: Evaluation) -> list[str]:
    """The constitutions that every policy was checked by on both kinds."""
    of = [each.adherence.get(kind, {}) for each in found.policies for kind in (HARMFUL, BENIGN)]
    return [name for name in of[0] if "/" not in name and all(name in each for each in of)]


def _share(policy: PolicyFigures, kind: str, name: str) -> Estimate | None:
    return next(each.shares.get(name) for each in policy.conduct if each.kind == kind)


def _wins(found: Evaluation, kind: str) -> list[str]:
    """Of each policy against the first."""
    first = found.policies[0].name
    rates = {each.policy: each.rate for each in found.by_kind[kind] if each.opponent == first}
    return [
        NONE if each.name == first else brief_share(rates.get(each.name)) for each in found.policies
    ]


_FIGURES = ("length", "distinct_2", "self_similarity", "cut_off")


def show_evaluation(found: Evaluation) -> None:
    """Every table that there is something for, and what a reader must know."""
    console = Console()
    for title, tables in _tables(found):
        click.secho(printable(f"\n{title}"), bold=True)
        for table in tables:
            console.print(table)
    if found.caveats:
        click.secho("\nTo know beside the figures", bold=True)
        for caveat in found.caveats:
            click.echo(printable(f"- {caveat}"))


def _tables(found: Evaluation) -> Iterator[tuple[str, Iterable[Table]]]:
    if found.win_rates:
        judges = ", ".join(found.judges)
        yield f"Win rates by {judges} under {found.constitution}", [_win_rates(found)]
    if found.ratings:
        yield f"Ratings, in points of Elo above {found.policies[0].name}", [_ratings(found)]
    names = [each.name for each in found.policies]
    if {HARMFUL, BENIGN} <= set(_kinds(found)):
        yield "Together", policy_tables(names, list(together(found)))
    for kind in _kinds(found):
        which = "all prompts" if kind == ALL else f"{kind} prompts"
        yield f"Conduct on {which}", policy_tables(names, list(_conduct(found, kind)))
        if any(kind in each.adherence for each in found.policies):
            title = f"Responses that keep each principle, on {which}"
            yield title, policy_tables(names, list(_adherence(found, kind)))


def _win_rates(found: Evaluation) -> Table:
    """Of all prompts; what could not be read has a column where there is any."""
    has_unread = any(_n_unread(each) for each in found.win_rates)
    counts = ("wins", "loses", "neither", *(["unread"] if has_unread else []))
    table = plain_table("", *counts, "win rate", "at equal\nlength")
    for each in found.win_rates:
        table.add_row(
            named(f"{each.policy} against {each.opponent}"),
            *(f"{n:,}" for n in (*_sides(each), *([_n_unread(each)] if has_unread else []))),
            brief_share(each.rate),
            brief_share(each.length_controlled),
        )
    return table


def _sides(rate: WinRate) -> tuple[int, int, int]:
    """Won, lost, and readable without a side."""
    won, lost = rate.outcomes.get("a", 0), rate.outcomes.get("b", 0)
    return won, lost, rate.n - _n_unread(rate) - won - lost


def _n_unread(rate: WinRate) -> int:
    return rate.n - sum(rate.outcomes.get(each, 0) for each in READABLE)


def _ratings(found: Evaluation) -> Table:
    table = plain_table("policy", "matches", "rating", "95 %")
    for each in found.ratings:
        value = NONE if each.value is None else f"{each.value:+.0f}"
        span = (
            NONE
            if each.low is None or each.high is None
            else f"{each.low:+.0f} to {each.high:+.0f}"
        )
        table.add_row(named(each.policy), f"{each.n:,}", value, span)
    return table


def _conduct(found: Evaluation, kind: str) -> Iterator[Row]:
    of = [next(one for one in each.conduct if one.kind == kind) for each in found.policies]
    yield "responses", [f"{each.n:,}" for each in of]
    for name in KIND_SHARES:
        yield _said(name, kind), [brief_share(each.shares.get(name)) for each in of]
    for name in _FIGURES:
        values = [each.figures.get(name) for each in of]
        yield _said(name, kind), [TEXT[name].text(value) for value in values]


def _adherence(found: Evaluation, kind: str) -> Iterator[Row]:
    of = [each.adherence.get(kind, {}) for each in found.policies]
    names = dict.fromkeys(name for each in of for name in each)
    is_one = sum("/" not in name for name in names) == 1
    for name in names:
        principle = name.rpartition("/")[2] if is_one else name
        said = principle if "/" in name else f"all of {name}, by weight"
        yield said, [brief_share(each.get(name)) for each in of]


def _kinds(found: Evaluation) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.kind for each in found.policies for one in each.conduct))


def _said(name: str, kind: str) -> str:
    over = " (over-refusal)" if name == "refusals" and kind == "benign" else ""
    return TEXT[name].label + over


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
@click.option(
    "-k", type=click.IntRange(1), default=1, show_default=True, help="Responses of each model."
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="Of responses.",
)
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
@with_run_options
@as_json
def evaluate(
    sources: tuple[str, ...],
    policies: tuple[str, ...],
    judges: tuple[str, ...],
    settings: JudgeSettings,
    constitution: str | None,
    seed: int,
    k: int,
    temperature: float,
    response_tokens: int,
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
    harmful and benign, and figures are then also of each kind. The same command goes on after an
    interruption.
    """
    named = parse_policies(policies)
    prompts = tuple(map(_prompts, sources))
    check_both_named(judges, constitution)
    check_has_prompts(prompts, has_models=any(each.is_model for each in named))
    asked = EvaluationPlan(
        k, meeting, tuple(map(load_constitution, checks)), error_rate, half_width, seed
    )
    for each in prompts:
        each.source.check()  # a broken file is said before a model is loaded
    judging = None
    if constitution is not None:
        loaded = load_constitution(constitution)
        check_judging(settings, loaded)
        judging = EvaluationJudge(open_judges(judges, settings), loaded, settings)
    opened_policies = open_policies(named, Sampling(temperature, max_tokens=response_tokens))
    console = Console(stderr=True)
    if run_options.sample is not None:
        work = estimate_evaluation(
            opened_policies, prompts, judging, asked, out, run_options, console=console
        )
        _show_estimates(run_async(work), out, is_json=is_json)
        if error_rate is not None and not is_json:
            click.echo("Judging stops once every pair is decided, and takes less then.")
        return 0
    found = run_async(
        evaluate_policies(
            opened_policies, prompts, judging, asked, out, run_options, console=console
        )
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
