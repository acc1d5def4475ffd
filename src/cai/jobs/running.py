"""A method over many examples, into a run folder: what the jobs of every method share.

A job says what is read and how one example is worked on. The runner streams the examples through a
fixed number of places, with the journal, and retry beneath it, about every model.
"""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from platform import python_version
from typing import Generic, TypeVar

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
from cai.judging.ranking import Judged
from cai.judging.scoring import Scored
from cai.models.protocol import Model, Usage
from cai.records.bodies import dump, read_done
from cai.records.recipes import Recipe
from cai.revision import Chain
from cai.sampling import Samples

PACKAGES = ("cai-toolkit", "torch", "transformers")

T = TypeVar("T")
S = TypeVar("S")
B = TypeVar("B", Chain, Samples, Judged, Scored)

Through = Callable[[Model], Model]
"""Gives a model as the run asks it: through its journal, and again when a failure may pass."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a run is carried out; none of it changes a result.

    `limit` takes the first examples of the source alone; a later run of the same folder may go
    further. `retry_failed` does examples again that failed for a lasting cause.
    """

    concurrency: int = 64
    limit: int | None = None
    retry_failed: bool = False


@dataclass(frozen=True, slots=True)
class Job(Generic[T, S, B]):
    """A method over a source.

    `items` gives the `n_items` examples anew each time, each with an id that no other has.
    `prepare` makes the work on one example, once the run's journal is open. `note` is told every
    finished example of the folder, those of earlier times included; `is_flagged` only new ones.
    """

    recipe: Recipe
    constitution: Constitution | None
    source: S
    n_items: int
    items: Callable[[], Iterator[tuple[str, T]]]
    body: type[B]
    prepare: Callable[[Through], Callable[[T], Awaitable[B]]]
    is_flagged: Callable[[B], bool]
    note: Callable[[B], None] | None = None


@dataclass(frozen=True, slots=True)
class Outcome(Generic[S]):
    """What a run folder holds now, and what was asked this time.

    `usage` has the tokens of the calls made this time, not of those that the journal answered.
    """

    counts: Counts
    n_flagged: int
    n_calls: int
    n_from_journal: int
    usage: Usage
    source: S


@contextlib.asynccontextmanager
async def opened(models: Sequence[Model]) -> AsyncGenerator[None]:
    """Checks each model once before, and closes it after; a later call opens it anew.

    Raises:
        ModelError: A model cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        for model in {id(model): model for model in models}.values():
            stack.push_async_callback(model.close)
            await model.check()
        yield


async def run_job(folder: Path, job: Job[T, S, B], pace: Pace, console: Console) -> Outcome[S]:
    """Works on every example that the folder does not hold yet, and keeps what comes of it.

    Raises:
        JournalError: The folder is a run of another recipe, or cannot be used.
        ModelError: Call after call failed.
    """
    with RunFolder.open(folder, job.recipe.model_dump(mode="json"), _versions()) as run:
        if job.constitution is not None:
            _keep_constitution(folder, job.constitution)
        if job.note is not None:
            for _, body in read_done(run, job.body):
                job.note(body)
        total = min(job.n_items, pace.limit or job.n_items)
        with Progress(console, total, _n_settled(run, pace)) as progress:
            await _work_through(run, job, pace, progress)
        journal = run.journal
        return Outcome(
            run.counts(),
            progress.flagged,
            journal.calls,
            journal.hits,
            journal.usage,
            job.source,
        )


async def _work_through(run: RunFolder, job: Job[T, S, B], pace: Pace, progress: Progress) -> None:
    work = job.prepare(_through(run))

    async def one(item: tuple[int, str, T]) -> B:
        return await work(item[2])

    results = stream(_to_do(run, job, pace), one, pace.concurrency)
    async with contextlib.aclosing(results):
        async for (position, id, _), result in results:
            n_hits = run.journal.hits - progress.from_journal
            if isinstance(result, CaiError):
                run.add(Record(position, id, "", Failure.of(result)))
                progress.update(failed=1, from_journal=n_hits)
                continue
            run.add(Record(position, id, dump(result)))
            if job.note is not None:
                job.note(result)
            is_flagged = job.is_flagged(result)
            progress.update(
                done=1, flagged=int(is_flagged), usage=result.usage, from_journal=n_hits
            )


def _through(run: RunFolder) -> Through:
    wrapped: dict[int, Model] = {}

    def through(model: Model) -> Model:
        if id(model) not in wrapped:
            wrapped[id(model)] = journaled(retrying(model), run.journal)
        return wrapped[id(model)]

    return through


def _to_do(run: RunFolder, job: Job[T, S, B], pace: Pace) -> Iterator[tuple[int, str, T]]:
    for position, (id, item) in enumerate(islice(job.items(), pace.limit)):
        if run.to_do(id, pace.retry_failed):
            yield position, id, item


def _n_settled(run: RunFolder, pace: Pace) -> int:
    """How many examples will not be done again."""
    if pace.retry_failed:
        return run.counts().done
    failed = [record.error for record in run.records("failed") if record.error]
    return run.counts().done + sum(not error.is_retryable for error in failed)


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
