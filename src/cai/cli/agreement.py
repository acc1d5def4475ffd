"""`cai agreement`: a judge against the labels of people."""

import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path

import click
from rich.console import Console

from cai.cli.agreement_table import show_agreement
from cai.cli.console import printable
from cai.cli.judging_options import JudgeChoice, judging_if_named
from cai.cli.pacing import as_json, echo_json, paced
from cai.cli.source_options import over_groups, show_source
from cai.constitution.loading import load_constitution
from cai.engine.loop import run_async
from cai.engine.storage.run_folder import RunFolder
from cai.errors import EvaluationError
from cai.evaluation.agreement import agreement as agreement_of
from cai.evaluation.agreement_report import AgreementReport
from cai.evaluation.calibration_plot import check_plot_path, draw_calibration
from cai.evaluation.costs import Prices
from cai.jobs.groups import GroupSource
from cai.jobs.judging import JudgeJob, run_judging
from cai.jobs.pace import Pace
from cai.jobs.probing import Verdicts
from cai.jobs.run_source import is_run
from cai.judging.judge import JudgePlan
from cai.judging.ranking import Judged
from cai.records.bodies import read_done
from cai.records.recipes import JudgeRecipe, read_recipe, recipe_as

_usd = click.FloatRange(0)


@click.command(
    epilog="Example: cai agreement pairs.jsonl -c harmless "
    "-m openai:MODEL@http://localhost:8000/v1 --plot calibration.png"
)
@over_groups
@judging_if_named
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Run folder to judge into; without one nothing is kept.",
)
@paced
@click.option("--plot", type=click.Path(path_type=Path), help="Calibration curve, .png or .svg.")
@click.option("--price-in", type=_usd, metavar="USD", help="Of a million tokens read.")
@click.option("--price-out", type=_usd, metavar="USD", help="Of a million tokens written.")
@click.option("--human-price", type=_usd, metavar="USD", help="Of one label by a person.")
@as_json
def agreement(
    source: GroupSource,
    judges: JudgeChoice,
    constitution: str | None,
    plan: JudgePlan,
    verdicts: Verdicts,
    seed: int,
    out: Path | None,
    pace: Pace,
    plot: Path | None,
    price_in: float | None,
    price_out: float | None,
    human_price: float | None,
    is_json: bool,
) -> int:
    """Judge labelled pairs and compare the verdicts with the labels of people.

    RUN_OR_PAIRS are files of labelled pairs, judged here under -c by -m; or one folder of
    `cai judge` over labelled pairs, which needs neither and makes no calls.

    Accuracy and Cohen's kappa with 95 % intervals, calibration, what one order alone would give,
    what always taking the longer response would reach; by principle, judge and tag; and the cost of
    a label, beside a person's when the prices are given.
    """
    if plot is not None:
        check_plot_path(plot)
    if (price_in is None) != (price_out is None):
        raise click.UsageError("A price needs both --price-in and --price-out.")
    prices = Prices(price_in, price_out, human_price)
    run = _judged_run(source)
    if run is not None:
        if judges.models or constitution or out:
            raise click.UsageError(f"{run} is judged already: leave -m, -c and -o out.")
        report = _report(run, prices, seed)
    else:
        if not judges.models or not constitution:
            raise click.UsageError("Judging needs a judge, -m, and a constitution, -c.")
        job = _job(source, judges, constitution, plan, verdicts, seed)
        report = _judge(job, out, pace, prices, is_quiet=is_json)
    if is_json:
        echo_json(report.as_json())
    else:
        show_agreement(report, Console())
    if plot is not None:
        draw_calibration(report, plot)
        click.echo(f"calibration curve: {plot}", err=is_json)
    if not is_json and (run or out):
        click.echo(f"Next: cai audit {run or out}")
    return 1 if report.n_failed else 0


def _judged_run(source: GroupSource) -> Path | None:
    """The folder, where the source is one run that is judged already."""
    if len(source.names) != 1 or not is_run(source.names[0]):
        return None
    path = Path(source.names[0])
    with RunFolder.existing(path) as folder:
        return path if isinstance(read_recipe(folder), JudgeRecipe) else None


def _job(
    source: GroupSource,
    judges: JudgeChoice,
    constitution: str,
    plan: JudgePlan,
    verdicts: Verdicts,
    seed: int,
) -> JudgeJob:
    """The job; what is wrong with files and plan is said before a model is loaded."""
    loaded = load_constitution(constitution)
    summary = source.check()
    if not summary.n_labelled:
        raise EvaluationError(
            f"{', '.join(source.names)}: none of {summary.n_groups} pairs has a label of people to "
            "agree with. Name the column that has it with --label-column, or --better-column and "
            "--worse-column."
        )
    plan.check((), loaded)
    return JudgeJob(source, loaded, judges.open(), plan, "all", verdicts, seed)


def _judge(
    job: JudgeJob, out: Path | None, pace: Pace, prices: Prices, *, is_quiet: bool
) -> AgreementReport:
    with _place(out) as folder:
        outcome = run_async(run_judging(folder, job, pace, console=Console(stderr=True)))
        if not is_quiet:
            show_source(outcome.run.source.describe(), outcome.run.source.bad_rows)
        return _report(folder, prices, job.seed)


@contextlib.contextmanager
def _place(out: Path | None) -> Generator[Path]:
    """The folder to judge into; one that is removed afterwards where none is named."""
    if out is not None:
        yield out
        return
    click.echo("Judging into a temporary folder, removed at the end; -o RUN keeps it.", err=True)
    with tempfile.TemporaryDirectory(prefix="cai-agreement-") as folder:
        yield Path(folder) / "run"


def _report(run: Path, prices: Prices, seed: int) -> AgreementReport:
    with RunFolder.existing(run) as folder:
        plan = recipe_as(folder, JudgeRecipe).plan
        judged = (each for _, each in read_done(folder, Judged))
        n_failed = folder.counts().failed
        _tell_failure(folder)
        return agreement_of(judged, plan, prices=prices, n_failed=n_failed, seed=seed)


def _tell_failure(folder: RunFolder) -> None:
    """Why the first group failed that did: a folder that is removed can tell nobody later."""
    for record in folder.records("failed"):
        if record.error is not None:
            click.echo(printable(f"{record.id} failed: {record.error.message}"), err=True)
            return
