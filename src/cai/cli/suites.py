"""`cai suites`: standard suites of questions and prompts, put to policies."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from cai.arena.accounts import Accounts
from cai.arena.entrants import Entrant, open_entrants, parse_entrants
from cai.cli.judging_options import JudgeChoice, check_both_named, checking_if_named
from cai.cli.pacing import as_json, echo_json, paced, run_folder
from cai.cli.speaking import sampling_of
from cai.cli.suites_table import show_suites
from cai.constitution.loading import load_constitution
from cai.drawing import candidates
from cai.engine.loop import run_async
from cai.errors import UsageError
from cai.evaluation.kept import keep
from cai.jobs.pace import Pace
from cai.jobs.probing import Verdicts
from cai.judging.scoring import ScorePlan
from cai.suites.files import open_suites
from cai.suites.responding import SuiteJudging
from cai.suites.running import (
    FILE,
    FOLDER,
    NamedPolicy,
    SuitePlan,
    SuitesFound,
    check_suites,
    run_suites,
)


@click.command(
    epilog="Example: cai suites hhh.jsonl xstest_prompts.csv -p before=embedded "
    "-p after=hf:models/rl -o runs/suites"
)
@click.argument("files", nargs=-1, required=True, metavar="FILE[:KIND]...")
@click.option(
    "-p",
    "--policy",
    "policies",
    multiple=True,
    required=True,
    metavar="[NAME=]MODEL",
    help="A model or a checkpoint; the last is compared with the first.",
)
@checking_if_named
@click.option("--temperature", type=float, default=0.0, show_default=True, help="Of responses.")
@click.option(
    "--response-tokens",
    type=click.IntRange(1),
    default=512,
    show_default=True,
    help="At most, each.",
)
@click.option(
    "--choices",
    type=click.Choice(["auto", "logprobs", "parsed"]),
    default="auto",
    show_default=True,
    help="How choices of policies are read: as --verdicts of judges.",
)
@run_folder
@paced
@as_json
def suites(
    files: tuple[str, ...],
    policies: tuple[str, ...],
    judges: JudgeChoice,
    plan: ScorePlan,
    constitution: str | None,
    verdicts: Verdicts,
    seed: int,
    temperature: float,
    response_tokens: int,
    choices: Verdicts,
    out: Path,
    pace: Pace,
    is_json: bool,
) -> int:
    """Put standard suites to policies: accuracy, behaviours, refusals, what judges say.

    FILES are those of the suites as they are published; the kind is seen by the columns, or said
    behind a colon. With -m and -c judges check the responses to open prompts, and mark those to
    MT-Bench. The same command goes on after an interruption.
    """
    named = parse_entrants(policies)
    check_both_named(judges, constitution)
    opened = open_suites(files)
    check_suites(opened)
    judging = None
    if constitution is not None:
        loaded = load_constitution(constitution)
        candidates(loaded, plan.tags)
        judging = SuiteJudging(loaded, judges.open(), plan, verdicts)
    entrants = open_entrants(named, sampling_of(temperature, 1.0, 0, response_tokens))
    accounts, console = Accounts(pace), Console(stderr=True)
    asked = SuitePlan(judging, choices, seed)
    found = run_async(run_suites(opened, _policies(entrants), asked, out, accounts, console))
    whole = SuitesFound(
        policies={each.name: each.source for each in entrants},
        judges=tuple(each.model.name for each in judging.judges) if judging else (),
        constitution=judging.constitution.name if judging else "",
        suites=found,
        n_calls=accounts.n_calls,
        n_failed=accounts.n_failed,
        cost_usd=accounts.cost_usd,
    )
    keep(out / FOLDER / FILE, whole)
    if is_json:
        echo_json({"event": "end", "run": str(out), **asdict(whole)})
    else:
        show_suites(found, Console())
        click.echo(f"Everything is in {out / FOLDER}.")
    return 1 if accounts.n_failed else 0


def _policies(entrants: Sequence[Entrant]) -> tuple[NamedPolicy, ...]:
    """Those that are models.

    Raises:
        UsageError: One is a run or a file, whose responses are to other prompts.
    """
    found: list[NamedPolicy] = []
    for each in entrants:
        if each.speaker is None:
            raise UsageError(
                f"{each.source}: is a run or a file of responses, and a suite asks its own "
                "questions. Name a model."
            )
        found.append(NamedPolicy(each.name, each.speaker))
    return tuple(found)
