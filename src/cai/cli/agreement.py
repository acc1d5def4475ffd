"""`cai agreement`: a judge against the labels of people.

The agreement of a judge with people as text for 80 columns.
"""

import contextlib
import tempfile
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cai.cli.options.judge_options import open_judges, with_judges
from cai.cli.options.run_options import as_json, echo_json, with_run_options
from cai.cli.options.source_options import over_groups, show_source
from cai.cli.tables import named, plain_table, printable
from cai.constitution.loader import load_constitution
from cai.engine.engine import run_async
from cai.engine.run_folder import RunFolder
from cai.errors import EvaluationError
from cai.evaluation.format import decimal, kappa, percent, share
from cai.evaluation.judge.agreement import AgreementReport, Cost, Prices
from cai.evaluation.judge.agreement import agreement as agreement_of
from cai.evaluation.judge.calibration_plot import check_plot_path, draw_calibration
from cai.evaluation.judge.label_metrics import Figures
from cai.methods.judging.pairwise import check_judging
from cai.methods.judging.ranking import Judged
from cai.methods.settings import JudgeSettings
from cai.runs.config import JudgeRunConfig, read_run_config, run_config_as
from cai.runs.inputs import GroupSource
from cai.runs.judge import JudgeJob, run_judging
from cai.runs.options import RunOptions
from cai.runs.records import is_run, read_done

HEADINGS = ("pairs", "accuracy (95 %)", "kappa (95 %)", "ECE", "unread")
MOST_ROWS = 20


def show_agreement(report: AgreementReport, console: Console) -> None:
    """Prints figures, breakdowns, calibration, cost and caveats."""
    overall = report.overall
    console.print(f"Agreement with people on {overall.n:,} labelled pairs", style="bold")
    console.print(_whole(report))
    for line in _lines(report):
        console.print(line, highlight=False)
    if len(report.by_judge) > 1:
        _show_parts(console, "by judge", report.by_judge)
    if len(report.by_principle) > 1:
        _show_parts(console, "by principle", report.by_principle)
    for name, values in report.by_tag.items():
        if len(values) > 1:
            _show_parts(console, f"by {name}", values)
    if report.curve:
        console.print(_curve(report))
    for line in _cost_lines(report.cost):
        console.print(line, highlight=False)
    for caveat in report.caveats:
        console.print(named(caveat, style="bold yellow"))


def _whole(report: AgreementReport) -> Table:
    table = plain_table("", *HEADINGS)
    table.add_row("both orders", *_cells(report.overall))
    table.add_row("first order alone", *_cells(report.one_order))
    longer = report.longer
    if longer:
        table.add_row("always the longer", f"{longer.n:,}", share(longer), "", "", "")
    return table


def _show_parts(console: Console, heading: str, parts: Mapping[str, Figures]) -> None:
    """Those with the most pairs first, and no more of them than can be read."""
    table = plain_table("", *HEADINGS)
    table.columns[0].header = named(heading)
    largest = sorted(parts.items(), key=lambda item: (-item[1].n, item[0]))
    for name, figures in largest[:MOST_ROWS]:
        table.add_row(named(name), *_cells(figures))
    console.print(table)
    if len(largest) > MOST_ROWS:
        console.print(f"{len(largest) - MOST_ROWS} more, with fewer pairs: --json has all")


def _cells(figures: Figures) -> tuple[str, ...]:
    return (
        f"{figures.n:,}",
        share(figures.accuracy),
        kappa(figures.kappa),
        decimal(figures.ece),
        f"{figures.n - figures.n_readable:,}",
    )


def _lines(report: AgreementReport) -> Iterator[str]:
    overall = report.overall
    verdicts = ", ".join(f"{n:,} {outcome}" for outcome, n in overall.outcomes.items())
    yield f"verdicts: {verdicts}"
    yield (
        f"readable: {percent(overall.coverage)}; right where a side is named: "
        f"{percent(overall.accuracy_of_sides)}; Brier {decimal(overall.brier)}; "
        f"ECE by side {decimal(overall.ece_by_side)}"
    )
    if report.tempering is not None:
        yield (
            f"temperature that fits the labels: {report.tempering.temperature:.3g}, ECE "
            f"{decimal(report.tempering.ece)} there (--label-temperature)"
        )
    yield f"labels of a side that say A: {percent(report.label_a_share)}"
    negations = report.negations
    if negations.n:
        yield (
            f"reversed questions that contradict: {percent(negations.rate)} "
            f"({negations.n_contradictions:,} of {negations.n:,})"
        )


