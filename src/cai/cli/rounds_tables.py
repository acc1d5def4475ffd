"""A series of rounds as tables: a row a round."""

from collections.abc import Iterator, Sequence

import click
from rich.console import Console
from rich.table import Table

from cai.cli.console import printable
from cai.cli.tables import NONE, named, plain_table
from cai.evaluation.bootstrap import Estimate
from cai.rounds.found import RoundFound, Series

_TABLES: Sequence[tuple[str, Sequence[str]]] = (
    ("By the frozen judge", ("win_start", "win_last", "level_last", "adherence")),
    (
        "The next round's judge",
        ("judge_gap", "judges_agree", "agreement", "agreement_gap", "calibration", "undecided"),
    ),
    ("How far from where", ("kl_start", "kl_last", "entropy")),
    ("Texts", ("length", "distinct_2", "self_similarity", "boilerplate", "empty")),
    ("Declining", ("refusals", "evasive")),
)
_BY_KIND = ("refusals", "evasive")
_PLAIN = ("length", "kl_start", "kl_last", "entropy", "distinct_2", "self_similarity")
_HEADINGS = {
    "win_start": "win rate\nagainst 0",
    "win_last": "against\nlast",
    "level_last": "at equal\nlength",
    "adherence": "keeps\nprinciples",
    "judge_gap": "wins more\nthan frozen",
    "judges_agree": "\nagree",
    "agreement": "right by\npeople",
    "agreement_gap": "less\nfrozen",
    "calibration": "calibration\nerror",
    "undecided": "principles\nidle",
    "kl_start": "KL from\nround 0",
    "kl_last": "KL from\nlast",
    "length": "words",
    "distinct_2": "distinct-2",
    "self_similarity": "self-\nsimilarity",
    "boilerplate": "stock\nsentences",
}


def show_series(series: Series) -> None:
    """Every table, and what a reader must know."""
    console = Console()
    click.secho(f"\n{series.name}: rating over rounds", bold=True)
    console.print(_ratings(series))
    for title, metrics in _TABLES:
        shown = [name for name in metrics if any(name in each.figures for each in series.rounds)]
        shown += [
            name
            for name in series.metrics
            if "/" in name and name.partition("/")[0] in shown and name.startswith(_BY_KIND)
        ]
        if shown:
            click.secho(f"\n{title}", bold=True)
            console.print(_figures(series.rounds, shown))
    for line in _lines(series):
        click.echo(printable(line))


def _ratings(series: Series) -> Table:
    table = plain_table("round", "from", "rating", "95 %", "decision", "rules broken", "minutes")
    for each, rating in zip(series.rounds, series.ratings, strict=True):
        value = NONE if rating.value is None else f"{rating.value:+.0f}"
        low, high = rating.low, rating.high
        span = NONE if low is None or high is None else f"{low:+.0f} to {high:+.0f}"
        table.add_row(
            f"{each.number}{' (best)' if each.number == series.best else ''}",
            NONE if not each.number else str(each.parent),
            value,
            span,
            each.decision,
            str(len(each.broken)),
            f"{each.seconds / 60:.1f}",
        )
    return table


def _figures(rounds: Sequence[RoundFound], names: Sequence[str]) -> Table:
    table = plain_table("round", *(_heading(name) for name in names))
    for each in rounds:
        cells = (_cell(name, each.figures.get(name)) for name in names)
        table.add_row(named(str(each.number)), *cells)
    return table


def _heading(name: str) -> str:
    return _HEADINGS.get(name, name.replace("/", "\n"))


def _cell(name: str, estimate: Estimate | None) -> str:
    if estimate is None:
        return NONE
    if name in _PLAIN:
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.1%}"


def _lines(series: Series) -> Iterator[str]:
    for each in series.rounds:
        for sentence in each.broken:
            yield f"round {each.number}: {sentence}"
    if series.ended:
        yield series.ended
    for remark in series.remarks:
        yield f"- {remark}"
    best = series.rounds[series.best]
    yield f"The best policy that no rule threw out is that of round {best.number}: {best.policy}"
