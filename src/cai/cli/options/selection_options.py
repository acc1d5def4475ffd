"""Which rows of a run are exported or trained on, as options of `cai export` and `cai train`.

Example:
    @click.command()
    @with_selection("pairs", "balances_length")
    def dpo(selection: Selection) -> int: ...
"""

from collections.abc import Iterable
from typing import Any, get_args

import click

from cai.cli.options.settings_options import Decorator, with_object
from cai.export.selection import MAX_SIMILARITY, MIN_SIMILARITY, PairChoice, Selection
from cai.methods.revision_flags import FLAGS, Flag

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
