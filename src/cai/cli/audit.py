"""`cai audit`: the biases of the judge of a judged run, as text for 80 columns.

Position, length and self-preference, as in Zheng et al. 2023, arXiv:2306.05685, §3.3; and what each
principle adds to the verdicts. It needs no labels.

Example:
    $ cai audit runs/judged
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console

from cai.cli.options.run_options import echo_json
from cai.cli.tables import named, plain_table
from cai.engine.run_folder import RunFolder
from cai.evaluation.format import decimal, percent, percent_interval, share
from cai.evaluation.judge.audit import AuditReport
from cai.evaluation.judge.audit import audit as audit_judged
from cai.evaluation.judge.length_bias import WinShare
from cai.evaluation.judge.principles import PrinciplePair
from cai.evaluation.stats.bootstrap import Estimate
from cai.methods.judging.ranking import Judged
from cai.runs.config import JudgeRunConfig, run_config_as
from cai.runs.records import read_done

Row = tuple[str, str, str, str]


@click.command(epilog="Example: cai audit runs/judged")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--seed", type=int, default=0, show_default=True, help="Of the intervals.")
@click.option("--json", "is_json", is_flag=True, help="The report as one JSON object.")
def audit(run: Path, seed: int, is_json: bool) -> int:
    """Show the biases of the judge of the run folder RUN: position, length, its own responses.

    Position flips, wins of the longer response, self-preference, unreadable verdicts, and which
    principles decide, repeat each other or contradict. Needs no labels and makes no calls. A judge
    that is the policy, or of its family, is reported first, in red.
    """
    with RunFolder.existing(run) as folder:
        config = run_config_as(folder, JudgeRunConfig)
        judged = (each for _, each in read_done(folder, Judged))
        report = audit_judged(judged, config, n_failed=folder.counts().failed, seed=seed)
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
    own = {(each.judge, each.kin): each.own for each in report.ownership.self_preference}
    for (judge, kin), wins in own.items():
        if kin == "same":
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
