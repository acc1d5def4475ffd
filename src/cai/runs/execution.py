"""A method over many examples, into a run folder: what the runs of every method share.

A plan says what is read and how one example is worked on. `execute` streams the examples through
the engine, which calls the models, and stores what comes of each. Ctrl-C and SIGTERM: the first
lets the calls in flight finish, the second ends at once.

Example:
    plan = RunPlan(config, constitution, summary, n_items, items, Chain, make_worker, is_flagged)
    async with opened(models):
        result = await execute(folder, plan, RunOptions(), Console())
    print(result.counts.done, result.n_calls)
"""

import asyncio
import contextlib
import signal
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from platform import python_version
from typing import Generic, TypeVar, cast

import yaml
from rich.console import Console

from cai.atomic_write import atomic_write
from cai.constitution.schema import Constitution
from cai.engine.budget import Ledger, load_prices
from cai.engine.calls import wrap_model
from cai.engine.engine import Engine, Scheduling
from cai.engine.progress import Display, LastSnapshot, Progress, ProgressListener, reporting
from cai.engine.run_files import Counts, Failure, Record
from cai.engine.run_folder import RunFolder
from cai.engine.stream import CAUSES_OF_EXAMPLES, stream
from cai.errors import CaiError, Cause, ContextLengthError, JournalError, ModelError, RunStopped
from cai.models.base import Model, Usage
from cai.runs.config import B, ChoiceRunConfig, RunConfig
from cai.runs.divided import store_part
from cai.runs.options import RunEstimate, RunOptions, Spread, estimate
from cai.runs.prompt_tokens import PromptWatch
from cai.runs.records import dump, is_run, read_done

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(RunStopped):
    """A run that somebody stopped; what was in flight is finished and kept."""


@contextmanager
def stopped_by_signals(engine: Engine, console: Console) -> Generator[None]:
    """While it is open, a signal tells the engine to end; a second one cancels this task.

    Raises:
        KeyboardInterrupt: The run was ended so.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    is_cancelled = False

    def stop() -> None:
        nonlocal is_cancelled
        if engine.budget.closed is None:
            n = sum(each.in_flight for each in engine.endpoints())
            console.print(
                f"stopping: {n} calls in flight are finished and kept; once more ends at once",
                markup=False,
            )
            engine.stop(Interrupted("The run was interrupted."))
        elif task is not None:
            is_cancelled = True
            task.cancel()

    added: list[signal.Signals] = []
    try:
        for each in SIGNALS:
            with suppress(ValueError, RuntimeError, NotImplementedError):  # no main thread
                loop.add_signal_handler(each, stop)
                added.append(each)
        yield
    except Interrupted:
        raise KeyboardInterrupt from None
    except asyncio.CancelledError:
        if is_cancelled:
            raise KeyboardInterrupt from None
        raise
    finally:
        for each in added:
            loop.remove_signal_handler(each)


PACKAGES = ("cai-toolkit", "torch", "transformers")

T = TypeVar("T")
S = TypeVar("S")

WrapModel = Callable[[Model, str], Model]
"""Makes of a model and a role the model whose calls go through the journal and limits of a run."""


@dataclass(frozen=True, slots=True)
class RunPlan(Generic[T, S, B]):
    """A method over a source.

    `items` gives the `n_items` examples anew each time, each with an id that no other has.
    `make_worker` gives the function that works on one example, once the run's journal is open, from
    one that wraps models; `before` makes its calls ahead of the first example, and gives what is
    stored as the state of the run. `note` is told every finished example of the folder, those of
    earlier starts included; `is_flagged` only new ones.
    """

    config: RunConfig | ChoiceRunConfig
    constitution: Constitution | None
    source: S
    n_items: int
    items: Callable[[], Iterator[tuple[str, T]]]
    body: type[B]
    make_worker: Callable[[WrapModel], Callable[[T], Awaitable[B]]]
    is_flagged: Callable[[B], bool]
    note: Callable[[B], None] | None = None
    before: Callable[[WrapModel], Awaitable[Mapping[str, str]]] | None = None


@dataclass(frozen=True, slots=True)
class RunResult(Generic[S]):
    """What a run folder holds now, and which calls were made this time.

    `usage` has the tokens of the calls made this time, not of those that the journal answered;
    `ledger` the accounts of the whole run. `failures` are the failed examples of the folder by
    cause, `reasons` the message of the first of each cause, and `n_cut_off` its answers that the
    limit of tokens ended. There is an `estimate` where the run was of a sample.
    """

    counts: Counts
    failures: Mapping[str, int]
    n_flagged: int
    n_calls: int
    n_from_journal: int
    usage: Usage
    ledger: Ledger
    source: S
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    estimate: RunEstimate | None = None
    n_cut_off: int = 0


@contextlib.asynccontextmanager
async def opened(models: Sequence[Model], *, is_finished: bool = False) -> AsyncGenerator[None]:
    """Checks each model once before, and closes it after; a later call opens it anew.

    The models of a run that `is_finished` are asked nothing, so none is checked: its server may be
    gone.

    Raises:
        ModelError: A model cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        for model in {id(model): model for model in models}.values():
            stack.push_async_callback(model.close)
            if not is_finished:
                await model.check()
        yield


