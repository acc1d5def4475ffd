"""`cai export`: the rows that trainers read, from one run or several.

The rows have the form that TRL reads, or with `--for` another trainer.

Example:
    $ cai export runs/first --format sft -o sft.jsonl
    $ cai export runs/judged --format preference --for llamafactory -o data/preference.jsonl
"""

from contextlib import ExitStack
from pathlib import Path

import click

from cai.cli.options.data_options import mix_option, with_selection
from cai.cli.options.run_options import echo_json
from cai.cli.options.settings_options import PATH
from cai.cli.tables import printable
from cai.engine.run_folder import RunFolder
from cai.export.formats import FORMATS, PAIRED, SUFFIXES, Format
from cai.export.mix_spec import Mix, Mixing
from cai.export.selection import Selection
from cai.export.trainers.table import DEFAULT, TRAINERS
from cai.export.writers import export_file
from cai.runs.divided import check_parts

# What each trainer reads, where that is not all.
_READERS = "; ".join(
    f"{name} reads {', '.join(each.row_types)}"
    for name, each in TRAINERS.items()
    if set(each.row_types) != set(TRAINERS[DEFAULT].row_types)
)


@click.command(
    epilog="Example: cai export runs/judged --format preference --min-margin 0.1 "
    "--for axolotl -o preference.parquet"
)
@click.argument("runs", type=PATH, nargs=-1, required=True)
@click.option("--format", "format", type=click.Choice(FORMATS), required=True)
@click.option("-o", "--out", type=PATH, required=True, help=f"One of {', '.join(SUFFIXES)}.")
@click.option(
    "--for",
    "trainer",
    type=click.Choice(tuple(TRAINERS)),
    default=DEFAULT,
    help=f"The trainer that reads the rows. {_READERS}.",
)
@with_selection()
@click.option(
    "--partial",
    "is_partial",
    is_flag=True,
    help="Of a divided run also when parts are missing or unfinished.",
)
@mix_option
@click.option("--seed", type=int, default=0, help="Which rows of a mix.")
@click.option(
    "--skip-bad-rows", is_flag=True, help="Count rows of a mix that cannot be used, and go on."
)
@click.option("--json", "is_json", is_flag=True, help="The counts as one JSON object.")
def export(
    runs: tuple[Path, ...],
    format: Format,
    out: Path,
    trainer: str,
    selection: Selection,
    is_partial: bool,
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
    verdicts favour, a run of samples its responses, and a run of scores those that score well, and
    of several to one prompt the best over the worst.

    Dropped rows are counted by their reason: failures and verdicts that could not be read, ties,
    orders that disagree, texts that are empty, equal, cut off or a critique.

    --for gives the rows the form that another trainer reads, and writes the configuration that it
    needs beside the file.

    --mix adds rows of other files, such as people's preferences: what the format needs,
    in any of the columns that `cai judge` and `cai score` read. Each row says where it is from.
    """
    mixing = Mixing(tuple(map(Mix.parse, mixes)), seed, skip_bad_rows)
    # all runs are opened before a row is written: a wrong name among them leaves no half file
    with ExitStack() as opened:
        folders = [opened.enter_context(RunFolder.existing(run)) for run in runs]
        if not is_partial:
            check_parts(folders, "Name all parts, finished, or pass --partial for the rest.")
        summary = export_file(folders, format, out, selection, trainer, mixing)
    if is_json:
        echo_json({"file": str(out), "for": trainer, **summary.as_json()})
    else:
        click.echo(printable(f"{out}: {summary.describe()}"))
        if summary.config_files:
            click.echo(printable(f"With it: {', '.join(map(str, summary.config_files))}"))
        if summary.n_earlier_turns:
            click.echo(
                f"WARNING: {TRAINERS[trainer].title} trains on every turn of the assistant, and in "
                f"{summary.n_earlier_turns} of the rows the prompt has earlier ones, which nobody "
                "revised."
            )
        # trained twice on one prompt, a policy is rewarded for what it learned by heart
        if selection.sft_share is None and format in ("sft", *PAIRED):
            click.echo(
                "All prompts are in it; --sft-share 0.5 keeps SFT and preference prompts apart."
            )
    return 0
