"""The server from its socket to its end: at SIGTERM or Ctrl-C it finishes what it has, and stops.

A line a minute at most says what it did.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Generator

from aiohttp import web
from rich.console import Console

from cai.errors import UsageError
from cai.jobs.stopping import SIGNALS
from cai.serving.app import Service, Traffic

FINISH_S = 120.0  # how long requests under way may take after the signal
_LINE_EVERY_S = 60.0
_BACKLOG = 1024


def bound(host: str, port: int) -> socket.socket:
    """A socket at that address, taken before a model is loaded.

    Raises:
        UsageError: The address is in use, not of this machine, or not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"{host}:{port} cannot be served from: {reason}. Choose another --port or --host."
        ) from error


def address_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def serve(
    service: Service, listening: socket.socket, console: Console, *, finish_s: float = FINISH_S
) -> None:
    """Answers until a signal comes; a second one ends at once, with what is under way lost.

    Raises:
        KeyboardInterrupt: The second signal came.
    """
    runner = web.AppRunner(service.app(), access_log=None, shutdown_timeout=finish_s)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        console.print(
            f"serving {service.rewarder.health.name} at {address_of(listening)}; Ctrl-C ends",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        telling = asyncio.create_task(_tell(service.traffic, console))
        with _signals(service.traffic, console) as stopped:
            await stopped.wait()
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling
            await runner.cleanup()
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        await runner.cleanup()
        listening.close()


@contextlib.contextmanager
def _signals(traffic: Traffic, console: Console) -> Generator[asyncio.Event]:
    """An event that the first signal sets; the second cancels this task."""
    loop, task, stopped = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()

    def stop() -> None:
        if stopped.is_set() and task is not None:
            task.cancel()
            return
        console.print(
            f"stopping: {traffic.n_open} under way are finished; once more ends at once",
            markup=False,
            soft_wrap=True,
        )
        stopped.set()

    added: list[signal.Signals] = []
    try:
        for each in SIGNALS:
            with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
                loop.add_signal_handler(each, stop)  # not outside the main thread
                added.append(each)
        yield stopped
    finally:
        for each in added:
            loop.remove_signal_handler(each)


async def _tell(traffic: Traffic, console: Console) -> None:
    """A line where something happened in the last minute."""
    before = (0, 0, 0)
    while True:
        await asyncio.sleep(_LINE_EVERY_S)
        now = (traffic.n_scored, traffic.n_unscored, traffic.n_refused)
        if now != before:
            console.print(line_of(traffic), markup=False, highlight=False)
            before = now


def line_of(traffic: Traffic) -> str:
    """What was done since the start, in one line."""
    return (
        f"{traffic.n_scored:,} scored, {traffic.n_unscored:,} not, "
        f"{traffic.n_open} requests under way, {traffic.n_refused:,} refused"
    )
