"""`cai sample`: several responses to each prompt, into a run folder."""

import time
from pathlib import Path

import click
from rich.console import Console

from cai.cli.options.judge_options import seed_option
from cai.cli.options.run_options import (
    as_json,
    counts_as_json,
    echo_json,
    run_folder,
    show_counts,
    with_run_options,
)
from cai.cli.options.settings_options import with_settings
from cai.cli.options.source_options import over_prompts, show_source
from cai.data.prompts import PromptSource
from cai.engine.engine import run_async
from cai.methods.settings import SampleSettings
from cai.models.registry import SCHEMES, open_model
from cai.runs.options import RunOptions
from cai.runs.sample import SampleJob, run_sampling


@click.command(
    epilog="Example: cai sample prompts.jsonl -m embedded -k 4 --temperature 0.7 "
    "--temperature 1.0 -o runs/samples"
)
@over_prompts
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    required=True,
    help=f"A policy; repeatable: {SCHEMES}.",
)
@with_settings(SampleSettings)
@seed_option
@run_folder
@with_run_options
@as_json
def sample(
    source: PromptSource,
    models: tuple[str, ...],
    settings: SampleSettings,
    seed: int,
    out: Path,
    run_options: RunOptions,
    is_json: bool,
) -> int:
    """Give each prompt of SOURCES k responses of every policy.

    SOURCES are as for `cai revise`. Every response has a seed of its own; the same command goes on
    after an interruption, and nothing is asked twice.
    """
    checked = source.check()  # a broken file is said before a model is loaded
    opened = [open_model(name) for name in dict.fromkeys(models)]
    policies = tuple(
        settings.role_model(model, temperature)
        for model in opened
        for temperature in settings.temperatures
    )
    job = SampleJob(checked, policies, settings.k, seed)
    began_s = time.monotonic()
    outcome = run_async(run_sampling(out, job, run_options, console=Console(stderr=True)))
    if is_json:
        n_bad = outcome.source.n_bad
        echo_json(counts_as_json(outcome, out, n_bad, time.monotonic() - began_s))
    else:
        show_source(outcome.source.describe(), outcome.source.bad_rows)
        show_counts(outcome, out)
        click.echo(f"Next: cai judge {out} -c harmless -m MODEL -o {out}-judged")
    return 1 if outcome.counts.failed else 0
