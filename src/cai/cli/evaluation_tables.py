"""An evaluation as tables of at most eighty columns."""

from collections.abc import Iterable, Iterator

import click
from rich.console import Console
from rich.table import Table

from cai.cli.console import printable
from cai.cli.estimates import brief_share
from cai.cli.policy_columns import Row, policy_tables
from cai.cli.tables import NONE, named, plain_table
from cai.cli.together_table import BENIGN, HARMFUL, together
from cai.evaluation.conduct import ALL
from cai.evaluation.matches import READABLE
from cai.evaluation.policy_report import Evaluation
from cai.evaluation.win_rates import WinRate

_SHARES = ("refusals", "evasive", "boilerplate", "empty")
_FIGURES = ("length", "distinct_2", "self_similarity", "cut_off")


def show_evaluation(found: Evaluation) -> None:
    """Every table that there is something for, and what a reader must know."""
    console = Console()
    for title, tables in _tables(found):
        click.secho(printable(f"\n{title}"), bold=True)
        for table in tables:
            console.print(table)
    if found.remarks:
        click.secho("\nTo know beside the figures", bold=True)
        for remark in found.remarks:
            click.echo(printable(f"- {remark}"))


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
    for name in _SHARES:
        yield _said(name, kind), [brief_share(each.shares.get(name)) for each in of]
    for name in _FIGURES:
        values = [each.figures.get(name) for each in of]
        yield _said(name, kind), [NONE if v is None else f"{v:.3g}" for v in values]


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
    if name == "refusals" and kind == "benign":
        return "refusals (over-refusal)"
    said = {
        "boilerplate": "stock sentences",
        "length": "words",
        "distinct_2": "distinct-2",
        "self_similarity": "self-similarity",
    }
    return said.get(name, name.replace("_", " "))
