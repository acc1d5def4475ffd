"""`cai suites`: standard suites of questions and prompts, put to policies.

Standard suites as one table: what each policy came to, and the difference of first and last.
"""

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cai.cli.options.judge_options import check_both_named, open_judges, with_judges
from cai.cli.options.run_options import as_json, echo_json, run_folder, with_run_options
from cai.cli.tables import NONE, named, plain_table
from cai.constitution.loader import load_constitution
from cai.engine.engine import run_async
from cai.evaluation.policies.policies import open_policies, parse_policies
from cai.evaluation.policies.results import Suite
from cai.evaluation.results_file import save_results
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
from cai.runs.shared_budget import Accounts


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

    Under a figure stand those of its categories.
    """
    policies = list(dict.fromkeys(name for suite in suites for name in suite.found))
    has_difference = len(policies) > 1
    headings = [*policies, *(["difference"] if has_difference else [])]
    table = plain_table("", *("" for _ in headings))
    for column, heading in zip(table.columns[1:], headings, strict=True):
        column.header = named(heading)
    for suite in suites:
        table.add_row(named(f"{suite.name}, {suite.n:,} prompts", style="bold"))
        for figure in figures_of(suite):
            found = [suite.found.get(name, {}).get(figure) for name in policies]
            cells = [_cell(each) for each in found]
            if has_difference:
                cells.append(_cell(suite.differences.get(figure), "+"))
            table.add_row(named(_indented(figure)), *cells)
    return table


def _indented(figure: str) -> str:
    """The figure, or of one of a category the category alone, further in."""
    _, colon, group = figure.partition(": ")
    return f"    {group}" if colon else f"  {figure}"


def figures_of(suite: Suite) -> list[str]:
    """The figures of the suite in their order, without those of failures that never happened."""
    names = dict.fromkeys(name for figures in suite.found.values() for name in figures)
    return [name for name in names if name != "failed" or _ever(suite, name)]


def _ever(suite: Suite, figure: str) -> bool:
    return any(figure in found and found[figure].value > 0 for found in suite.found.values())


def _cell(estimate: Estimate | None, sign: str = "") -> str:
    """Such as 0.62 (0.55–0.69); no percentage, since marks are none."""
    if estimate is None:
        return NONE
    value = f"{estimate.value:{sign}.2f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({estimate.low:{sign}.2f}–{estimate.high:{sign}.2f})"


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
@click.option(
    "--temperature",
    type=click.FloatRange(0, 100),
    default=0.0,
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
    "--choices",
    type=click.Choice(["auto", "logprobs", "parsed"]),
    default="auto",
    show_default=True,
    help="How choices of policies are read: as --verdicts of judges.",
)
@run_folder
@with_run_options
@as_json
def suites(
    files: tuple[str, ...],
    policies: tuple[str, ...],
    judges: tuple[str, ...],
    settings: ScoreSettings,
    constitution: str | None,
    seed: int,
    temperature: float,
    response_tokens: int,
    choices: VerdictSource,
    out: Path,
    run_options: RunOptions,
    is_json: bool,
) -> int:
    """Put standard suites to policies: accuracy, behaviours, refusals, what judges say.

    FILES are those of the suites as they are published; the kind is seen by the columns, or said
    behind a colon. With -m and -c judges check the responses to open prompts, and mark those to
    MT-Bench. The same command goes on after an interruption.
    """
    named = parse_policies(policies)
    check_both_named(judges, constitution)
    opened = open_suites(files)
    check_suites(opened)
    judging = None
    if constitution is not None:
        loaded = load_constitution(constitution)
        check_scoring(settings, loaded)
        judging = SuiteJudging(loaded, open_judges(judges, settings), settings)
    opened_policies = open_policies(named, Sampling(temperature, max_tokens=response_tokens))
    accounts, console = Accounts(run_options), Console(stderr=True)
    asked = SuitePlan(judging, choices, seed)
    found = run_async(run_suites(opened, opened_policies, asked, out, accounts, console))
    whole = SuiteResults(
        policies={each.name: each.source for each in opened_policies},
        judges=tuple(each.model.name for each in judging.judges) if judging else (),
        constitution=judging.constitution.name if judging else "",
        suites=found,
        n_calls=accounts.n_calls,
        n_failed=accounts.n_failed,
        cost_usd=accounts.cost_usd,
    )
    save_results(out / FOLDER / FILE, whole)
    if is_json:
        echo_json({"event": "end", "run": str(out), **asdict(whole)})
    else:
        show_suites(found, Console())
        click.echo(f"Everything is in {out / FOLDER}.")
    return 1 if accounts.n_failed else 0
