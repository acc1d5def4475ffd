"""Standard suites as one table: what each policy came to, and the difference of first and last."""

from rich.console import Console
from rich.table import Table

from cai.cli.tables import NONE, named, plain_table
from cai.evaluation.bootstrap import Estimate
from cai.evaluation.policy_report import Suite


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
