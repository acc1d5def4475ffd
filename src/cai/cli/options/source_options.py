"""What a command reads, as its arguments and options: prompts, groups to judge, or responses."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import wraps
from typing import Any

import click

from cai.cli.options.run_options import with_options
from cai.cli.tables import printable
from cai.data.pair_columns import PairOptions
from cai.data.prompts import PromptSource
from cai.data.responses import ResponseOptions
from cai.data.source import BadRow
from cai.runs.inputs import GroupSource, ResponseSource

Command = Callable[..., int]


def _label_values(
    _: click.Context, param: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    return None if value is None else tuple(part.strip() for part in value.split(","))


_SKIP = click.option(
    "--skip-bad-rows", is_flag=True, help="Count rows that cannot be used, and go on."
)
_TAGS = click.option(
    "--tag-column",
    "tag_columns",
    multiple=True,
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


def _over(
    click_options: Sequence[Callable[[Command], Command]],
    make: Callable[[tuple[str, ...], dict[str, Any]], object],
) -> Callable[[Command], Command]:
    """Gives a command the argument SOURCES and these options, as one value: `source`."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_source(sources: tuple[str, ...], **options: Any) -> int:
            return command(source=make(sources, options), **options)

        return with_options(with_source, click_options)

    return decorate


def _prompts(sources: tuple[str, ...], options: dict[str, Any]) -> PromptSource:
    names = ("column", "id_column", "skip_bad_rows")
    return PromptSource(sources, **{name: options.pop(name) for name in names})


def _groups(sources: tuple[str, ...], options: dict[str, Any]) -> GroupSource:
    columns = {each.name: options.pop(each.name) for each in fields(PairOptions)}
    return GroupSource(sources, PairOptions(**columns), options.pop("skip_bad_rows"))


def _responses(sources: tuple[str, ...], options: dict[str, Any]) -> ResponseSource:
    columns = {each.name: options.pop(each.name) for each in fields(ResponseOptions)}
    return ResponseSource(sources, ResponseOptions(**columns), options.pop("skip_bad_rows"))


over_prompts = _over(_PROMPT_OPTIONS, _prompts)
over_groups = _over(_GROUP_OPTIONS, _groups)
over_responses = _over(_RESPONSE_OPTIONS, _responses)


def show_source(lines: str, bad_rows: Iterable[BadRow]) -> None:
    """Prints what was read, and the first of the rows that were passed over."""
    click.echo(printable(lines))
    for row in bad_rows:
        click.echo(printable(f"  skipped {row.origin}: {row.reason}"))
