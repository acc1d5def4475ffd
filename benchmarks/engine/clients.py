"""The clients that are measured, each by the command line that a user would give it."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from environments import python_of
from job import MAX_TOKENS, MODEL
from measuring import Command

_HERE = Path(__file__).parent
_SOURCE = _HERE.parents[1] / "src"
_CAI = "from cai.cli.main import main; main()"
TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Setting:
    """What every client of a row is told; `rounds` is for cai alone."""

    prompts: Path
    url: str
    slots: int
    folder: Path
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class Client:
    """`command` makes the environment of a peer first, which may fail: see `NotInstalled`."""

    name: str
    command: Callable[[Setting], Command]


def cai(setting: Setting) -> Command:
    """`cai revise`, from the source beside this folder."""
    model = f"openai:{MODEL}@{setting.url}?timeout={TIMEOUT_S}&connections={setting.slots}"
    arguments = ["revise", setting.prompts, "-c", "harmless", "-m", model]
    arguments += ["--rounds", setting.rounds, "--concurrency", setting.slots]
    arguments += ["--max-tokens", MAX_TOKENS, "--json", "-o", setting.folder / "run"]
    return Command([sys.executable, "-c", _CAI, *map(str, arguments)], {"PYTHONPATH": str(_SOURCE)})


def bare(setting: Setting) -> Command:
    return _script("bare.py", Path(sys.executable), setting, {})


def bare_by_chain(setting: Setting) -> Command:
    return _script("bare_by_chain.py", Path(sys.executable), setting, {})


def plain(setting: Setting) -> Command:
    return _script("plain_sdk.py", python_of("plain"), setting, {})


def curator(setting: Setting) -> Command:
    python = python_of("curator")
    # The table of tokens would be downloaded, but litellm carries it too.
    tokens = next(python.parents[1].glob("lib/*/site-packages/litellm/**/tokenizers"))
    environment = {
        "CURATOR_DISABLE_RICH_DISPLAY": "1",
        "TELEMETRY_ENABLED": "false",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENAI_API_KEY": "none",
        "TIKTOKEN_CACHE_DIR": str(tokens),
    }
    return _script("run_curator.py", python, setting, environment)


def distilabel(setting: Setting) -> Command:
    return _script("run_distilabel.py", python_of("distilabel"), setting, {"HF_HUB_OFFLINE": "1"})


def _script(file: str, python: Path, setting: Setting, environment: Mapping[str, str]) -> Command:
    arguments = [python, _HERE / file, setting.prompts, setting.folder / "kept"]
    arguments += ["--url", setting.url, "--slots", setting.slots, "--timeout", TIMEOUT_S]
    return Command([str(argument) for argument in arguments], environment)


BARE = Client("bare sockets", bare)
BY_CHAIN = Client("bare, chain by chain", bare_by_chain)
CAI = Client("cai", cai)
PEERS = (
    Client("plain script", plain),
    Client("curator", curator),
    Client("distilabel", distilabel),
)


def all_clients(has_peers: bool) -> Iterable[Client]:
    return (BARE, BY_CHAIN, CAI, *PEERS) if has_peers else (BARE, BY_CHAIN, CAI)