def is_finished(
    folder: Path, items: Callable[[], Iterator[tuple[str, T]]], n_items: int, options: RunOptions
) -> bool:
    """Whether a run folder holds all examples that a start with these options would work on."""
    if options.update or not is_run(str(folder)):
        return False
    try:
        with RunFolder.existing(folder) as run:
            return next(to_do(run, items, n_items, options), None) is None
    except JournalError:  # said by whoever opens it to write
        return False


def to_do(
    run: RunFolder,
    items: Callable[[], Iterator[tuple[str, T]]],
    n_items: int,
    options: RunOptions,
) -> Iterator[tuple[int, str, T]]:
    """The examples of the source that this start works on: position, id, and what it is."""
    n, index = options.n_of(n_items), 0
    for position, (id, item) in enumerate(islice(items(), options.end)):
        if not options.has(position):
            continue
        # The sample is spread over this part of the source, so it counts positions of the part.
        if options.is_sampled(index, n) and run.to_do(id, options.retry_failed):
            yield position, id, item
        index += 1


async def execute(
    folder: Path, plan: RunPlan[T, S, B], run_options: RunOptions, console: Console
) -> RunResult[S]:
    """Works on every example that the folder does not hold yet, and stores the results.

    Raises:
        UsageError: There is a cap on money and a model without a price, or a cap and hedging.
        JournalError: The folder is a run with other settings, or cannot be used.
        ModelError: Call after call failed.
        RunStopped: A cap is reached.
        KeyboardInterrupt: Somebody stopped it; calls that were in flight are stored.
    """
    run_options.check()
    prices = load_prices(run_options.prices)
    config = plan.config.model_dump(mode="json")
    versions = {"python": python_version()}
    for package in PACKAGES:
        with contextlib.suppress(ModuleNotFoundError):
            versions[package] = version(package)
    with RunFolder.open(folder, config, versions, update=run_options.update) as run:
        if plan.constitution is not None:
            _write_constitution(folder, plan.constitution, replaces=run_options.update)
        store_part(run, run_options.part, plan.n_items)
        finished = _Finished(plan.note)
        # What earlier starts finished counts too: tallies and estimates are about the whole folder.
        for _, body in read_done(run, plan.body):
            finished.add(body)
        scheduling = Scheduling(run_options.concurrency, run_options.hedges)
        engine = Engine(run.journal, Ledger.of(run.database, prices), run_options.caps, scheduling)
        n_total = run_options.n_of(plan.n_items)
        progress = Progress(engine, n_total, _n_settled(run, run_options))
        work = _Work(run, plan, run_options, progress, finished)
        with stopped_by_signals(engine, console):
            await work.run_all(engine, console)
        estimated = None
        if run_options.sample is not None:
            n_whole = run_options.whole or n_total
            estimated = estimate(
                engine.budget.ledger, finished.spread, n_whole, progress.snapshot()
            )
        return RunResult(
            counts=run.counts(),
            failures=run.failures(),
            n_flagged=progress.flagged,
            n_calls=run.journal.calls,
            n_from_journal=run.journal.hits,
            usage=run.journal.usage,
            ledger=engine.budget.ledger,
            source=plan.source,
            reasons=run.reasons(),
            estimate=estimated,
            n_cut_off=finished.n_cut_off,
        )


