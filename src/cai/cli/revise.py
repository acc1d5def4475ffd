"""`cai revise`: a data set through respond, critique and revise, into a run folder."""

import asyncio
import json
import time
from pathlib import Path

import click
from rich.console import Console

from cai.cli.console import printable
from cai.cli.speaking import Voices, speaking
from cai.constitution.loading import load_constitution
from cai.jobs import Outcome, Pace, PromptSource, RevisionJob, run_revision
from cai.revision import RevisionPlan


@click.command(
    epilog="Example: cai revise red-team.jsonl -c harmless -m embedded --rounds 4 -o runs/first"
)
@click.argument("sources", nargs=-1, required=True)
@speaking
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Run folder.")
@click.option("--column", help="The column with the prompt; found when not named.")
@click.option("--id-column", help="The column with the id; found or derived when not named.")
@click.option("--skip-bad-rows", is_flag=True, help="Count rows that are no prompts, and go on.")
@click.option("--limit", type=click.IntRange(1), help="Only the first prompts of the source.")
@click.option("--concurrency", type=click.IntRange(1, 4096), default=64, show_default=True)
@click.option("--retry-failed", is_flag=True, help="Do failed examples again, whatever the cause.")
@click.option("--json", "is_json", is_flag=True, help="The outcome as one JSON object.")
def revise(
    sources: tuple[str, ...],
    voices: Voices,
    plan: RevisionPlan,
    constitution: str,
    seed: int,
    out: Path,
    column: str | None,
    id_column: str | None,
    skip_bad_rows: bool,
    limit: int | None,
    concurrency: int,
    retry_failed: bool,
    is_json: bool,
) -> int:
    """Respond to each prompt of SOURCES, critique the response and revise it.

    SOURCES are files (.jsonl, .json, .csv, .tsv, .parquet, .txt, also .gz) or hub:OWNER/NAME. The
    same command goes on after an interruption; nothing is asked twice.
    """
    source = PromptSource(sources, column, id_column, skip_bad_rows)
    loaded = load_constitution(constitution)
    source.check()  # a broken file is said before a model is loaded
    job = RevisionJob(source, loaded, voices.open(), plan, seed)
    pace = Pace(concurrency, limit, retry_failed)
    began_s = time.monotonic()
    outcome = asyncio.run(run_revision(out, job, pace, console=Console(stderr=True)))
    if is_json:
        click.echo(json.dumps(_as_json(outcome, out, time.monotonic() - began_s)))
    else:
        _show(outcome, out)
    return 1 if outcome.counts.failed else 0


def _show(outcome: Outcome, out: Path) -> None:
    click.echo(printable(outcome.source.describe()))
    for row in outcome.source.bad_rows:
        click.echo(printable(f"  skipped {row.origin}: {row.reason}"))
    counts = outcome.counts
    click.echo(
        f"{out}: {counts.done} done, {counts.failed} failed; {outcome.n_calls} calls made, "
        f"{outcome.n_from_journal} from the journal"
    )
    if counts.failed:
        click.echo(f"See the failures: cai export {out} --format everything -o all.jsonl")
    click.echo(f"Next: cai export {out} --format sft -o sft.jsonl")


def _as_json(outcome: Outcome, out: Path, seconds: float) -> dict[str, object]:
    return {
        "run": str(out),
        "done": outcome.counts.done,
        "failed": outcome.counts.failed,
        "flagged": outcome.n_flagged,
        "calls": outcome.n_calls,
        "calls_from_journal": outcome.n_from_journal,
        "bad_rows": outcome.source.n_bad,
        "seconds": round(seconds, 1),
    }
