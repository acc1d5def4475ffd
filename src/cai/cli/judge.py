"""`cai judge`: which of several responses keeps a constitution better, into a run folder."""

import time
from pathlib import Path
from typing import get_args

import click
from rich.console import Console

from cai.cli.options.judge_options import open_judges, with_judges
from cai.cli.options.run_options import (
    as_json,
    counts_as_json,
    echo_json,
    run_folder,
    show_counts,
    with_run_options,
)
from cai.cli.options.source_options import over_groups, show_source
from cai.constitution.loader import load_constitution
from cai.engine.engine import run_async
from cai.methods.judging.pairwise import check_judging
from cai.methods.judging.ranking import Pairing
from cai.methods.judging.verdict import Outcome
from cai.methods.settings import JudgeSettings
from cai.runs.inputs import GroupSource
from cai.runs.judge import JudgeJob, JudgeOutcome, VerdictTally, run_judging
from cai.runs.options import RunOptions


@click.command(
    epilog="Example: cai judge runs/samples -c harmless -m openai:MODEL@http://localhost:8000/v1 "
    "--rationale -o runs/judged"
)
@with_judges()
@click.option(
    "--pairing",
    type=click.Choice(get_args(Pairing)),
    default="all",
    show_default=True,
    help="Which pairs of several responses meet.",
)
@run_folder
@over_groups
@with_run_options
@as_json
def judge(
    source: GroupSource,
    judges: tuple[str, ...],
    constitution: str,
    settings: JudgeSettings,
    seed: int,
    pairing: Pairing,
    out: Path,
    run_options: RunOptions,
    is_json: bool,
) -> int:
    """Judge the responses of a run or of pair files, in both orders, under each principle.

    RUN_OR_PAIRS are folders of `cai sample` or `cai revise` (each revision against its original),
    or files of pairs, with people's labels or without: chosen and rejected, response_a and
    response_b, output_1 and output_2, and other forms, found by their columns.
    """
    loaded = load_constitution(constitution)
    checked = source.check()  # a broken file is said before a model is loaded
    check_judging(settings, loaded)
    job = JudgeJob(checked, loaded, open_judges(judges, settings), settings, pairing, seed)
    began_s = time.monotonic()
    outcome = run_async(run_judging(out, job, run_options, console=Console(stderr=True)))
    if is_json:
        echo_json(_as_json(outcome, out, time.monotonic() - began_s))
    else:
        _show(outcome, out)
    return 1 if outcome.run.counts.failed else 0


def _show(outcome: JudgeOutcome, out: Path) -> None:
    source, tally = outcome.run.source, outcome.verdicts
    show_source(source.describe(), source.bad_rows)
    show_counts(outcome.run, out)
    counts = ", ".join(f"{tally.outcomes[each]:,} {each}" for each in get_args(Outcome))
    click.echo(f"{tally.n:,} comparisons: {counts}")
    click.echo(_sureness(tally))
    tokens, new = tally.usage, outcome.run.usage
    click.echo(
        f"tokens: {tokens.prompt_tokens:,} in, {tokens.completion_tokens:,} out; of them "
        f"{new.prompt_tokens:,} and {new.completion_tokens:,} this time"
    )
    click.echo(f"Next: cai audit {out}")
    click.echo(f"      cai export {out} --format preference -o preference.jsonl")
    if tally.n_labelled:
        click.echo(f"      cai agreement {out}")


def _sureness(tally: VerdictTally) -> str:
    flips = f"flips with the order: {tally.n_flips:,} of {tally.n_both:,} questions"
    if tally.n_both:
        flips += f" ({tally.n_flips / tally.n_both:.1%})"
    if tally.mean_margin is None:
        return flips
    return f"{flips}; mean distance from even: {tally.mean_margin:.3f}"


def _as_json(outcome: JudgeOutcome, out: Path, seconds: float) -> dict[str, object]:
    source, tally = outcome.run.source, outcome.verdicts
    return {
        **counts_as_json(outcome.run, out, source.n_bad, seconds),
        "skipped": dict(source.skipped),
        "responses_left_out": dict(source.left_out),
        "labelled": tally.n_labelled,
        "comparisons": tally.n,
        "outcomes": {each: tally.outcomes[each] for each in get_args(Outcome)},
        "flips": tally.n_flips,
        "questions_in_both_orders": tally.n_both,
        "mean_margin": tally.mean_margin,
        "prompt_tokens": tally.usage.prompt_tokens,
        "completion_tokens": tally.usage.completion_tokens,
    }
