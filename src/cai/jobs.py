"""A method over a data set: sources × method × engine → a run folder."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from platform import python_version

import yaml
from rich.console import Console

from cai.constitution.schema import Constitution
from cai.engine.journal import journaled
from cai.engine.progress import Progress
from cai.engine.records import Counts, Failure, Record
from cai.engine.retry import retrying
from cai.engine.run_folder import RunFolder
from cai.engine.streaming import stream
from cai.errors import CaiError
from cai.records import Draw, Named, RevisionRecipe, Source, dump_chain
from cai.revision import Chain, RevisionPlan, Role, Speaker, Speakers, draw_principle, revise_chain
from cai.sources.prompts import SourceSummary, check_prompts, read_prompts
from cai.types import Prompt

PACKAGES = ("cai-toolkit", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class PromptSource:
    """Files or hub data sets, and how they are read: see `cai.sources.prompts`."""

    files: tuple[str, ...]
    column: str | None = None
    id_column: str | None = None
    skip_bad_rows: bool = False

    def check(self) -> SourceSummary:
        return check_prompts(
            self.files,
            column=self.column,
            id_column=self.id_column,
            skip_bad_rows=self.skip_bad_rows,
        )

    def read(self) -> Iterator[Prompt]:
        return read_prompts(
            self.files,
            column=self.column,
            id_column=self.id_column,
            skip_bad_rows=self.skip_bad_rows,
        )


@dataclass(frozen=True, slots=True)
class RevisionJob:
    """All that decides the result of a revision run."""

    source: PromptSource
    constitution: Constitution
    speakers: Speakers
    plan: RevisionPlan
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How a run is carried out; none of it changes a result.

    `limit` takes the first prompts of the source alone; a later run of the same folder may go
    further. `retry_failed` does examples again that failed for a lasting cause.
    """

    concurrency: int = 64
    limit: int | None = None
    retry_failed: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run folder holds now, and what was asked this time."""

    counts: Counts
    n_flagged: int
    n_calls: int
    n_from_journal: int
    source: SourceSummary


async def run_revision(
    folder: Path, job: RevisionJob, pace: Pace = Pace(), *, console: Console
) -> Outcome:
    """Responds to, critiques and revises every prompt of the source, into the run folder.

    The source is read to its end and the models are checked before the first call. What the folder
    holds already is not done again. The models are closed at the end; a later call opens them anew.

    Raises:
        SourceError: A source cannot be read, or a row is bad.
        JournalError: The folder is a run of another recipe, or cannot be used.
        ModelError: A model cannot be used, or call after call failed.
    """
    draw_principle(job.constitution, job.plan.tags, seed=0)  # tags that nothing has are said now
    summary = job.source.check()
    async with contextlib.AsyncExitStack() as opened:
        for model in job.speakers.models:
            opened.push_async_callback(model.close)
            await model.check()
        return await _run(folder, job, pace, summary, console)


async def _run(
    folder: Path, job: RevisionJob, pace: Pace, summary: SourceSummary, console: Console
) -> Outcome:
    recipe = _recipe(job, summary)
    with RunFolder.open(folder, recipe.model_dump(mode="json"), _versions()) as run:
        _keep_constitution(folder, job.constitution)
        total = min(summary.n_prompts, pace.limit or summary.n_prompts)
        with Progress(console, total, _n_settled(run, pace)) as progress:
            await _revise_all(run, job, pace, progress)
        journal = run.journal
        return Outcome(run.counts(), progress.flagged, journal.calls, journal.hits, summary)


async def _revise_all(run: RunFolder, job: RevisionJob, pace: Pace, progress: Progress) -> None:
    speakers = _through(run, job.speakers)

    async def revise(item: tuple[int, Prompt]) -> Chain:
        return await revise_chain(speakers, job.constitution, item[1], job.plan, job.seed)

    results = stream(_to_do(run, job.source, pace), revise, pace.concurrency)
    async with contextlib.aclosing(results):
        async for (position, prompt), result in results:
            run.add(_record(position, prompt, result))
            n_hits = run.journal.hits - progress.from_journal
            if isinstance(result, Chain):
                is_flagged = any(each.flags for each in result.rounds)
                progress.update(
                    done=1, flagged=int(is_flagged), usage=result.usage, from_journal=n_hits
                )
            else:
                progress.update(failed=1, from_journal=n_hits)


def _n_settled(run: RunFolder, pace: Pace) -> int:
    """How many examples will not be done again."""
    if pace.retry_failed:
        return run.counts().done
    failed = [record.error for record in run.records("failed") if record.error]
    return run.counts().done + sum(not error.is_retryable for error in failed)


def _to_do(run: RunFolder, source: PromptSource, pace: Pace) -> Iterator[tuple[int, Prompt]]:
    for position, prompt in enumerate(islice(source.read(), pace.limit)):
        if run.to_do(prompt.id, pace.retry_failed):
            yield position, prompt


def _record(position: int, prompt: Prompt, result: Chain | CaiError) -> Record:
    if isinstance(result, CaiError):
        return Record(position, prompt.id, "", Failure.of(result))
    return Record(position, prompt.id, dump_chain(result))


def _through(run: RunFolder, speakers: Speakers) -> Speakers:
    """The speakers with the journal, and retry beneath it, about their models."""
    wrapped = {id(model): journaled(retrying(model), run.journal) for model in speakers.models}

    def one(speaker: Speaker) -> Speaker:
        return Speaker(wrapped[id(speaker.model)], speaker.templates, speaker.sampling)

    return Speakers(one(speakers.respond), one(speakers.critique), one(speakers.revise))


def _recipe(job: RevisionJob, summary: SourceSummary) -> RevisionRecipe:
    constitution = job.constitution
    speakers: dict[Role, Speaker] = {
        "respond": job.speakers.respond,
        "critique": job.speakers.critique,
        "revise": job.speakers.revise,
    }
    columns = sorted({part.selection.column for part in summary.parts})
    return RevisionRecipe(
        source=Source(
            files=tuple(Path(name).name for name in job.source.files),
            column=", ".join(columns),
            hash=summary.content_hash,
        ),
        constitution=Named(
            name=constitution.name, hash=constitution.hash, version=constitution.version
        ),
        plan=job.plan,
        roles={role: _draw(speaker) for role, speaker in speakers.items()},
        seed=job.seed,
    )


def _draw(speaker: Speaker) -> Draw:
    settings = asdict(speaker.sampling)
    del settings["seed"]
    templates = Named(name=speaker.templates.name, hash=speaker.templates.hash)
    return Draw(model=speaker.model.name, templates=templates, **settings)


def _keep_constitution(folder: Path, constitution: Constitution) -> None:
    path = folder / "constitution.yaml"
    if not path.exists():
        content = constitution.model_dump(mode="json", exclude_defaults=True)
        part = folder / ".constitution.yaml.part"
        part.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "utf-8")
        part.replace(path)


def _versions() -> dict[str, str]:
    versions = {"python": python_version()}
    for package in PACKAGES:
        with contextlib.suppress(ModuleNotFoundError):
            versions[package] = version(package)
    return versions
