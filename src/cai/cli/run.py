"""`cai run`: the steps of a recipe, one after the other."""

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from cai.cli.cost_table import estimate_line, estimate_table
from cai.cli.options.run_options import as_json, echo_json, with_run_options
from cai.cli.tables import printable
from cai.data.prompts import PromptSource
from cai.engine.engine import run_async
from cai.errors import UsageError
from cai.models.registry import SCHEMES
from cai.pipeline.checks import check_steps
from cai.pipeline.loader import load_recipe, preset_text
from cai.pipeline.runner import StepOutcome, run_recipe
from cai.pipeline.schema import Recipe
from cai.pipeline.train_runner import open_role_models
from cai.pipeline.train_steps import ROLES, Role
from cai.runs.options import RunOptions
from cai.training.environment import require

_ROLES: dict[str, Role] = {role: role for role in ROLES}


@click.command(
    "run",
    epilog="Example: cai run bai2022 red-team.jsonl -m embedded -c testbed -o runs/bai\n\n"
    "A recipe of your own: cai run bai2022 --show > mine.yaml",
)
@click.argument("recipe")
@click.argument("prompts", nargs=-1)
@click.option("-m", "--model", help=f"Who plays every role that has no model: {SCHEMES}.")
@click.option(
    "--role", "roles", multiple=True, metavar="ROLE=SPEC", help=f"One of {', '.join(ROLES)}."
)
@click.option("-c", "--constitution", help="In place of the recipe's.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder of the runs and files.")
@click.option("--show", "is_shown", is_flag=True, help="Print a preset's YAML and do nothing.")
@with_run_options
@as_json
def run(
    recipe: str,
    prompts: tuple[str, ...],
    model: str | None,
    roles: tuple[str, ...],
    constitution: str | None,
    out: Path | None,
    run_options: RunOptions,
    is_shown: bool,
    is_json: bool,
) -> int:
    """Do every step of RECIPE, a preset or a YAML file, on PROMPTS.

    The presets are bai2022, bai2022-cot, bai2022-rl, lee2023 and lee2023-direct. The same command
    goes on after an interruption; nothing is asked or trained twice.
    """
    if is_shown:
        click.echo(preset_text(recipe), nl=False)
        return 0
    loaded = load_recipe(recipe)
    if constitution is not None:
        loaded = loaded.model_copy(update={"constitution": constitution})
    loaded = loaded.model_copy(update={"models": {**loaded.models, **_roles(roles)}})
    if loaded.train:
        require()
    check_steps(loaded)
    source = PromptSource(
        _prompts(loaded, prompts)
    ).check()  # a broken file is said before a model is loaded
    if out is None:
        raise click.UsageError("Name the folder of the runs with -o.")
    models = open_role_models(loaded, model)
    done = run_async(run_recipe(loaded, models, source, out, run_options, Console(stderr=True)))
    if is_json:
        echo_json({"event": "end", "steps": [_as_json(each) for each in done]})
    else:
        for each in done:
            click.echo(printable(f"{each.path}: {each.summary}"))
            if each.estimate is not None:
                Console().print(estimate_table(each.estimate))
                click.echo(estimate_line(each.estimate))
    return 1 if any(each.counts and each.counts.failed for each in done) else 0


def _prompts(recipe: Recipe, given: tuple[str, ...]) -> tuple[str, ...]:
    found = given or recipe.prompts
    if not found:
        raise UsageError(
            f"The recipe {recipe.name!r} names no prompts. Name files after it: "
            f"cai run {recipe.name} prompts.jsonl …"
        )
    return found


def _roles(given_roles: tuple[str, ...]) -> dict[Role, str]:
    specs: dict[Role, str] = {}
    for given in given_roles:
        name, _, spec = given.partition("=")
        role = _ROLES.get(name)
        if role is None or not spec:
            raise click.UsageError(
                f"--role {given!r} is not ROLE=SPEC. The roles are {', '.join(ROLES)}."
            )
        specs[role] = spec
    return specs


def _as_json(done: StepOutcome) -> dict[str, object]:
    return {
        "step": done.step,
        "path": str(done.path),
        "counts": None if done.counts is None else asdict(done.counts),
        "summary": done.summary,
        "estimate": None if done.estimate is None else asdict(done.estimate),
    }
