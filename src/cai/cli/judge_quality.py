"""How good a judge is: `cai agreement` with the labels of people, and `cai audit` of its biases.

Agreement is accuracy, Cohen's kappa beside it, since most pairs may have the same label, and
calibration, since the reward model is trained on the judge's probabilities and not on its choices.
An audit needs no labels: position, length and self-preference, as in Zheng et al. 2023,
arXiv:2306.05685, §3.3, and what each principle adds to the verdicts.

Example:
    $ cai agreement pairs.jsonl -c harmless -m hf:JUDGE --plot calibration.png
    $ cai audit runs/judged
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console

from cai.cli.options.data_options import compose_option, over_groups, show_source
from cai.cli.options.model_options import open_judges, with_judges
from cai.cli.options.run_options import echo_json, with_run_options
from cai.cli.options.settings_options import PATH, refuse_options
from cai.cli.tables import named, plain_table, printable
from cai.constitution.loader import load_constitution
from cai.constitution.schema import Compose
from cai.engine.engine import run_async
from cai.engine.run_folder import RunFolder
from cai.errors import EvaluationError
from cai.evaluation.format import decimal, kappa, percent, percent_interval, share
from cai.evaluation.judge.agreement import AgreementReport, Prices
from cai.evaluation.judge.agreement import agreement as agreement_of
from cai.evaluation.judge.audit import AuditReport
from cai.evaluation.judge.audit import audit as audit_judged
from cai.evaluation.judge.calibration_plot import check_plot_path, draw_calibration
from cai.evaluation.judge.label_metrics import Figures
from cai.evaluation.judge.length_bias import WinShare
from cai.evaluation.judge.principles import PrinciplePair
from cai.evaluation.stats.bootstrap import Estimate
from cai.methods.judging.pairwise import check_judging
from cai.methods.settings import JudgeSettings
from cai.runs.config import JudgeRunConfig, read_run_config, run_config_as
from cai.runs.divided import check_one_run
from cai.runs.inputs import GroupSource
from cai.runs.judge import JudgeJob, run_judging
from cai.runs.judged import composer_of, read_judged
from cai.runs.options import RunOptions
from cai.runs.records import is_run

HEADINGS = ("pairs", "accuracy (95 %)", "kappa (95 %)", "ECE", "unread")
# A screen of rows; the values of a tag may be thousands.
MAX_ROWS = 20

# What still matters where all verdicts are there.
_OF_FIGURES = ("setting_compose", "seed", "plot", "price_in", "price_out", "human_price", "is_json")

_usd = click.FloatRange(0)


@click.command(
    epilog="Example: cai agreement pairs.jsonl -c harmless "
    "-m openai:MODEL@http://localhost:8000/v1 --plot calibration.png"
)
@over_groups
@with_judges(is_required=False)
@click.option(
    "-o", "--out", type=PATH, help="Run folder to judge into; without one nothing is stored."
)
@click.option("--plot", type=PATH, help="Calibration curve, .png or .svg.")
@click.option("--price-in", type=_usd, metavar="USD", help="Of a million prompt tokens.")
@click.option("--price-out", type=_usd, metavar="USD", help="Of a million completion tokens.")
@click.option("--human-price", type=_usd, metavar="USD", help="Of one label by a person.")
@with_run_options
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

    RUN_OR_PAIRS are files of labelled pairs, judged now under -c by -m; or one folder of
    `cai judge` over labelled pairs, which needs neither and makes no calls.

    Accuracy and Cohen's kappa with 95 % intervals, calibration, what one order alone would give,
    what always taking the longer response would reach; by principle, judge and tag; and the cost of
    a label, beside a person's when the prices are given.
    """
    if plot is not None:
        check_plot_path(plot)
    if (price_in is None) != (price_out is None):
        raise click.UsageError("A price needs both --price-in and --price-out.")
    saved = _judged_run(source)
    if saved is not None and (judges or constitution or out):
        raise click.UsageError(f"{saved} is judged already: leave -m, -c and -o out.")
    if saved is not None:
        refuse_options(lambda name: name not in _OF_FIGURES, f"on {saved}, which is judged already")
    elif out is None:
        refuse_options(lambda name: name in ("retry_failed", "update"), "without -o")
    # The stack removes the temporary folder only after the report is made of it.
    with ExitStack() as stack:
        run = saved
        if run is None:
            if not judges or not constitution:
                raise click.UsageError("Judging needs a judge, -m, and a constitution, -c.")
            # wrong files and settings are reported before a model is loaded
            loaded, checked = load_constitution(constitution), source.check()
            if not checked.summary.n_labelled:
                raise EvaluationError(
                    f"{', '.join(source.names)}: none of {checked.summary.n_items} pairs has a "
                    "label of people to agree with. Name the column that has it with "
                    "--label-column, or --better-column and --worse-column."
                )
            check_judging(settings, loaded)
            job = JudgeJob(checked, loaded, open_judges(judges, settings), settings, seed=seed)
            run = saved = out
            if run is None:
                click.echo(
                    "Judging into a temporary folder, removed at the end; -o RUN stores it.",
                    err=True,
                )
                folder = stack.enter_context(TemporaryDirectory(prefix="cai-agreement-"))
                run = Path(folder) / "run"
            work = run_judging(run, job, run_options, console=Console(stderr=True))
            result = run_async(work)
            if not is_json:
                show_source(result.run_result.source.describe(), result.run_result.source.bad_rows)
        prices = Prices(price_in, price_out, human_price)
        report = _report(run, prices, settings.compose, seed)
    # With --json stdout is one object, so the line about the plot goes to stderr.
    if is_json:
        echo_json(report.as_json())
    else:
        show_agreement(report, Console())
    if plot is not None:
        draw_calibration(report, plot)
        click.echo(f"calibration curve: {plot}", err=is_json)
    if not is_json and saved:
        click.echo(f"Next: cai audit {saved}")
    return 1 if report.n_failed else 0


