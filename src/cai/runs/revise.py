"""Critique and revision over a data set of prompts.

Example:
    settings = ReviseSettings(rounds=2)
    roles = revision_roles(open_model("embedded"), settings)
    source = PromptSource(("prompts.jsonl",))
    job = RevisionJob(source, load_constitution("testbed"), roles, settings)
    result = run_async(run_revision(Path("runs/first"), job, console=Console()))
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cai.constitution.schema import Constitution
from cai.data.source import ItemSource, SourceSummary
from cai.methods.revision import Chain, RevisionRole, RevisionRoles, revise_chain
from cai.methods.roles import RoleModel, candidates
from cai.methods.settings import ReviseSettings
from cai.runs.config import (
    ReviseRunConfig,
    described_constitution,
    described_role,
    described_source,
)
from cai.runs.execution import RunPlan, RunResult, WrapModel, execute, is_finished, opened
from cai.runs.options import RunOptions
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class RevisionJob:
    """All that decides the result of a revision run."""

    source: ItemSource[Prompt]
    constitution: Constitution
    roles: RevisionRoles
    settings: ReviseSettings
    seed: int = 0


async def run_revision(
    folder: Path, job: RevisionJob, run_options: RunOptions = RunOptions(), *, console: Console
) -> RunResult[SourceSummary]:
    """Responds to, critiques and revises every prompt of the source, into the run folder.

    The source is read to its end and the models are checked before the first call. What the folder
    holds already is not done again. The models are closed at the end; a later call opens them anew.

    Raises:
        UsageError: No principle carries any of the tags.
        SourceError: A source cannot be read, or a row is bad.
        JournalError: The folder is a run with other settings, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
    """
    candidates(job.constitution, job.settings.tags)  # raises where no principle has the tag
    checked = job.source.check()
    roles: dict[RevisionRole, RoleModel] = {
        "respond": job.roles.respond,
        "critique": job.roles.critique,
        "revise": job.roles.revise,
    }

    def revise_prompts(wrap: WrapModel) -> Callable[[Prompt], Awaitable[Chain]]:
        wrapped = {
            role: replace(each, model=wrap(each.model, role)) for role, each in roles.items()
        }

        async def revise_one(prompt: Prompt) -> Chain:
            return await revise_chain(
                RevisionRoles(**wrapped), job.constitution, prompt, job.settings, job.seed
            )

        return revise_one

    plan = RunPlan(
        config=ReviseRunConfig(
            source=described_source(checked.summary),
            constitution=described_constitution(job.constitution),
            settings=job.settings.without_role_fields(),
            roles={role: described_role(each) for role, each in roles.items()},
            seed=job.seed,
        ),
        constitution=job.constitution,
        source=checked.summary,
        n_items=checked.summary.n_items,
        items=checked.items,
        body=Chain,
        make_worker=revise_prompts,
        is_flagged=lambda chain: any(each.flags for each in chain.rounds),
    )
    is_done = is_finished(folder, plan.items, plan.n_items, run_options)
    async with opened(job.roles.models, is_finished=is_done):
        return await execute(folder, plan, run_options, console)
