"""`cai export`: the rows that trainers read, from a run."""

import json
from pathlib import Path

import click

from cai.engine.run_folder import RunFolder
from cai.export import FORMATS, SUFFIXES, Format, Selection, export_file
from cai.revision_flags import FLAGS, Flag


@click.command(
    epilog="Example: cai export runs/first --format sft --sft-share 0.5 -o sft.jsonl, then "
    "cai export runs/first --format preference --sft-share 0.5 -o preference.parquet"
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "format", type=click.Choice(FORMATS), required=True)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help=f"One of {', '.join(SUFFIXES)}.",
)
@click.option(
    "--sft-share",
    type=click.FloatRange(0, 1),
    help="Keep SFT and preference prompts apart: this share of them to SFT, the others to "
    "preferences. Which is which depends on the prompt alone.",
)
@click.option("--all-rounds", is_flag=True, help="An SFT row for the revision of every round.")
@click.option(
    "--drop",
    "drops",
    type=click.Choice(FLAGS),
    multiple=True,
    help="Also leave out chains whose last revision has this flag.",
)
@click.option("--json", "is_json", is_flag=True, help="The counts as one JSON object.")
def export(
    run: Path,
    format: Format,
    out: Path,
    sft_share: float | None,
    all_rounds: bool,
    drops: tuple[Flag, ...],
    is_json: bool,
) -> int:
    """Write the rows of one format from the run folder RUN.

    sft: prompt, completion. preference: prompt, chosen (the last revision), rejected (the first
    response). prompts: prompt. everything: every step, and the failures.

    Chains that ended empty, with a critique in place of a revision, or cut off are left out and
    counted, and so are pairs whose two sides are equal.
    """
    chosen = Selection(Selection().drops.union(drops), all_rounds, sft_share)
    with RunFolder.existing(run) as folder:
        summary = export_file(folder, format, out, chosen)
    if is_json:
        counts = {"format": format, "rows": summary.n_rows, "left_out": dict(summary.dropped)}
        click.echo(json.dumps({"file": str(out), **counts}))
        return 0
    click.echo(f"{out}: {summary.describe()}")
    if format in ("sft", "preference") and sft_share is None:
        click.echo("All prompts are in it; --sft-share 0.5 keeps SFT and preference prompts apart.")
    return 0
