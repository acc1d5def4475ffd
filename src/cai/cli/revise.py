"""`cai revise`: a data set through respond, critique and revise, into a run folder."""

import time
from pathlib import Path

import click
from rich.console import Console

from cai.cli.options.model_options import RevisionModels, with_revision
from cai.cli.options.run_options import (
    as_json,
    counts_as_json,
    echo_json,
    run_folder,
    show_counts,
    with_run_options,
)
from cai.cli.options.source_options import over_prompts, show_source
from cai.constitution.loader import load_constitution
from cai.data.prompts import PromptSource
from cai.engine.engine import run_async
from cai.methods.settings import ReviseSettings
from cai.runs.options import RunOptions
from cai.runs.revise import RevisionJob, run_revision


@click.command(
    epilog="Example: cai revise red-team.jsonl -c harmless -m embedded --rounds 4 -o runs/first"
)
@over_prompts
@with_revision
@run_folder
@with_run_options
@as_json
def revise(
    source: PromptSource,
    models: RevisionModels,
    settings: ReviseSettings,
    constitution: str,
    seed: int,
    out: Path,
    run_options: RunOptions,
    is_json: bool,
) -> int:
    """Respond to each prompt of SOURCES, critique the response and revise it.

    SOURCES are files (.jsonl, .json, .csv, .tsv, .parquet, .txt, also .gz) or hub:OWNER/NAME. The
    same command goes on after an interruption; nothing is asked twice.
    """
    loaded = load_constitution(constitution)
    checked = source.check()  # a broken file is said before a model is loaded
    job = RevisionJob(checked, loaded, models.open(settings), settings, seed)
    began_s = time.monotonic()
    outcome = run_async(run_revision(out, job, run_options, console=Console(stderr=True)))
    if is_json:
        n_bad = outcome.source.n_bad
        echo_json(counts_as_json(outcome, out, n_bad, time.monotonic() - began_s))
    else:
        show_source(outcome.source.describe(), outcome.source.bad_rows)
        show_counts(outcome, out)
        click.echo(f"Next: cai export {out} --format sft -o sft.jsonl")
    return 1 if outcome.counts.failed else 0
