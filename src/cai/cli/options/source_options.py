"""The sources of commands as options: prompts, groups to judge, or responses.

Example:
    @click.command()
    @over_prompts
    def revise(source: PromptSource) -> int: ...
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

import click

from cai.cli.options.settings_options import Decorator, with_object
from cai.cli.tables import printable
from cai.data.pair_columns import PairOptions
from cai.data.prompts import PromptSource
from cai.data.responses import ResponseOptions
from cai.data.source import BadRow
from cai.runs.inputs import GroupSource, ResponseSource


def _label_values(_: object, __: object, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(part.strip() for part in value.split(","))


# A bad row is an error by default: skipped rows silently change what a figure is of.
_SKIP = click.option(
    "--skip-bad-rows", is_flag=True, help="Skip and count rows that cannot be used."
)
_TAGS = click.option(
    "--tag-column", "tag_columns", multiple=True, help="A column to count by; else detected."
)
_ID = click.option("--id-column", help="The column with the id; detected or derived by default.")


def _over(
    kind: Callable[[tuple[str, ...], Any, bool], object],
    columns: type[PairOptions] | type[ResponseOptions],
    options: Sequence[Decorator],
) -> Decorator:
    """Gives a command `source`, of that kind, its columns as the options say."""
    names = [each.name for each in fields(columns)]

    def make(sources: tuple[str, ...], skip_bad_rows: bool, **values: Any) -> object:
        return kind(sources, columns(**values), skip_bad_rows)

    return with_object(
        "source", make, ["sources", "skip_bad_rows", *names], [*options, _TAGS, _ID, _SKIP]
    )


over_prompts = with_object(
    "source",
    PromptSource,
    [each.name for each in fields(PromptSource)],
    [
        click.argument("files", nargs=-1, required=True, metavar="SOURCES..."),
        click.option("--column", help="The column with the prompt; detected when not named."),
        _ID,
        _SKIP,
    ],
)

over_groups = _over(
    GroupSource,
    PairOptions,
    [
        click.argument("sources", nargs=-1, required=True, metavar="RUN_OR_PAIRS..."),
        click.option(
            "--prompt-column", help="Of pair files: the prompt. Columns are detected by default."
        ),
        click.option("--prompt-text", help="The prompt of every row, where no column has one."),
        click.option("--a-column", help="The first response."),
        click.option("--b-column", help="The second response."),
        click.option("--label-column", help="Which of the two people prefer."),
        click.option(
            "--label-values",
            callback=_label_values,
            metavar="A,B[,TIE]",
            help="Labels of A, B, tie.",
        ),
        click.option("--better-column", help="The better response, in place of a label."),
        click.option("--worse-column", help="The worse response, in place of a label."),
    ],
)

over_responses = _over(
    ResponseSource,
    ResponseOptions,
    [
        click.argument("sources", nargs=-1, required=True, metavar="RUN_OR_RESPONSES..."),
        click.option(
            "--prompt-column", help="Of files: the prompt. Columns are detected by default."
        ),
        click.option("--response-column", help="The response."),
        click.option("--label-column", help="What people say of the response."),
    ],
)


# Errors of rows are text out of files, so they are made safe for the terminal.
def show_source(lines: str, bad_rows: Iterable[BadRow]) -> None:
    """Prints what was read, and the first of the rows that were skipped."""
    click.echo(printable(lines))
    for row in bad_rows:
        click.echo(printable(f"  skipped {row.origin}: {row.reason}"))
