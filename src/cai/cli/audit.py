"""`cai audit`: the habits of the judge of a judged run."""

import json
from pathlib import Path

import click
from rich.console import Console

from cai.cli.audit_table import show_audit
from cai.engine.storage.run_folder import RunFolder
from cai.evaluation.audit import audit as audit_judged
from cai.judging.ranking import Judged
from cai.records.bodies import read_done
from cai.records.recipes import JudgeRecipe, recipe_as


@click.command(epilog="Example: cai audit runs/judged")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--seed", type=int, default=0, show_default=True, help="Of the intervals.")
@click.option("--json", "is_json", is_flag=True, help="The report as one JSON object.")
def audit(run: Path, seed: int, is_json: bool) -> int:
    """Show what the judge of the run folder RUN does with places, lengths and its own responses.

    Position flips, wins of the longer response, self-preference, unreadable verdicts, and which
    principles decide, repeat each other or contradict. Needs no labels and makes no calls. A judge
    that is the policy, or of its family, is said first and loudly.
    """
    with RunFolder.existing(run) as folder:
        recipe = recipe_as(folder, JudgeRecipe)
        judged = (each for _, each in read_done(folder, Judged))
        report = audit_judged(judged, recipe, n_failed=folder.counts().failed, seed=seed)
    if is_json:
        click.echo(json.dumps(report.as_json()))
    else:
        show_audit(report, Console())
    return 0
