"""`cai serve`: rewards over HTTP, by a reward model or by judges with a constitution.

Example:
    $ cai serve --reward-model models/reward --port 8080
    $ cai serve -m hf:JUDGE -c harmless --key-env REWARD_KEY
"""

import math
from collections.abc import Sequence
from pathlib import Path
from secrets import token_urlsafe

import click
from rich.console import Console

from cai.cli.options.model_options import open_judges, with_judges
from cai.cli.options.settings_options import PATH, setting_option
from cai.constitution.loader import load_constitution
from cai.engine.engine import run_async
from cai.errors import UsageError
from cai.methods.settings import JudgeSettings, ScoreKind, ScoreSettings
from cai.models.openai.errors import read_key

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@click.command(epilog="Example: cai serve -m embedded -c testbed --port 8080")
@click.option("--reward-model", help="A folder that holds a reward model, or hf:NAME.")
@click.option("--host", default="127.0.0.1")
@click.option("--port", type=click.IntRange(0, 65535), default=8080)
@click.option(
    "--principle",
    "principles",
    multiple=True,
    metavar="[not:]ID",
    help="Of a conditioned reward model: what responses should follow, or break.",
)
@click.option(
    "--key-env",
    help="The environment variable with the key that clients must show.  [default: none on this "
    "machine alone, else a key that is drawn and printed]",
)
@click.option("--policy", help="Folder of the policy's tokenizer, whose chat template is removed.")
@click.option(
    "--unscored", type=float, help="Reward of /get_reward where none is known; else an error."
)
@click.option("--score-partial", is_flag=True, help="Score empty and cut-off responses too.")
@setting_option(ScoreSettings, "kind")
@click.option("-o", "--out", type=PATH, help="Folder that stores the judges' calls.")
@with_judges(is_required=False)
def serve(
    reward_model: str | None,
    host: str,
    port: int,
    principles: tuple[str, ...],
    key_env: str | None,
    policy: str | None,
    unscored: float | None,
    score_partial: bool,
    kind: ScoreKind,
    out: Path | None,
    judges: tuple[str, ...],
    constitution: str | None,
    settings: JudgeSettings,
    seed: int,
) -> int:
    """Serve rewards over HTTP: of a reward model, or of judges under a constitution.

    Plain JSON at /score and /compare, the remote reward of OpenRLHF at /get_reward, a description
    at /openapi.json. A response that cannot be scored is null, never 0.
    """
    _check(reward_model, judges, constitution, principles, out)
    # A trainer would carry NaN into its gradients without a word.
    if unscored is not None and not math.isfinite(unscored):
        raise UsageError(f"--unscored {unscored} is not a reward. Give a finite number.")
    console = Console(stderr=True)
    # heavy: fastapi and uvicorn
    from cai.serving.app import Service
    from cai.serving.server import bind
    from cai.serving.server import serve as serve_requests

    key = _key_of(key_env, host, console)
    hosts = _LOOPBACK if host in _LOOPBACK else frozenset[str]()
    chat_format = None
    if policy is not None:
        from cai.serving.chat_format import load_chat_format  # heavy: transformers

        chat_format = load_chat_format(policy)
    # the port is bound first: loading a model takes minutes, and the port may be in use
    with bind(host, port) as listening:
        # A reward model needs torch; judges on a server need neither torch nor a GPU here.
        if reward_model is not None:
            from cai.serving.reward_model import open_reward_model  # heavy: torch

            opening = open_reward_model(reward_model, constitution, principles)
        else:
            from cai.serving.rewarder import JudgeRewards, open_rewarder

            loaded = load_constitution(constitution or "")
            scoring = ScoreSettings.from_settings(settings, kind=kind)
            roles = open_judges(judges, settings)
            rewards = JudgeRewards(roles, loaded, scoring, settings, seed)
            opening = open_rewarder(rewards, out, console)

        async def work() -> None:
            async with opening as rewarder:
                format = chat_format or rewarder.chat_format
                service = Service(rewarder, key, format, unscored, score_partial, hosts)
                await serve_requests(service, listening, console)

        run_async(work())
    return 0


def _key_of(key_env: str | None, host: str, console: Console) -> str:
    """The key that clients must show; "" for none, on this machine alone."""
    if key_env is None and host not in _LOOPBACK:
        key = token_urlsafe()
        console.out(f"clients must send Authorization: Bearer {key}", highlight=False)
        return key
    key = "" if key_env is None else read_key(key_env).value
    if key_env is not None and not key:  # an empty key would let every client in
        raise UsageError(
            f"The environment variable {key_env} is not set or empty. Set it to the key that "
            "clients must show."
        )
    return key


def _check(
    reward_model: str | None,
    judges: tuple[str, ...],
    constitution: str | None,
    principles: Sequence[str],
    out: Path | None,
) -> None:
    """Checks which options go together.

    Raises:
        UsageError: The options name no source of rewards, or two.
    """
    if (reward_model is None) == (not judges):
        state = "both are given" if judges else "neither is given"
        raise UsageError(
            f"Rewards come from --reward-model or from a judge (-m), and {state}. Name one of them."
        )
    if judges and constitution is None:
        raise UsageError(
            "A judge scores under a constitution, and none is given. Name one with -c."
        )
    if judges and principles:
        raise UsageError(
            "--principle is for conditioned reward models. Choose a judge's principles with --tag."
        )
    if reward_model is not None and out is not None:
        raise UsageError("-o stores the calls of judges. Leave it out with a reward model.")
