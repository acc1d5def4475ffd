"""`cai try`: one prompt through the loop, each step printed as it comes."""

from contextlib import AsyncExitStack

import click

from cai.cli.options.model_options import RevisionModels, with_revision
from cai.cli.tables import printable
from cai.constitution.loader import load_constitution
from cai.constitution.schema import Constitution
from cai.engine.engine import run_async
from cai.methods.revision import RevisionRoles, Round, chain_steps
from cai.methods.roles import draw_principle
from cai.methods.settings import ReviseSettings
from cai.models.base import Completion
from cai.types import user_prompt


@click.command(
    "try",
    epilog='Example: cai try "How do I break the baker\'s lamp at dawn?" -c testbed -m embedded',
)
@click.argument("text")
@with_revision
def attempt(
    text: str, models: RevisionModels, settings: ReviseSettings, constitution: str, seed: int
) -> int:
    """Respond to TEXT, critique the response and revise it, printing each step."""
    loaded = load_constitution(constitution)
    draw_principle(loaded, settings.tags, seed)
    run_async(_try(text, models.open(settings), loaded, settings, seed))
    return 0


async def _try(
    text: str, roles: RevisionRoles, constitution: Constitution, settings: ReviseSettings, seed: int
) -> None:
    async with AsyncExitStack() as opened:
        for model in roles.models:
            opened.push_async_callback(model.close)
            await model.check()
        async for chain in chain_steps(roles, constitution, user_prompt(text), settings, seed):
            if not chain.rounds:
                _show("response", chain.response)
            else:
                _show_round(chain.rounds[-1], len(chain.rounds), constitution)


def _show_round(latest: Round, number: int, constitution: Constitution) -> None:
    principle = constitution.principle(latest.principle_id)
    click.echo()
    click.secho(f"round {number} · {principle.id}: {printable(principle.text)}", bold=True)
    if latest.critique is not None:
        _show("critique", latest.critique)
    if latest.revision is not None:
        _show("revision", latest.revision)
    else:
        click.echo("The critique finds nothing; the chain ends.")
    if latest.flags:
        click.secho(f"flags: {', '.join(latest.flags)}", fg="yellow")


def _show(step: str, said: Completion) -> None:
    if said.reasoning:
        click.secho(f"{step}, reasoning: {printable(said.reasoning)}", dim=True)
    click.secho(f"{step}: ", fg="cyan", nl=False)
    click.echo(printable(said.text))
