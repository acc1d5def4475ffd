"""What commands read, and which rows of a run are exported or trained on, as options.

Example:
    @click.command()
    @over_prompts
    def revise(source: PromptSource) -> int: ...

    @click.command()
    @with_selection("pairs", "balances_length")
    def dpo(selection: Selection) -> int: ...
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any, get_args

import click

from cai.cli.options.settings_options import Decorator, with_object
from cai.cli.tables import printable
from cai.constitution.schema import Compose
from cai.data.pair_options import PairOptions
from cai.data.prompts import PromptSource
from cai.data.responses import ResponseOptions
from cai.data.roles import RoleNames
from cai.data.source import BadRow
from cai.export.selection import MAX_SIMILARITY, MIN_SIMILARITY, PairChoice, Selection
from cai.methods.revision_flags import FLAGS, Flag
from cai.runs.inputs import GroupSource, ResponseSource
from cai.types import MessageRole


def _label_values(_: object, __: object, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(part.strip() for part in value.split(","))


def _role_names(_: object, __: object, values: Sequence[str]) -> RoleNames:
    names: list[tuple[str, MessageRole]] = []
    for value in values:
        name, _, role = value.rpartition("=")
        if not name.strip() or role not in ("system", "user", "assistant"):
            raise click.BadParameter(
                f"{value!r} names no role. Write NAME=user, NAME=assistant or NAME=system."
            )
        names.append((name.strip(), role))
    return tuple(names)


# A bad row is an error by default: skipped rows silently change what a figure is of.
_SKIP = click.option(
    "--skip-bad-rows", is_flag=True, help="Skip and count rows that cannot be used."
)
_TAGS = click.option(
    "--tag-column", "tag_columns", multiple=True, help="A column to count by; else detected."
)
_ROLES = click.option(
    "--role",
    "roles",
    multiple=True,
    callback=_role_names,
    metavar="NAME=ROLE",
    help="What a name of a role in the files stands for: user, assistant or system.",
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
        "source", make, ["sources", "skip_bad_rows", *names], [*options, _TAGS, _ID, _ROLES, _SKIP]
    )


over_prompts = with_object(
    "source",
    PromptSource,
    [each.name for each in fields(PromptSource)],
    [
        click.argument("files", nargs=-1, required=True, metavar="SOURCES..."),
        click.option("--column", help="The column with the prompt; detected when not named."),
        _ID,
        _ROLES,
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


compose_option = click.option(
    "--compose",
    type=click.Choice(get_args(Compose)),
    help="How the principles of a judged pair become one probability; the run's way by default. No "
    "call is made.",
)

# Options by the field of `Selection` that they set, in the order of the help.
_OPTIONS: dict[str, Decorator] = {
    "sft_share": click.option(
        "--sft-share",
        type=click.FloatRange(0, 1),
        help="Split the prompts: this share of them to SFT, the others to preferences. Which is "
        "which depends on the prompt alone.",
    ),
    "all_rounds": click.option(
        "--all-rounds", is_flag=True, help="An SFT row for the revision of every round."
    ),
    "drops": click.option(
        "--drop",
        "drops",
        type=click.Choice(FLAGS),
        multiple=True,
        help="Also drop chains whose last revision has this flag.",
    ),
    "pairs": click.option(
        "--pairs",
        type=click.Choice(get_args(PairChoice)),
        default="best-worst",
        help="Of judged responses: best over worst, every matchup, or one matchup a prompt.",
    ),
    "min_margin": click.option(
        "--min-margin",
        type=click.FloatRange(0, 0.5),
        default=0.0,
        help="Drop judged pairs whose probability is nearer to one half.",
    ),
    "includes_inconsistent": click.option(
        "--keep-inconsistent",
        "includes_inconsistent",
        is_flag=True,
        help="Include pairs on which the two orders disagree.",
    ),
    "balances_length": click.option(
        "--balance-length",
        "balances_length",
        is_flag=True,
        help="Drop the least certain pairs until the chosen response is as often the longer as "
        "the shorter one.",
    ),
    "near_duplicates": click.option(
        "--drop-near-duplicates",
        "near_duplicates",
        type=click.FloatRange(MIN_SIMILARITY, MAX_SIMILARITY),
        is_flag=False,
        flag_value=0.8,
        metavar="[LIKENESS]",
        help="Drop rows that share this much of their word triples with an earlier one; 0.8 when "
        "no number is given.",
    ),
    "compose": compose_option,
    "min_score": click.option(
        "--min-score",
        type=click.FloatRange(-1, 1),
        default=0.0,
        help="Of scored responses: from this score on they are good.",
    ),
}

mix_option = click.option(
    "--mix",
    "mixes",
    multiple=True,
    metavar="FILE[:weight=0.3][:count=5000][:confidence=0.9]",
    help="Mix in rows of a file or hub data set: all, a share of the mixed rows, or a number. "
    "confidence: the probability of its labels where a row has none. FILE:helpfulness takes the "
    "paper's share.",
)


def with_selection(*names: str) -> Decorator:
    """Gives a command `selection`, with the options of these fields; without names, of all."""

    def make(drops: Iterable[Flag] = (), **values: Any) -> Selection:
        # chains that are dropped by default stay dropped: --drop adds flags to those
        return Selection(drops=Selection().drops.union(drops), **values)

    chosen = names or tuple(_OPTIONS)
    return with_object("selection", make, chosen, [_OPTIONS[name] for name in chosen])