def _judged_run(source: GroupSource) -> Path | None:
    """The folder, where the source is one run that is judged already."""
    if len(source.names) != 1 or not is_run(source.names[0]):
        return None
    path = Path(source.names[0])
    with RunFolder.existing(path) as folder:
        return path if isinstance(read_run_config(folder), JudgeRunConfig) else None


def _report(run: Path, prices: Prices, compose: Compose | None, seed: int) -> AgreementReport:
    with RunFolder.existing(run) as folder:
        # The first failure is printed now: a temporary folder cannot be inspected afterwards.
        errors = ((each.id, each.error) for each in folder.records("failed"))
        failure = next(((id, error) for id, error in errors if error is not None), None)
        if failure is not None:
            click.echo(printable(f"{failure[0]} failed: {failure[1].message}"), err=True)
        composer = composer_of([folder], compose)
        return agreement_of(
            (each for _, each in read_judged(folder, composer)),
            run_config_as(folder, JudgeRunConfig).settings,
            composer,
            prices=prices,
            n_failed=folder.counts().failed,
            seed=seed,
        )


def show_agreement(report: AgreementReport, console: Console) -> None:
    """Prints figures, breakdowns, calibration, cost and caveats."""
    console.print(f"Agreement with people on {report.overall.n:,} labelled pairs", style="bold")
    table = plain_table("", *HEADINGS)
    table.add_row("both orders", *_cells(report.overall))
    table.add_row("first order alone", *_cells(report.one_order))
    if report.longer:
        # the baseline that a judge must beat: length alone agrees with people surprisingly often
        longer = report.longer
        table.add_row("always the longer", f"{longer.n:,}", share(longer), "", "", "")
    console.print(table)
    for line in _summary(report):
        console.print(line, highlight=False)
    for heading, parts in (
        ("by judge", report.by_judge),
        ("by principle", report.by_principle),
        *((f"by {name}", values) for name, values in report.by_tag.items()),
    ):
        if len(parts) > 1:
            _show_parts(console, heading, parts)
    if report.curve:
        table = plain_table("the judge says A is better", "pairs", "mean p", "people say A")
        for each in report.curve:
            bounds, n = f"{each.low:.0%} to {each.high:.0%}", f"{each.n:,}"
            table.add_row(bounds, n, percent(each.mean_p_a), percent(each.share_a))
        console.print(table)
    cost = report.cost
    if cost.prompt_tokens is None or cost.completion_tokens is None:
        tokens = "unknown, the judge counts none"
    else:
        tokens = f"{cost.prompt_tokens:,.0f} prompt, {cost.completion_tokens:,.1f} completion"
    console.print(f"tokens a label: {tokens}", highlight=False)
    if cost.usd is not None:
        console.print(f"cost of a label: ${cost.usd:.6f}", highlight=False)
    if cost.human_usd is not None:
        against = "" if cost.cheaper is None else f", {cost.cheaper:,.1f} times the judge's"
        human = f"price of a person's label: ${cost.human_usd:.2f}{against}"
        console.print(human, highlight=False)
    for caveat in report.caveats:
        console.print(named(caveat, style="bold yellow"))