@dataclass(slots=True)
class _Finished(Generic[B]):
    """What the finished examples of a folder add up to; `note` is told of each."""

    note: Callable[[B], None] | None
    spread: Spread = field(default_factory=Spread)
    n_cut_off: int = 0

    def add(self, body: B) -> None:
        self.spread.add(body.usage)
        self.n_cut_off += body.n_cut_off
        if self.note is not None:
            self.note(body)


@dataclass(frozen=True, slots=True)
class _Work(Generic[T, S, B]):
    """The examples of a plan on their way into a run folder."""

    run: RunFolder
    plan: RunPlan[T, S, B]
    run_options: RunOptions
    progress: Progress
    finished: _Finished[B]

    async def run_all(self, engine: Engine, console: Console) -> None:
        """Works on every example that is to be done, and shows the progress."""
        watch = PromptWatch(console)

        def wrap(model: Model, role: str) -> Model:
            return wrap_model(engine.wrap(model, role), watch.answer, role)

        work = self.plan.make_worker(wrap)
        engine.check_caps()

        async def one(item: tuple[int, str, T]) -> B:
            position, id, example = item
            result = await work(example)
            # Stored before it is yielded: what a listener has seen is never lost.
            await self.run.store(Record(position, id, dump(result)))
            return result

        display = Display(console)
        listeners: list[ProgressListener] = [
            self.run_options.tell or display.show,
            LastSnapshot(self.run).save,
        ]
        with contextlib.closing(display):
            async with reporting(self.progress, listeners):
                plan = self.plan
                if plan.before is not None:
                    for name, value in (await plan.before(wrap)).items():
                        self.run.put_state(name, value)
                waiting = to_do(self.run, plan.items, plan.n_items, self.run_options)
                results = stream(waiting, one, engine)
                async with contextlib.aclosing(results):
                    async for (position, id, _), result in results:
                        if isinstance(result, CaiError):
                            await self.run.store(Record(position, id, "", Failure.of(result)))
                            self.progress.add_failed(result.cause)
                            continue
                        self.finished.add(result)
                        self.progress.add_done(self.plan.is_flagged(result))


def _n_settled(run: RunFolder, run_options: RunOptions) -> int:
    """How many examples will not be done again."""
    if run_options.retry_failed:
        return run.counts().done
    failed = [record.error for record in run.records("failed") if record.error]
    return run.counts().done + sum(not error.is_retryable for error in failed)


def _write_constitution(folder: Path, constitution: Constitution, *, replaces: bool) -> None:
    """Writes the constitution beside the run, so that the folder can be understood alone.

    One that is there stays, unless it `replaces` it: an update may be under another constitution.
    """
    path = folder / "constitution.yaml"
    if replaces or not path.exists():
        content = constitution.model_dump(mode="json", exclude_defaults=True)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        atomic_write(path, text, JournalError, "Free some space, or use another folder.")


def error_of(failures: Sequence[tuple[str, str]]) -> ModelError:
    """The error of an example of which no call succeeded, from cause and message of each failure.

    It is one that is about the example alone where all are: such an example stops no run, while a
    row of other failures does.
    """
    others = [each for each in failures if each[0] not in CAUSES_OF_EXAMPLES]
    cause, message = (others or failures)[0]
    if cause == ContextLengthError.cause:
        return ContextLengthError(message)
    return ModelError(message, cast(Cause, cause))
