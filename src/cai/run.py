"""A run from Python: a folder that resumes by itself, and its rows as a data set."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from cai.constitution.schema import Constitution
from cai.engine.run_folder import RunFolder
from cai.errors import ExportError
from cai.export import ExportSummary, Format, Selection, export_file, export_rows
from cai.jobs import Outcome, Pace, PromptSource, RevisionJob, run_revision
from cai.models.protocol import Model
from cai.records import read_chains
from cai.revision import Chain, RevisionPlan, Speakers, speakers_of

if TYPE_CHECKING:
    from datasets import Dataset

T = TypeVar("T")


class Run:
    """The run in that folder, made by the first method that writes it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def revise(
        self,
        prompts: str | Path | Sequence[str | Path] | PromptSource,
        *,
        model: Model | Speakers,
        constitution: Constitution,
        plan: RevisionPlan = RevisionPlan(),
        seed: int = 0,
        pace: Pace = Pace(),
        is_quiet: bool = False,
    ) -> Outcome:
        """Responds to, critiques and revises every prompt; goes on where an earlier call stopped.

        Works in a notebook too, where it blocks until the run is done.

        Raises:
            CaiError: As `cai.jobs.run_revision`.
        """
        speakers = model if isinstance(model, Speakers) else speakers_of(model)
        job = RevisionJob(_source(prompts), constitution, speakers, plan, seed)
        console = Console(stderr=True, quiet=is_quiet)
        return _wait(run_revision(self.path, job, pace, console=console))

    def chains(self) -> Iterator[Chain]:
        """The finished chains, in the order of the source.

        Raises:
            JournalError: The folder is not a revision run.
        """
        with RunFolder.existing(self.path) as folder:
            for _, chain in read_chains(folder):
                yield chain

    def export(self, format: Format, selection: Selection = Selection()) -> "Dataset":
        """The rows of one format as a `datasets.Dataset`; see `cai.export`.

        Raises:
            JournalError: The folder is not a revision run.
            ExportError: No row is left.
        """
        from cai.parquet import as_dataset  # heavy: pyarrow, datasets

        summary = ExportSummary(format)
        with RunFolder.existing(self.path) as folder:
            rows = list(export_rows(folder, format, selection, summary))
        if not rows:
            raise ExportError(f"{self.path}: no row is left. {summary.describe()}.")
        return as_dataset(rows, format)

    def export_file(
        self, format: Format, path: str | Path, selection: Selection = Selection()
    ) -> ExportSummary:
        """Writes the rows of one format to a .jsonl, .jsonl.gz or .parquet file.

        Raises:
            JournalError: The folder is not a revision run.
            ExportError: No row is left, or the file cannot be written.
        """
        with RunFolder.existing(self.path) as folder:
            return export_file(folder, format, Path(path), selection)


def _source(prompts: str | Path | Sequence[str | Path] | PromptSource) -> PromptSource:
    if isinstance(prompts, PromptSource):
        return prompts
    files = [prompts] if isinstance(prompts, str | Path) else prompts
    return PromptSource(tuple(str(file) for file in files))


def _wait(work: Coroutine[None, None, T]) -> T:
    """The result of the work; in a thread of its own where a loop is running already."""
    if not _is_loop_running():
        return asyncio.run(work)
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    with contextlib.closing(loop), ThreadPoolExecutor(1) as pool:
        result = pool.submit(loop.run_until_complete, task)
        try:
            return result.result()
        except KeyboardInterrupt:  # else the thread would go on to the end of the run
            loop.call_soon_threadsafe(task.cancel)
            raise


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