def _summary(report: AgreementReport) -> Iterator[str]:
    overall, tempering, negations = report.overall, report.tempering, report.negations
    yield f"verdicts: {', '.join(f'{n:,} {outcome}' for outcome, n in overall.outcomes.items())}"
    yield (
        f"readable: {percent(overall.coverage)}; accuracy where a side is named: "
        f"{percent(overall.accuracy_of_sides)}; Brier {decimal(overall.brier)}; "
        f"ECE by side {decimal(overall.ece_by_side)}"
    )
    if tempering is not None:
        interval = ""
        if tempering.low is not None and tempering.high is not None:
            interval = f" ({tempering.low:.3g}–{tempering.high:.3g})"
        yield (
            f"temperature that fits the labels: {tempering.temperature:.3g}{interval}, with ECE "
            f"{decimal(tempering.ece)} on other prompts (--label-temperature)"
        )
    yield f"labels of a side that say A: {percent(report.label_a_share)}"
    if negations.n:
        yield (
            f"reversed questions that contradict: {percent(negations.rate)} "
            f"({negations.n_contradictions:,} of {negations.n:,})"
        )


def _show_parts(console: Console, heading: str, parts: Mapping[str, Figures]) -> None:
    """Prints the parts with the most pairs: a tag may have thousands of values."""
    table = plain_table("", *HEADINGS)
    table.columns[0].header = named(heading)
    largest = sorted(parts.items(), key=lambda item: (-item[1].n, item[0]))
    for name, figures in largest[:MAX_ROWS]:
        table.add_row(named(name), *_cells(figures))
    console.print(table)
    if len(largest) > MAX_ROWS:
        console.print(f"{len(largest) - MAX_ROWS} more, with fewer pairs: --json has all")


def _cells(figures: Figures) -> tuple[str, ...]:
    return (
        f"{figures.n:,}",
        share(figures.accuracy),
        kappa(figures.kappa),
        decimal(figures.ece),
        f"{figures.n - figures.n_readable:,}",
    )


Row = tuple[str, str, str, str]


@click.command(epilog="Example: cai audit runs/judged")
@click.argument("runs", metavar="RUN...", type=PATH, nargs=-1, required=True)
@compose_option
@click.option("--seed", type=int, default=0, help="Of the intervals.")
@click.option("--json", "is_json", is_flag=True, help="The report as one JSON object.")
def audit(runs: tuple[Path, ...], compose: Compose | None, seed: int, is_json: bool) -> int:
    """Show the biases of the judge of the run folder RUN: position, length, its own responses.

    Several folders must be the parts of one divided run.

    Position flips, wins of the longer response, self-preference, unreadable verdicts, and which
    principles decide, repeat each other or contradict. Needs no labels and makes no calls. A judge
    that is the policy, or of its family, is reported first, in red.
    """
    with ExitStack() as opened:
        folders = [opened.enter_context(RunFolder.existing(run)) for run in runs]
        check_one_run(folders)
        config = run_config_as(folders[0], JudgeRunConfig)
        composer = composer_of(folders, compose)
        judged = (each for folder in folders for _, each in read_judged(folder, composer))
        n_failed = sum(folder.counts().failed for folder in folders)
        report = audit_judged(judged, config, composer, n_failed=n_failed, seed=seed)
    if is_json:
        echo_json(report.as_json())
    else:
        show_audit(report, Console())
    return 0


