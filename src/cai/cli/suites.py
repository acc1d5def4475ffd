"""`cai suites`: standard suites of questions and prompts for policies, as one table.

Each policy has a column, and the last has its difference from the first, with paired intervals.

Example:
    $ cai suites hhh.jsonl xstest_prompts.csv -p hf:models/sl -p hf:models/rl -o runs/suites
"""

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cai.cli.options.model_options import check_both_named, open_judges, with_judges, with_sampling
from cai.cli.options.run_options import echo_json, run_folder, with_run_options
from cai.cli.tables import NONE, named, plain_table
from cai.constitution.loader import load_constitution
from cai.engine.engine import run_async
from cai.evaluation.policies.policies import open_policies, parse_policies
from cai.evaluation.policies.results import Suite
from cai.evaluation.results_file import save_results
from cai.evaluation.spending import Spending
from cai.evaluation.stats.bootstrap import Estimate
from cai.evaluation.suites.files import open_suites
from cai.evaluation.suites.open_ended import SuiteJudging
from cai.evaluation.suites.run import (
    FILE,
    FOLDER,
    SuitePlan,
    SuiteResults,
    check_suites,
    run_suites,
)
from cai.methods.judging.pointwise import check_scoring
from cai.methods.settings import ScoreSettings, VerdictSource
from cai.models.base import Sampling
from cai.runs.options import RunOptions


@click.command(
    epilog="Example: cai suites hhh.jsonl xstest_prompts.csv -p before=embedded "
    "-p after=hf:models/rl -o runs/suites"
)
@click.argument("files", nargs=-1, required=True, metavar="FILE[:KIND]...")
@click.option(
    "-p",
    "--policy",
    "policies",
    multiple=True,
    required=True,
    metavar="[NAME=]MODEL",
    help="A model or a checkpoint; the last is compared with the first.",
)
@with_judges(ScoreSettings, is_required=False, leave_out=("kind",))
@with_sampling(temperature=0.0)
@click.option(
    "--choices",
    type=click.Choice(["auto", "logprobs", "parsed"]),
    default="auto",
    help="How choices of policies are read: as --verdicts of judges.",
)
@run_folder
@with_run_options
def suites(
    files: tuple[str, ...],
    policies: tuple[str, ...],
    judges: tuple[str, ...],
    settings: ScoreSettings,
    constitution: str | None,
    seed: int,
    sampling: Sampling,
    choices: VerdictSource,
    out: Path,
    run_options: RunOptions,
    is_json: bool,
) -> int:
    """Run standard suites on policies: accuracy, behaviours, refusals, what judges say.

    FILES are those of the suites as they are published; the kind is detected by the columns, or
    given after a colon. With -m and -c judges check the responses to open prompts, and mark those
    to MT-Bench. The same command goes on after an interruption.
    """
    chosen = parse_policies(policies)
    check_both_named(judges, constitution)
    opened = open_suites(files)
    check_suites(opened)
    judging = None
    if constitution is not None:
        loaded = load_constitution(constitution)
        check_scoring(settings, loaded)
        judging = SuiteJudging(loaded, open_judges(judges, settings), settings)
    opened_policies = open_policies(chosen, sampling)
    # One budget for all suites and policies: a cap is on the whole command.
    spending, console = Spending(run_options), Console(stderr=True)
    plan = SuitePlan(judging, choices, seed)
    results = run_async(run_suites(opened, opened_policies, plan, out, spending, console))
    whole = SuiteResults(
        policies={each.name: each.source for each in opened_policies},
        judges=tuple(each.model.name for each in judging.judges) if judging else (),
        constitution=judging.constitution.name if judging else "",
        suites=results,
        n_calls=spending.n_calls,
        n_failed=spending.n_failed,
        cost_usd=spending.cost_usd,
    )
    # Written once, at the end: a file that exists is of a complete evaluation.
    save_results(out / FOLDER / FILE, whole)
    if is_json:
        echo_json({"event": "end", "run": str(out), **asdict(whole)})
    else:
        show_suites(results, Console())
        click.echo(f"Everything is in {out / FOLDER}.")
    return 1 if spending.n_failed else 0


def show_suites(suites: tuple[Suite, ...], console: Console) -> None:
    """Prints the table, and in words what its figures are."""
    console.print(suites_table(suites))
    measures = {
        figure: suite.measures[figure]
        for suite in suites
        for figure in figures_of(suite)
        if figure in suite.measures
    }
    for figure, meaning in measures.items():
        console.print(named(f"{figure}: {meaning}"))


def suites_table(suites: tuple[Suite, ...]) -> Table:
    """A row for each figure, a column for each policy; of two or more, last less first.

    The figures of categories stand under the figure they belong to.
    """
    policies = list(dict.fromkeys(name for suite in suites for name in suite.found))
    has_difference = len(policies) > 1
    headings = [*policies, *(["difference"] if has_difference else [])]
    # headings are names of the user: set as text, so that brackets in them are not markup
    table = plain_table("", *("" for _ in headings))
    for column, heading in zip(table.columns[1:], headings, strict=True):
        column.header = named(heading)
    for suite in suites:
        table.add_row(named(f"{suite.name}, {suite.n:,} prompts", style="bold"))
        for figure in figures_of(suite):
            cells = [_cell(suite.found.get(name, {}).get(figure)) for name in policies]
            if has_difference:
                cells.append(_cell(suite.differences.get(figure), "+"))
            _, colon, category = figure.partition(": ")
            table.add_row(named(f"    {category}" if colon else f"  {figure}"), *cells)
    return table


def figures_of(suite: Suite) -> list[str]:
    """The figures of the suite in their order, without those of failures that never happened."""
    names = dict.fromkeys(name for figures in suite.found.values() for name in figures)
    failed = [figures["failed"].value for figures in suite.found.values() if "failed" in figures]
    return [name for name in names if name != "failed" or any(rate > 0 for rate in failed)]


def _cell(estimate: Estimate | None, sign: str = "") -> str:
    """Such as 0.62 (0.55–0.69). Not in percent: the marks of MT-Bench are from 1 to 10."""
    if estimate is None:
        return NONE
    value = f"{estimate.value:{sign}.2f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({estimate.low:{sign}.2f}–{estimate.high:{sign}.2f})"
