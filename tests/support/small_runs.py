"""Small runs of scripted models, as the tests of jobs over runs need them."""

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from cai.constitution.schema import Constitution, Principle
from cai.data.prompts import PromptSource
from cai.methods.revision import revision_roles
from cai.methods.roles import RoleModel
from cai.methods.settings import ReviseSettings
from cai.models.base import Sampling
from cai.models.scripted import ScriptedModel
from cai.runs.options import RunOptions
from cai.runs.revise import RevisionJob, run_revision
from cai.runs.sample import SampleJob, run_sampling
from cai.types import Message

TWO = Constitution(
    name="two",
    principles=(
        Principle(id="long", text="Be long."),
        Principle(id="late", text="Be late.", weight=2.0),
    ),
)
TWO_YAML = """
name: two
principles:
- {id: long, text: 'Be long.', tags: [size]}
- {id: late, text: 'Be late.'}
"""


def quiet() -> Console:
    return Console(file=io.StringIO())


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_requests(path: Path, ids: Sequence[str]) -> PromptSource:
    """Prompts "Request ID?"."""
    rows = [{"id": id, "prompt": f"Request {id}?"} for id in ids]
    return PromptSource((str(write_rows(path, rows)),))


async def sampled(
    folder: Path, responses: Mapping[str, Sequence[str]], model: str = "actor"
) -> str:
    """A run of samples: to each prompt id the responses, of as many policies of one name."""
    k = max(len(texts) for texts in responses.values())
    source = write_requests(folder.with_suffix(".jsonl"), list(responses))

    def says(number: int) -> Callable[[Sequence[Message], Sampling], str]:
        def reply(messages: Sequence[Message], sampling: Sampling) -> str:
            return responses[messages[-1].content.split()[1].rstrip("?")][number]

        return reply

    policies = tuple(RoleModel.of(ScriptedModel(says(i), name=model)) for i in range(k))
    await run_sampling(folder, SampleJob(source, policies, k=1), console=quiet())
    return str(folder)


async def revised(folder: Path, texts: Mapping[str, tuple[str, str]], model: str = "editor") -> str:
    """A run of one round: to each prompt id the response and its revision."""
    source = write_requests(folder.with_suffix(".jsonl"), list(texts))

    def reply(messages: Sequence[Message], sampling: Sampling) -> str:
        response, revision = texts[messages[0].content.split()[1].rstrip("?")]
        return {1: response, 3: "It is short."}.get(len(messages), revision)

    roles = revision_roles(ScriptedModel(reply, name=model))
    job = RevisionJob(source, TWO, roles, ReviseSettings())
    await run_revision(folder, job, RunOptions(), console=quiet())
    return str(folder)
