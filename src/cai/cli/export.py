"""`cai export`: the rows that trainers read, from one run or several.

The columns are those of TRL's data set formats, or of other trainers with `--columns`.

Example:
    $ cai export runs/first --format sft -o sft.jsonl
    $ cai export runs/judged --format preference --min-margin 0.1 -o preference.jsonl
"""

from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import click

from cai.cli.options.run_options import echo_json
from cai.cli.tables import printable
from cai.engine.run_folder import RunFolder
from cai.export.formats import COLUMNS, FORMATS, PAIRED, Columns, Format
from cai.export.mix_spec import Mix, Mixing
from cai.export.selection import LEAST_LIKENESS, MOST_LIKENESS, PairChoice, Selection
from cai.export.writers import SUFFIXES, export_file
from cai.methods.revision_flags import FLAGS, Flag


@click.command(
    epilog="Example: cai export runs/judged --format preference --min-margin 0.1 "
    "--balance-length -o preference.parquet"
)
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--format", "format", type=click.Choice(FORMATS), required=True)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help=f"One of {', '.join(SUFFIXES)}.",
)
@click.option(
    "--columns",
    type=click.Choice(COLUMNS),
    default="trl",
    show_default=True,
    help="The trainer whose column names are used.",
)
@click.option(
    "--sft-share",
    type=click.FloatRange(0, 1),
    help="Split the prompts: this share of them to SFT, the others to preferences. Which is which "
    "depends on the prompt alone.",
)
@click.option("--all-rounds", is_flag=True, help="An SFT row for the revision of every round.")
@click.option(
    "--drop",
    "drops",
    type=click.Choice(FLAGS),
    multiple=True,
    help="Also drop chains whose last revision has this flag.",
)
@click.option(
    "--pairs",
    type=click.Choice(get_args(PairChoice)),
    default="best-worst",
    show_default=True,
    help="Of judged responses: best over worst, every matchup, or one matchup a prompt.",
)
@click.option(
    "--min-margin",
    type=click.FloatRange(0, 0.5),
    default=0.0,
    show_default=True,
    help="Leave out judged pairs whose probability is nearer to one half.",
)
@click.option(
    "--keep-inconsistent", is_flag=True, help="Include pairs on which the two orders disagree."
)
@click.option(
    "--balance-length",
    is_flag=True,
    help="Drop the least certain pairs until the chosen response is as often the longer as the "
    "shorter one.",
)
@click.option(
    "--drop-near-duplicates",
    "near_duplicates",
    type=click.FloatRange(LEAST_LIKENESS, MOST_LIKENESS),
    is_flag=False,
    flag_value=0.8,
    metavar="[LIKENESS]",
    help="Drop rows that share this much of their word triples with an earlier one; 0.8 when no "
    "number is given.",
)
@click.option(
    "--min-score",
    type=click.FloatRange(-1, 1),
    default=0.0,
    show_default=True,
    help="Of scored responses: from this score on they are good.",
)
@click.option(
    "--mix",
    "mixes",
    multiple=True,
    metavar="FILE[:weight=0.3][:count=5000][:confidence=0.9]",
    help="Mix in rows of a file or hub data set: all, a share of the mixed rows, or a number. "
    "confidence: the probability of its labels where a row has none. FILE:helpfulness takes the "
    "paper's share.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which rows of a mix.")
@click.option(
    "--skip-bad-rows", is_flag=True, help="Count rows of a mix that cannot be used, and go on."
)
@click.option("--json", "is_json", is_flag=True, help="The counts as one JSON object.")
def export(
    runs: tuple[Path, ...],
    format: Format,
    out: Path,
    columns: Columns,
    sft_share: float | None,
    all_rounds: bool,
    drops: tuple[Flag, ...],
    pairs: PairChoice,
    min_margin: float,
    keep_inconsistent: bool,
    balance_length: bool,
    near_duplicates: float | None,
    min_score: float,
    mixes: tuple[str, ...],
    seed: int,
    skip_bad_rows: bool,
    is_json: bool,
) -> int:
    """Write the rows of one format from the run folders RUNS into one file.

    sft: prompt, completion. preference and reward: prompt, chosen, rejected, and the judge's
    probability. kto: prompt, completion, label. prompts: prompt. everything: every step, and the
    failures.

    A revision run gives its revisions, chosen over the first responses. A judged run gives what its
    verdicts favour, a run of samples its responses, and a run of scores those that score well.

    Dropped rows are counted by their reason: failures and verdicts that could not be read, ties,
    orders that disagree, texts that are empty, equal, cut off or a critique.

    --mix adds rows of other files, such as people's preferences: what the format needs,
    in any of the columns that `cai judge` and `cai score` read. Each row says where it is from.
    """
    selection = Selection(
        drops=Selection().drops.union(drops),
        all_rounds=all_rounds,
        sft_share=sft_share,
        pairs=pairs,
        min_margin=min_margin,
        keeps_inconsistent=keep_inconsistent,
        balances_length=balance_length,
        near_duplicates=near_duplicates,
        min_score=min_score,
    )
    mixing = Mixing(tuple(map(Mix.parse, mixes)), seed, skip_bad_rows)
    # all runs are opened before a row is written: a wrong name among them leaves no half file
    with ExitStack() as opened:
        folders = [opened.enter_context(RunFolder.existing(run)) for run in runs]
        summary = export_file(folders, format, out, selection, columns, mixing)
    if is_json:
        echo_json({"file": str(out), "columns": columns, **summary.as_json()})
    else:
        click.echo(printable(f"{out}: {summary.describe()}"))
        # trained twice on one prompt, a policy is rewarded for what it learned by heart
        if sft_share is None and format in ("sft", *PAIRED):
            click.echo(
                "All prompts are in it; --sft-share 0.5 keeps SFT and preference prompts apart."
            )
    return 0
