"""What a command reads, as its arguments and options: prompts, groups to judge, or responses."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import wraps
from typing import Any

import click

from cai.cli.options.run_options import with_options
from cai.cli.tables import printable
from cai.data.pair_columns import PairOptions
from cai.data.responses import ResponseOptions
from cai.data.rows import BadRow
from cai.runs.inputs import GroupSource, PromptSource, ResponseSource


def _label_values(
    _: click.Context, param: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    return None if value is None else tuple(part.strip() for part in value.split(","))


_SKIP = click.option(
    "--skip-bad-rows", is_flag=True, help="Count rows that cannot be used, and go on."
)


def _names_or_none(
    _: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...] | None:
    return value or None


_TAGS = click.option(
    "--tag-column",
    "tag_columns",
    multiple=True,
    callback=_names_or_none,
    help="A column to count by; found when not named.",
)
_ID = click.option("--id-column", help="The column with the id; found or derived when not named.")
_PROMPT_OPTIONS = [
    click.argument("sources", nargs=-1, required=True),
    click.option("--column", help="The column with the prompt; found when not named."),
    _ID,
    _SKIP,
]
_GROUP_OPTIONS = [
    click.argument("sources", nargs=-1, required=True, metavar="RUN_OR_PAIRS..."),
    click.option("--prompt-column", help="Of pair files: the prompt. All columns are else found."),
    click.option("--prompt-text", help="The prompt of every row, where no column has one."),
    click.option("--a-column", help="The first response."),
    click.option("--b-column", help="The second response."),
    click.option("--label-column", help="Which of the two people found better."),
    click.option(
        "--label-values",
        callback=_label_values,
        metavar="A,B[,TIE]",
        help="The labels that mean A, B and a tie.",
    ),
    click.option("--better-column", help="The better response, in place of a label."),
    click.option("--worse-column", help="The worse response, in place of a label."),
    _TAGS,
    _ID,
    _SKIP,
]
_RESPONSE_OPTIONS = [
    click.argument("sources", nargs=-1, required=True, metavar="RUN_OR_RESPONSES..."),
    click.option("--prompt-column", help="Of files: the prompt. All columns are else found."),
    click.option("--response-column", help="The response."),
    click.option("--label-column", help="What people say of the response."),
    _TAGS,
    _ID,
    _SKIP,
]


def over_prompts(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command the argument SOURCES and the options of how prompts are read: `source`."""

    @wraps(command)
    def gathered(
        sources: tuple[str, ...],
        column: str | None,
        id_column: str | None,
        skip_bad_rows: bool,
        **options: Any,
    ) -> int:
        return command(source=PromptSource(sources, column, id_column, skip_bad_rows), **options)

    return with_options(gathered, _PROMPT_OPTIONS)


def over_groups(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command the argument SOURCES and the columns of pair files: `source`."""

    @wraps(command)
    def gathered(sources: tuple[str, ...], skip_bad_rows: bool, **options: Any) -> int:
        columns = PairOptions(**{each.name: options.pop(each.name) for each in fields(PairOptions)})
        return command(source=GroupSource(sources, columns, skip_bad_rows), **options)

    return with_options(gathered, _GROUP_OPTIONS)


def over_responses(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command the argument SOURCES and the columns of response files: `source`."""

    @wraps(command)
    def gathered(sources: tuple[str, ...], skip_bad_rows: bool, **options: Any) -> int:
        names = [each.name for each in fields(ResponseOptions)]
        columns = ResponseOptions(**{name: options.pop(name) for name in names})
        return command(source=ResponseSource(sources, columns, skip_bad_rows), **options)

    return with_options(gathered, _RESPONSE_OPTIONS)


def show_source(lines: str, bad_rows: Iterable[BadRow]) -> None:
    """Prints what was read, and the first of the rows that were passed over."""
    click.echo(printable(lines))
    for row in bad_rows:
        click.echo(printable(f"  skipped {row.origin}: {row.reason}"))
