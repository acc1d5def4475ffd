"""`cai score`: how well each response keeps each principle, into a run folder."""

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
from cai.cli.options.source_options import over_responses, show_source
from cai.constitution.loader import load_constitution
from cai.engine.engine import run_async
from cai.methods.judging.pointwise import ScoreOutcome, check_scoring
from cai.methods.settings import ScoreSettings
from cai.runs.inputs import ResponseSource
from cai.runs.options import RunOptions
from cai.runs.score import ScoreJob, ScoringOutcome, run_scoring


@click.command(
    epilog="Example: cai score runs/first -c harmless -m embedded --kind check -o runs/scored"
)
@with_judges(ScoreSettings)
@run_folder
@over_responses
@with_run_options
@as_json
def score(
    source: ResponseSource,
    judges: tuple[str, ...],
    constitution: str,
    settings: ScoreSettings,
    seed: int,
    out: Path,
    run_options: RunOptions,
    is_json: bool,
) -> int:
    """Score each response of a run or of files under each principle, from −1 to 1.

    RUN_OR_RESPONSES are folders of `cai sample` (every response) or `cai revise` (the last text),
    or files with a prompt and a response in each row.
    """
    loaded = load_constitution(constitution)
    checked = source.check()  # a broken file is said before a model is loaded
    check_scoring(settings, loaded)
    job = ScoreJob(checked, loaded, open_judges(judges, settings), settings, seed)
    began_s = time.monotonic()
    outcome = run_async(run_scoring(out, job, run_options, console=Console(stderr=True)))
    if is_json:
        echo_json(_as_json(outcome, out, time.monotonic() - began_s))
    else:
        _show(outcome, out)
    return 1 if outcome.run.counts.failed else 0


def _show(outcome: ScoringOutcome, out: Path) -> None:
    source, tally = outcome.run.source, outcome.scores
    show_source(source.describe(), source.bad_rows)
    show_counts(outcome.run, out)
    counts = ", ".join(f"{tally.outcomes[each]:,} {each}" for each in get_args(ScoreOutcome))
    click.echo(f"{tally.n:,} scores: {counts}")
    click.echo("mean score, from -1 to 1:")
    width = max((len(id) for id in tally.means), default=0)
    for id, mean in tally.means.items():
        click.echo(f"  {id:{width}}  {'none' if mean is None else f'{mean:+.3f}'}")
    click.echo(f"Next: cai export {out} --format everything -o scores.jsonl")


def _as_json(outcome: ScoringOutcome, out: Path, seconds: float) -> dict[str, object]:
    source, tally = outcome.run.source, outcome.scores
    return {
        **counts_as_json(outcome.run, out, source.n_bad, seconds),
        "skipped": dict(source.skipped),
        "scores": tally.n,
        "outcomes": {each: tally.outcomes[each] for each in get_args(ScoreOutcome)},
        "mean_by_principle": dict(tally.means),
        "prompt_tokens": tally.usage.prompt_tokens,
        "completion_tokens": tally.usage.completion_tokens,
    }
