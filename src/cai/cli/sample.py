"""`cai sample`: several responses to each prompt, into a run folder."""

import time
from pathlib import Path

import click
from rich.console import Console

from cai.cli.options.model_options import sampling_of, templates_for
from cai.cli.options.run_options import (
    as_json,
    counts_as_json,
    echo_json,
    paced,
    run_folder,
    show_counts,
)
from cai.cli.options.source_options import over_prompts, show_source
from cai.data.prompts import PromptSource
from cai.engine.engine import run_async
from cai.methods.roles import Speaker
from cai.models.registry import SCHEMES, open_model
from cai.runs.options import Pace
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
@click.option(
    "-k", type=click.IntRange(1), default=4, show_default=True, help="Responses of each policy."
)
@click.option(
    "--temperature",
    "temperatures",
    type=float,
    multiple=True,
    default=[1.0],
    show_default=True,
    help="Several: every model is a policy at every one of them.",
)
@click.option("--top-p", type=float, default=1.0, show_default=True)
@click.option("--top-k", type=int, default=0, show_default=True, help="0 is off.")
@click.option("--max-tokens", type=int, default=512, show_default=True, help="Of each response.")
@click.option("--prompts", "templates", help="Template set, or a folder of your own templates.")
@click.option("--seed", type=int, default=0, show_default=True)
@run_folder
@paced
@as_json
def sample(
    source: PromptSource,
    models: tuple[str, ...],
    k: int,
    temperatures: tuple[float, ...],
    top_p: float,
    top_k: int,
    max_tokens: int,
    templates: str | None,
    seed: int,
    out: Path,
    pace: Pace,
    is_json: bool,
) -> int:
    """Give each prompt of SOURCES k responses of every policy.

    SOURCES are as for `cai revise`. Every response has a seed of its own; the same command goes on
    after an interruption, and nothing is asked twice.
    """
    samplings = [sampling_of(each, top_p, top_k, max_tokens) for each in temperatures]
    checked = source.check()  # a broken file is said before a model is loaded
    opened = [open_model(name) for name in dict.fromkeys(models)]
    policies = tuple(
        Speaker(model, templates_for(model, templates), sampling)
        for model in opened
        for sampling in samplings
    )
    job = SampleJob(checked, policies, k, seed)
    began_s = time.monotonic()
    outcome = run_async(run_sampling(out, job, pace, console=Console(stderr=True)))
    if is_json:
        n_bad = outcome.source.n_bad
        echo_json(counts_as_json(outcome, out, n_bad, time.monotonic() - began_s))
    else:
        show_source(outcome.source.describe(), outcome.source.bad_rows)
        show_counts(outcome, out)
        click.echo(f"Next: cai judge {out} -c harmless -m MODEL -o {out}-judged")
    return 1 if outcome.counts.failed else 0
