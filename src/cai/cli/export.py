"""`cai export`: the rows that trainers read, from one run or several.

The columns are those of TRL's data set formats, or of other trainers with `--columns`.

Example:
    $ cai export runs/first --format sft -o sft.jsonl
    $ cai export runs/judged --format preference --min-margin 0.1 -o preference.jsonl
"""

from contextlib import ExitStack
from pathlib import Path

import click

from cai.cli.options.data_options import mix_option, with_selection
from cai.cli.options.run_options import echo_json
from cai.cli.options.settings_options import PATH
from cai.cli.tables import printable
from cai.engine.run_folder import RunFolder
from cai.export.formats import COLUMNS, FORMATS, PAIRED, Columns, Format
from cai.export.mix_spec import Mix, Mixing
from cai.export.selection import Selection
from cai.export.writers import SUFFIXES, export_file


@click.command(
    epilog="Example: cai export runs/judged --format preference --min-margin 0.1 "
    "--balance-length -o preference.parquet"
)
@click.argument("runs", type=PATH, nargs=-1, required=True)
@click.option("--format", "format", type=click.Choice(FORMATS), required=True)
@click.option("-o", "--out", type=PATH, required=True, help=f"One of {', '.join(SUFFIXES)}.")
@click.option(
    "--columns", type=click.Choice(COLUMNS), default="trl", help="Column names of this trainer."
)
@with_selection()
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
    columns: Columns,
    selection: Selection,
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
        if selection.sft_share is None and format in ("sft", *PAIRED):
            click.echo(
                "All prompts are in it; --sft-share 0.5 keeps SFT and preference prompts apart."
            )
    return 0
