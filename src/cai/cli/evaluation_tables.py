"""An evaluation as tables; eighty columns are enough for four policies."""

from collections.abc import Iterator

import click
from rich.console import Console
from rich.table import Table

from cai.cli.console import printable
from cai.cli.tables import NONE, named, plain_table
from cai.evaluation.bootstrap import Estimate
from cai.evaluation.conduct import ALL
from cai.evaluation.matches import READABLE
from cai.evaluation.policy_report import Evaluation
from cai.evaluation.win_rates import WinRate

_SHARES = ("refusals", "evasive", "boilerplate", "empty")
_FIGURES = ("length", "distinct_2", "self_similarity", "cut_off")


def show_evaluation(found: Evaluation) -> None:
    """Every table that there is something for, and what a reader must know."""
    console = Console()
    for title, table in _tables(found):
        click.secho(f"\n{title}", bold=True)
        console.print(table)
    if found.remarks:
        click.secho("\nTo know beside the figures", bold=True)
        for remark in found.remarks:
            click.echo(printable(f"- {remark}"))


def _tables(found: Evaluation) -> Iterator[tuple[str, Table]]:
    if found.win_rates:
        judges = ", ".join(found.judges)
        yield f"Win rates by {judges} under {found.constitution}", _win_rates(found)
        yield f"Ratings, in points of Elo above {found.policies[0].name}", _ratings(found)
    for kind in _kinds(found):
        which = "all prompts" if kind == ALL else f"{kind} prompts"
        yield f"Conduct on {which}", _conduct(found, kind)
        if any(kind in each.adherence for each in found.policies):
            yield f"Responses that keep each principle, on {which}", _adherence(found, kind)


def _win_rates(found: Evaluation) -> Table:
    table = plain_table(
        "", "wins", "loses", "neither", "unread", "win rate", "at equal length", "mean p"
    )
    for each in found.win_rates:
        table.add_row(
            named(f"{each.policy} against {each.opponent}"),
            *_counts(each),
            interval(each.rate),
            interval(each.length_controlled),
            NONE if each.probability is None else f"{each.probability.value:.1%}",
        )
    return table


def _counts(rate: WinRate) -> Iterator[str]:
    outcomes = rate.outcomes
    readable = sum(outcomes.get(each, 0) for each in READABLE)
    won, lost = outcomes.get("a", 0), outcomes.get("b", 0)
    yield from (f"{won:,}", f"{lost:,}", f"{readable - won - lost:,}", f"{rate.n - readable:,}")


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


def _conduct(found: Evaluation, kind: str) -> Table:
    table = plain_table("", *(each.name for each in found.policies))
    of = [next(one for one in each.conduct if one.kind == kind) for each in found.policies]
    table.add_row("responses", *(f"{each.n:,}" for each in of))
    for name in _SHARES:
        table.add_row(_said(name, kind), *(interval(each.shares.get(name)) for each in of))
    for name in _FIGURES:
        values = [each.figures.get(name) for each in of]
        table.add_row(_said(name, kind), *(NONE if v is None else f"{v:.3g}" for v in values))
    return table


def _adherence(found: Evaluation, kind: str) -> Table:
    table = plain_table("", *(each.name for each in found.policies))
    of = [each.adherence.get(kind, {}) for each in found.policies]
    for principle in dict.fromkeys(name for each in of for name in each):
        table.add_row(named(principle), *(interval(each.get(principle)) for each in of))
    return table


def _kinds(found: Evaluation) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.kind for each in found.policies for one in each.conduct))


def _said(name: str, kind: str) -> str:
    if name == "refusals" and kind == "benign":
        return "refusals (over-refusal)"
    return {"length": "words", "distinct_2": "distinct-2"}.get(name, name.replace("_", " "))


def interval(estimate: Estimate | None) -> str:
    """A share with its interval, such as 64.2 % (58–70)."""
    if estimate is None:
        return NONE
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.1%}"
    return f"{estimate.value:.1%} ({100 * estimate.low:.0f}–{100 * estimate.high:.0f})"
