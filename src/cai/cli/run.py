"""`cai run`: the steps of a recipe, one after the other.

Example:
    $ cai run bai2022 red-team.jsonl -m hf:MODEL -o runs/bai
    $ cai run bai2022 --show > mine.yaml
"""

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from cai.cli.cost_table import show_estimate
from cai.cli.options.run_options import echo_json, with_run_options
from cai.cli.tables import printable
from cai.data.prompts import PromptSource
from cai.engine.engine import run_async
from cai.errors import UsageError
from cai.models.registry import SCHEMES
from cai.pipeline.checks import check_steps
from cai.pipeline.loader import load_recipe, preset_text
from cai.pipeline.runner import run_recipe
from cai.pipeline.schema import ROLES, Role
from cai.pipeline.train_runner import open_role_models
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
@click.option("-m", "--model", help=f"Model of every role that has none: {SCHEMES}.")
@click.option(
    "--role", "roles", multiple=True, metavar="ROLE=SPEC", help=f"One of {', '.join(ROLES)}."
)
@click.option("-c", "--constitution", help="In place of the recipe's.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder of the runs and files.")
@click.option("--show", "is_shown", is_flag=True, help="Print a preset's YAML and do nothing.")
@with_run_options
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
    goes on after an interruption; finished calls and trainings are never repeated.
    """
    if is_shown:
        click.echo(preset_text(recipe), nl=False)
        return 0
    loaded = load_recipe(recipe)
    if constitution is not None:
        loaded = loaded.model_copy(update={"constitution": constitution})
    models: dict[Role, str] = dict(loaded.models)
    for given in roles:
        name, _, spec = given.partition("=")
        role = _ROLES.get(name)
        if role is None or not spec:
            raise click.UsageError(
                f"--role {given!r} is not ROLE=SPEC. The roles are {', '.join(ROLES)}."
            )
        models[role] = spec
    loaded = loaded.model_copy(update={"models": models})
    if loaded.train:
        require()
    check_steps(loaded)
    files = prompts or loaded.prompts
    if not files:
        raise UsageError(
            f"The recipe {loaded.name!r} names no prompts. Name files after it: "
            f"cai run {loaded.name} prompts.jsonl …"
        )
    source = PromptSource(files).check()  # a broken file is reported before a model is loaded
    if out is None:  # not required by click, as --show needs no folder
        raise click.UsageError("Name the folder of the runs with -o.")
    work = run_recipe(
        loaded, open_role_models(loaded, model), source, out, run_options, Console(stderr=True)
    )
    steps = run_async(work)
    if is_json:
        rows = [
            {
                "step": each.step,
                "path": str(each.path),
                "counts": None if each.counts is None else asdict(each.counts),
                "summary": each.summary,
                "estimate": None if each.estimate is None else asdict(each.estimate),
            }
            for each in steps
        ]
        echo_json({"event": "end", "steps": rows})
    else:
        for each in steps:
            click.echo(printable(f"{each.path}: {each.summary}"))
            if each.estimate is not None:
                show_estimate(each.estimate)
    return 1 if any(each.counts and each.counts.failed for each in steps) else 0
