"""Ctrl-C and SIGTERM: the first lets what is in flight finish, the second ends at once."""

import asyncio
import io
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console
from slow_servers import SlowServer
from small_runs import quiet, write_requests

from cai.engine.budget import Ledger
from cai.engine.database import Database
from cai.engine.engine import Engine, run_async
from cai.engine.journal import Journal
from cai.engine.run_folder import RunFolder
from cai.engine.writer import Writer
from cai.errors import RunStopped
from cai.methods.roles import RoleModel
from cai.models.base import Completion, Limits, Model, Sampling
from cai.runs.execution import stopped_by_signals
from cai.runs.options import RunOptions
from cai.runs.sample import SampleJob, run_sampling
from cai.types import Message


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with (
        closing(Database(tmp_path / "journal.sqlite")) as database,
        closing(Writer(database)) as writer,
    ):
        yield Engine(Journal(database, writer), Ledger())


async def ask(model: Model) -> Completion:
    return await model.complete((Message("user", "Which gate?"),), Sampling())


async def signalled(number: signal.Signals = signal.SIGINT) -> None:
    """Sends this process a signal; its handler in the loop has run when this returns."""
    os.kill(os.getpid(), number)
    await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_finishes_what_is_in_flight(engine: Engine, number: signal.Signals):
    server, out = SlowServer(), io.StringIO()
    server.open.clear()
    model = engine.wrap(server, "respond")
    with (
        pytest.raises(KeyboardInterrupt) as caught,
        stopped_by_signals(engine, Console(file=out, width=200)),
    ):
        task = asyncio.create_task(ask(model))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await signalled(number)
        assert not task.done()
        server.open.set()
        assert (await task).text == "Left."
        await model.complete((Message("user", "Another?"),), Sampling())
    assert caught.value.__suppress_context__
    assert server.texts == ["Which gate?"]
    assert out.getvalue() == (
        "stopping: 1 calls in flight are finished and kept; once more ends at once\n"
    )


async def test_the_second_signal_ends_at_once(engine: Engine):
    server = SlowServer()
    server.open.clear()
    model = engine.wrap(server, "respond")
    with pytest.raises(KeyboardInterrupt), stopped_by_signals(engine, quiet()):
        asking = asyncio.ensure_future(ask(model))
        await signalled()
        os.kill(os.getpid(), signal.SIGINT)
        await asking
    assert server.n_cancelled == 1


async def test_a_signal_while_a_run_ends_at_its_cap_ends_at_once_as_an_interrupt(engine: Engine):
    engine.stop(RunStopped("The cap is reached."))
    with pytest.raises(KeyboardInterrupt), stopped_by_signals(engine, quiet()):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(5.0)


async def test_a_cap_that_is_reached_is_no_interrupt(engine: Engine):
    stop = RunStopped("The cap is reached.")
    with pytest.raises(RunStopped) as caught, stopped_by_signals(engine, quiet()):
        raise stop
    assert caught.value is stop


async def test_a_run_that_is_cancelled_from_outside_is_no_interrupt(engine: Engine):
    async def run() -> None:
        with stopped_by_signals(engine, quiet()):
            await signalled()
            await asyncio.sleep(5.0)

    task = asyncio.create_task(run())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_signal_that_comes_when_all_is_done_changes_nothing(engine: Engine):
    with stopped_by_signals(engine, quiet()):
        await signalled()
    assert engine.budget.closed is not None


async def test_afterwards_signals_do_what_they_did_before(engine: Engine):
    with stopped_by_signals(engine, quiet()):
        pass
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(5.0)
    assert engine.budget.closed is None


def test_in_another_thread_nothing_is_listened_to_and_the_run_goes_on(engine: Engine):
    done: list[str] = []

    async def run() -> None:
        with stopped_by_signals(engine, quiet()):
            done.append((await ask(engine.wrap(SlowServer(), "respond"))).text)

    thread = threading.Thread(target=lambda: run_async(run()))
    thread.start()
    thread.join(10.0)
    assert done == ["Left."]


def test_a_whole_run_keeps_what_was_in_flight_and_goes_on_later(tmp_path: Path):
    """Of 20 prompts 4 are in flight at the signal: they are answered and kept, and no other is."""
    source = write_requests(tmp_path / "prompts.jsonl", [f"p{i}" for i in range(20)])

    async def run(server: SlowServer) -> None:
        job = SampleJob(source, (RoleModel.of(server),), k=1)
        await run_sampling(tmp_path / "run", job, RunOptions(), console=quiet())

    async def interrupted(server: SlowServer) -> None:
        server.open.clear()
        task = asyncio.create_task(run(server))
        while server.now < 4:
            await asyncio.sleep(0.001)
        await signalled()
        server.open.set()
        await task

    server = SlowServer(limits=Limits(4, 4))
    with pytest.raises(KeyboardInterrupt):
        run_async(interrupted(server))
    assert len(server.texts) == 4
    with RunFolder.existing(tmp_path / "run") as folder:
        assert (folder.counts().done, folder.counts().failed) == (4, 0)
    again = SlowServer(limits=Limits(4, 4))
    run_async(run(again))
    assert len(again.texts) == 16
    with RunFolder.existing(tmp_path / "run") as folder:
        assert (folder.counts().done, folder.counts().failed) == (20, 0)
