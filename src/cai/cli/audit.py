"""`cai audit`: the habits of the judge of a judged run.

The habits of a judge as text for 80 columns.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from cai.cli.tables import named, plain_table
from cai.engine.run_folder import RunFolder
from cai.evaluation.format import decimal, percent, percent_interval, share
from cai.evaluation.judge.audit import AuditReport
from cai.evaluation.judge.audit import audit as audit_judged
from cai.evaluation.judge.length_bias import WinShare
from cai.evaluation.judge.principles import PrinciplePair, Principles
from cai.evaluation.judge.self_preference import Ownership
from cai.evaluation.stats.bootstrap import Estimate
from cai.methods.judging.ranking import Judged
from cai.runs.config import JudgeRunConfig, run_config_as
from cai.runs.records import read_done

Row = tuple[str, str, str, str]


def show_audit(report: AuditReport, console: Console) -> None:
    """Prints the loud lines, the habits, the models, the principles and the caveats."""
    for warning in report.warnings:
        console.print(named(f"WARNING: {warning}", style="bold red"))
    console.print(
        named(
            f"Audit of {report.n:,} verdicts on {report.n_groups:,} prompts by "
            f"{', '.join(report.judges)}",
            style="bold",
        )
    )
    verdicts = ", ".join(f"{n:,} {outcome}" for outcome, n in report.outcomes.items())
    console.print(f"verdicts: {verdicts}", highlight=False)
    console.print(_habits(report))
    if report.ownership.models:
        console.print(_models(report.ownership))
    if len(report.principles.influences) > 1:
        console.print(_influences(report.principles))
        for line in _relations(report.principles):
            console.print(named(line))
    for caveat in report.caveats:
        console.print(named(caveat, style="bold yellow"))


def _habits(report: AuditReport) -> Table:
    table = plain_table("", "share", "95 %", "of")
    for what, value, bounds, n in (
        *_position_rows(report),
        *_length_rows(report),
        *_own_rows(report),
        *_reading_rows(report),
    ):
        table.add_row(named(what), value, bounds, n)
    return table


def _position_rows(report: AuditReport) -> Iterator[Row]:
    found = report.positions
    yield _row("position flips: the orders favour different responses", found.flips)
    yield "  of these, the first place twice", percent(found.to_first_share), "", str(found.n_flips)
    yield _row("verdicts that the order alone would change", found.verdict_flips)
    yield "mean probability of the first place", percent(found.first_share), "", ""


def _length_rows(report: AuditReport) -> Iterator[Row]:
    found = report.lengths
    yield from _win_rows("won by the longer response, in characters", found.by_characters)
    yield from _win_rows("won by the longer response, in words", found.by_words)
    n = f"{found.n:,}"
    yield "correlation of p_a with log length ratio, Pearson", decimal(found.pearson, 2), "", n
    yield "  by ranks, Spearman", decimal(found.spearman, 2), "", n


def _own_rows(report: AuditReport) -> Iterator[Row]:
    """A family's row only where it has more matchups than the model itself."""
    found = {(each.judge, each.kin): each.own for each in report.ownership.self_preference}
    for (judge, kin), own in found.items():
        if kin == "same":
            yield from _win_rows(f"won by the judge's own model, {judge}", own)
        elif _n(own) > _n(found.get((judge, "same"))):
            yield from _win_rows(f"won by the judge's own family, of {judge}", own)


def _n(found: WinShare | None) -> int:
    return found.share.n if found and found.share else 0


def _reading_rows(report: AuditReport) -> Iterator[Row]:
    readings, negations = report.readings, report.negations
    if readings.n_with_mass:
        rate, n = percent(readings.low_mass_rate), f"{readings.n_with_mass:,}"
        yield "readings that give the letters less than one half", rate, "", n
    if negations.n:
        yield "reversed questions that contradict", percent(negations.rate), "", f"{negations.n:,}"


def _win_rows(what: str, found: WinShare) -> Iterator[Row]:
    yield _row(what, found.share)
    if found.by_people is not None:
        yield _row("  by the labels of people", found.by_people)


def _row(what: str, found: Estimate | None) -> Row:
    n = f"{found.n:,}" if found else "0"
    return what, percent(found.value if found else None), percent_interval(found), n


def _models(ownership: Ownership) -> Table:
    table = plain_table("model against other models", "won (95 %)", "of")
    for each in sorted(ownership.models, key=lambda each: -(each.wins.value if each.wins else 0)):
        n = each.wins.n if each.wins else 0
        table.add_row(named(each.model), share(each.wins), f"{n:,}")
    return table


def _influences(principles: Principles) -> Table:
    table = plain_table("principle", "verdicts", "unread", "margin", "pull", "decides")
    for each in principles.influences:
        table.add_row(
            each.principle_id,
            f"{each.n:,}",
            f"{each.n_unread:,}",
            decimal(each.margin),
            percent(each.pull),
            percent(each.decides),
        )
    return table


def _relations(principles: Principles) -> Iterator[str]:
    yield (
        "margin: mean distance from one half; pull: share of all weighted margins; decides: "
        "share of verdicts that would be other without it."
    )
    yield from _listed("redundant", principles.related("redundant"))
    yield from _listed("contradicting", principles.related("contradicting"))
    if principles.never_decide:
        yield f"never decide: {', '.join(principles.never_decide)}"


def _listed(kind: str, pairs: Sequence[PrinciplePair]) -> Iterator[str]:
    """A line for each principle with all those that it is so related to, each pair once."""
    others: dict[str, list[str]] = {}
    for pair in pairs:
        others.setdefault(pair.first, []).append(f"{pair.second} {percent(pair.agreement)}")
    if others:
        yield f"{kind} (share of verdicts in which both favour the same side):"
    for first, seconds in others.items():
        yield f"  {first}: {', '.join(seconds)}"


@click.command(epilog="Example: cai audit runs/judged")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--seed", type=int, default=0, show_default=True, help="Of the intervals.")
@click.option("--json", "is_json", is_flag=True, help="The report as one JSON object.")
def audit(run: Path, seed: int, is_json: bool) -> int:
    """Show what the judge of the run folder RUN does with places, lengths and its own responses.

    Position flips, wins of the longer response, self-preference, unreadable verdicts, and which
    principles decide, repeat each other or contradict. Needs no labels and makes no calls. A judge
    that is the policy, or of its family, is said first and loudly.
    """
    with RunFolder.existing(run) as folder:
        recipe = run_config_as(folder, JudgeRunConfig)
        judged = (each for _, each in read_done(folder, Judged))
        report = audit_judged(judged, recipe, n_failed=folder.counts().failed, seed=seed)
    if is_json:
        click.echo(json.dumps(report.as_json()))
    else:
        show_audit(report, Console())
    return 0
