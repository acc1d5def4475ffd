"""Ctrl-C and SIGTERM: the first lets the calls in flight finish, the second ends at once."""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress

from rich.console import Console

from cai.engine.engine import Engine
from cai.errors import RunStopped

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
        if engine.gate.closed is None:
            n = sum(each.in_flight for each in engine.lanes())
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