def _curve(report: AgreementReport) -> Table:
    table = plain_table("the judge says A is better", "pairs", "mean said", "people say A")
    for each in report.curve:
        table.add_row(
            f"{each.low:.0%} to {each.high:.0%}",
            f"{each.n:,}",
            percent(each.mean_p_a),
            percent(each.share_a),
        )
    return table


def _cost_lines(cost: Cost) -> Iterator[str]:
    if cost.prompt_tokens is None or cost.completion_tokens is None:
        yield "tokens a label: unknown, the judge counts none"
    else:
        yield (
            f"tokens a label: {cost.prompt_tokens:,.0f} read, {cost.completion_tokens:,.1f} written"
        )
    if cost.usd is not None:
        yield f"cost of a label: ${cost.usd:.6f}"
    if cost.human_usd is not None:
        against = "" if cost.cheaper is None else f", {cost.cheaper:,.1f} times the judge's"
        yield f"price of a person's label: ${cost.human_usd:.2f}{against}"


_usd = click.FloatRange(0)


@click.command(
    epilog="Example: cai agreement pairs.jsonl -c harmless "
    "-m openai:MODEL@http://localhost:8000/v1 --plot calibration.png"
)
@over_groups
@with_judges(is_required=False)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Run folder to judge into; without one nothing is kept.",
)
@with_run_options
@click.option("--plot", type=click.Path(path_type=Path), help="Calibration curve, .png or .svg.")
@click.option("--price-in", type=_usd, metavar="USD", help="Of a million tokens read.")
@click.option("--price-out", type=_usd, metavar="USD", help="Of a million tokens written.")
@click.option("--human-price", type=_usd, metavar="USD", help="Of one label by a person.")
@as_json
def agreement(
    source: GroupSource,
    judges: tuple[str, ...],
    constitution: str | None,
    settings: JudgeSettings,
    seed: int,
    out: Path | None,
    run_options: RunOptions,
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
        if judges or constitution or out:
            raise click.UsageError(f"{run} is judged already: leave -m, -c and -o out.")
        report = _report(run, prices, seed)
    else:
        if not judges or not constitution:
            raise click.UsageError("Judging needs a judge, -m, and a constitution, -c.")
        job = _job(source, judges, constitution, settings, seed)
        report = _judge(job, out, run_options, prices, is_quiet=is_json)
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
        return path if isinstance(read_run_config(folder), JudgeRunConfig) else None


def _job(
    source: GroupSource,
    judges: tuple[str, ...],
    constitution: str,
    settings: JudgeSettings,
    seed: int,
) -> JudgeJob:
    """The job; what is wrong with files and settings is said before a model is loaded."""
    loaded = load_constitution(constitution)
    checked = source.check()
    if not checked.summary.n_labelled:
        raise EvaluationError(
            f"{', '.join(source.names)}: none of {checked.summary.n_items} pairs has a label of "
            "people to agree with. Name the column that has it with --label-column, or "
            "--better-column and --worse-column."
        )
    check_judging(settings, loaded)
    return JudgeJob(checked, loaded, open_judges(judges, settings), settings, seed=seed)


def _judge(
    job: JudgeJob, out: Path | None, run_options: RunOptions, prices: Prices, *, is_quiet: bool
) -> AgreementReport:
    with _place(out) as folder:
        outcome = run_async(run_judging(folder, job, run_options, console=Console(stderr=True)))
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
        settings = run_config_as(folder, JudgeRunConfig).settings
        judged = (each for _, each in read_done(folder, Judged))
        n_failed = folder.counts().failed
        _tell_failure(folder)
        return agreement_of(judged, settings, prices=prices, n_failed=n_failed, seed=seed)


def _tell_failure(folder: RunFolder) -> None:
    """Why the first group failed that did: a folder that is removed can tell nobody later."""
    for record in folder.records("failed"):
        if record.error is not None:
            click.echo(printable(f"{record.id} failed: {record.error.message}"), err=True)
            return