def show_audit(report: AuditReport, console: Console) -> None:
    """Prints the warnings, the biases, the models, the principles and the caveats."""
    for warning in report.warnings:
        console.print(named(f"WARNING: {warning}", style="bold red"))
    title = f"Audit of {report.n:,} verdicts on {report.n_groups:,} prompts by "
    console.print(named(title + ", ".join(report.judges), style="bold"))
    verdicts = ", ".join(f"{n:,} {outcome}" for outcome, n in report.outcomes.items())
    console.print(f"verdicts: {verdicts}", highlight=False)
    table = plain_table("", "share", "95 %", "of")
    for what, *cells in _bias_rows(report):
        table.add_row(named(what), *cells)
    console.print(table)
    if report.ownership.models:
        table = plain_table("model against other models", "won (95 %)", "of")
        for each in sorted(
            report.ownership.models, key=lambda each: -(each.wins.value if each.wins else 0)
        ):
            n = each.wins.n if each.wins else 0
            table.add_row(named(each.model), share(each.wins), f"{n:,}")
        console.print(table)
    principles = report.principles
    if len(principles.influences) > 1:
        table = plain_table("principle", "verdicts", "unread", "margin", "pull", "decides")
        for each in principles.influences:
            counts = (f"{each.n:,}", f"{each.n_unread:,}")
            weights = (decimal(each.margin), percent(each.pull), percent(each.decides))
            table.add_row(each.principle_id, *counts, *weights)
        console.print(table)
        meanings = (
            "margin: mean |p − 0.5|; pull: share of all weighted margins; decides: share of "
            "verdicts that would be other without it."
        )
        console.print(named(meanings))
        for kind in ("redundant", "contradicting"):
            for line in _related(kind, principles.related(kind)):
                console.print(named(line))
        if principles.never_decide:
            console.print(named(f"never decide: {', '.join(principles.never_decide)}"))
    for caveat in report.caveats:
        console.print(named(caveat, style="bold yellow"))


def _bias_rows(report: AuditReport) -> Iterator[Row]:
    positions, lengths = report.positions, report.lengths
    yield _row("position flips: the orders favour different responses", positions.flips)
    first_twice = percent(positions.to_first_share)
    yield "  of these, the first position twice", first_twice, "", str(positions.n_flips)
    yield _row("verdicts that the order alone would change", positions.verdict_flips)
    yield "mean probability of the first position", percent(positions.first_share), "", ""
    yield from _win_rows("won by the longer response, in characters", lengths.by_characters)
    yield from _win_rows("won by the longer response, in words", lengths.by_words)
    n = f"{lengths.n:,}"
    yield "correlation of p_a with log length ratio, Pearson", decimal(lengths.pearson, 2), "", n
    yield "  by ranks, Spearman", decimal(lengths.spearman, 2), "", n
    own = {(each.judge, each.relation): each.own for each in report.ownership.self_preference}
    for (judge, relation), wins in own.items():
        if relation == "same":
            yield from _win_rows(f"won by the judge's own model, {judge}", wins)
        # The family includes the model itself; with no other member its row would repeat that one.
        elif _n(wins) > _n(own.get((judge, "same"))):
            yield from _win_rows(f"won by the judge's own family, of {judge}", wins)
    calls, negations = report.readings, report.negations
    if calls.n_with_mass:
        rate = percent(calls.low_mass_rate)
        yield "judge calls that give the letters less than 0.5", rate, "", f"{calls.n_with_mass:,}"
    if negations.n:
        yield "reversed questions that contradict", percent(negations.rate), "", f"{negations.n:,}"


def _n(wins: WinShare | None) -> int:
    return wins.share.n if wins and wins.share else 0


def _win_rows(what: str, wins: WinShare) -> Iterator[Row]:
    yield _row(what, wins.share)
    if wins.by_people is not None:  # a bias is what goes beyond the preference of people
        yield _row("  by the labels of people", wins.by_people)


def _row(what: str, value: Estimate | None) -> Row:
    n = f"{value.n:,}" if value else "0"
    return what, percent(value.value if value else None), percent_interval(value), n


def _related(kind: str, pairs: Sequence[PrinciplePair]) -> Iterator[str]:
    """A line for each principle with all those that it is so related to, each pair once."""
    others: dict[str, list[str]] = {}
    for pair in pairs:
        others.setdefault(pair.first, []).append(f"{pair.second} {percent(pair.agreement)}")
    if others:
        yield f"{kind} (share of verdicts in which both favour the same side):"
    for first, seconds in others.items():
        yield f"  {first}: {', '.join(seconds)}"
