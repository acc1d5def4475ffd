"""Critique and revision over a data set of prompts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from cai.constitution.schema import Constitution
from cai.data.source import ItemSource, SourceSummary
from cai.methods.revision import Chain, RevisionPlan, Role, Speakers, revise_chain
from cai.methods.roles import Speaker, candidates
from cai.runs.config import (
    Draw,
    RevisionRecipe,
    described_constitution,
    described_source,
    described_speaker,
)
from cai.runs.job import Job, Outcome, Through, opened, run_job
from cai.runs.options import Pace
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class RevisionJob:
    """All that decides the result of a revision run."""

    source: ItemSource[Prompt]
    constitution: Constitution
    speakers: Speakers
    plan: RevisionPlan
    seed: int = 0


async def run_revision(
    folder: Path, job: RevisionJob, pace: Pace = Pace(), *, console: Console
) -> Outcome[SourceSummary]:
    """Responds to, critiques and revises every prompt of the source, into the run folder.

    The source is read to its end and the models are checked before the first call. What the folder
    holds already is not done again. The models are closed at the end; a later call opens them anew.

    Raises:
        UsageError: No principle carries any of the plan's tags.
        SourceError: A source cannot be read, or a row is bad.
        JournalError: The folder is a run of another recipe, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
    """
    candidates(job.constitution, job.plan.tags)
    checked = job.source.check()
    run = Job(
        recipe=_recipe(job, checked.summary),
        constitution=job.constitution,
        source=checked.summary,
        n_items=checked.summary.n_items,
        items=checked.items,
        body=Chain,
        prepare=lambda through: _reviser(job, through),
        is_flagged=lambda chain: any(each.flags for each in chain.rounds),
    )
    async with opened(job.speakers.models):
        return await run_job(folder, run, pace, console)


def _reviser(job: RevisionJob, through: Through) -> Callable[[Prompt], Awaitable[Chain]]:
    def one(speaker: Speaker, role: Role) -> Speaker:
        return replace(speaker, model=through(speaker.model, role))

    parts = job.speakers
    speakers = Speakers(
        one(parts.respond, "respond"),
        one(parts.critique, "critique"),
        one(parts.revise, "revise"),
    )

    async def revise(prompt: Prompt) -> Chain:
        return await revise_chain(speakers, job.constitution, prompt, job.plan, job.seed)

    return revise


def _recipe(job: RevisionJob, summary: SourceSummary) -> RevisionRecipe:
    roles: dict[Role, Draw] = {
        "respond": described_speaker(job.speakers.respond),
        "critique": described_speaker(job.speakers.critique),
        "revise": described_speaker(job.speakers.revise),
    }
    return RevisionRecipe(
        source=described_source(summary),
        constitution=described_constitution(job.constitution),
        plan=job.plan,
        roles=roles,
        seed=job.seed,
    )
