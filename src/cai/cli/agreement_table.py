"""The agreement of a judge with people as text for 80 columns."""

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.table import Table

from cai.cli.estimates import decimal, kappa, percent, share
from cai.cli.tables import named, plain_table
from cai.evaluation.agreement_report import AgreementReport
from cai.evaluation.costs import Cost
from cai.evaluation.figures import Figures

HEADINGS = ("pairs", "accuracy (95 %)", "kappa (95 %)", "ECE", "unread")
MOST_ROWS = 20


def show_agreement(report: AgreementReport, console: Console) -> None:
    """Prints figures, breakdowns, calibration, cost and remarks."""
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
    for remark in report.remarks:
        console.print(named(remark, style="bold yellow"))


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
