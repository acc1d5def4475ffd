"""The reward server as a process: uvicorn, from its socket to its shutdown.

Example:
    listening = bind("127.0.0.1", 8100)  # before the model is loaded
    async with open_rewarder(settings, None, console) as rewarder:
        await serve(Service(rewarder), listening, console)
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress

import uvicorn
from fastapi import FastAPI
from rich.console import Console
from uvicorn.protocols.http.h11_impl import H11Protocol

from cai.errors import UsageError
from cai.runs.execution import SIGNALS
from cai.serving.app import Service, Traffic, create_app

SHUTDOWN_S = 120  # how long requests in flight may take after the first signal
HEADERS_S = 20.0  # how long the headers of a request may take to arrive
READING_S = 60.0  # how long a client may leave an answer unread
_REPORT_EVERY_S = 60.0


def bind(host: str, port: int) -> socket.socket:
    """A listening socket at that address; bind it before a model is loaded.

    Raises:
        UsageError: The address is in use, not of this machine, or not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Clients that connect while the model is loaded wait in the backlog.
        return socket.create_server(address[:2], family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"Cannot listen on {host}:{port}: {reason}. Choose another --port or --host."
        ) from error


def url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class HttpConnection(H11Protocol):
    """A connection that is closed where a request takes too long to arrive, or its answer to go.

    uvicorn waits for ever for the first line and the headers, so that connections which send
    nothing, or a byte a minute, would use up all there are; and for a client that does not read its
    answer, which then stays in memory.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._timer is None and self._is_without_request():
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(READING_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def timeout_keep_alive_handler(self) -> None:
        # uvicorn's own close would wait for ever until the last answer has been read.
        self.transport.abort()

    def _await_headers(self) -> None:
        self._timer = self.loop.call_later(HEADERS_S, self._close_if_late)

    def _close_if_late(self) -> None:
        self._timer = None
        if self._is_without_request() and not self.transport.is_closing():
            self.transport.abort()

    def _is_without_request(self) -> bool:
        return self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]


class HttpServer(uvicorn.Server):
    """uvicorn, with its signals left to `serve`.

    uvicorn raises a signal again after its shutdown. The default action of SIGTERM would then end
    the process before the journal is closed and with the exit code of a crash.
    """

    def __init__(self, app: FastAPI) -> None:
        config = uvicorn.Config(
            app,
            http=HttpConnection,
            lifespan="off",
            ws="none",
            # Failed requests are logged by the gate. uvicorn would add a traceback for each request
            # that a shutdown cancels.
            log_config=None,
            log_level=logging.CRITICAL,
            access_log=False,
            # Trainers keep connections open between steps, and a request on a connection that the
            # server is just closing fails: longer than the pause between most steps.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
        super().__init__(config)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve(service: Service, listening: socket.socket, console: Console) -> None:
    """Answers requests until a signal comes, and then finishes those in flight.

    A second signal ends at once: requests in flight are answered with 503.

    Raises:
        KeyboardInterrupt: The second signal came.
    """
    server = HttpServer(create_app(service))
    # The socket has been listening since `bind`, so the address can be announced already.
    console.out(
        f"serving {service.rewarder.health.name} at {url_of(listening)}; Ctrl-C ends",
        highlight=False,
    )
    reports = asyncio.create_task(_report(service.traffic, console))
    try:
        with _stopped_by_signals(server, service.traffic, console):
            await server.serve(sockets=[listening])
        # uvicorn cancels requests without waiting for their end, and the caller closes next what
        # they use: the journal, the model.
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
    finally:
        reports.cancel()
        listening.close()
    if server.force_exit:
        raise KeyboardInterrupt


@contextmanager
def _stopped_by_signals(server: HttpServer, traffic: Traffic, console: Console) -> Generator[None]:
    """While it is open, the first signal begins the shutdown and the second one cuts it short."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if server.should_exit:
            server.force_exit = True
            # Else connections with unanswered requests would stay open, and uvicorn waits for them
            # on an event loop other than uvloop.
            for task in server.server_state.tasks:
                task.cancel()
            return
        server.should_exit = True
        console.out(
            f"stopping: finishing {traffic.n_in_flight} requests in flight; once more ends at once",
            highlight=False,
        )

    added: list[signal.Signals] = []
    try:
        for each in SIGNALS:
            with suppress(ValueError, RuntimeError, NotImplementedError):
                loop.add_signal_handler(each, stop)  # not outside the main thread, nor on Windows
                added.append(each)
        yield
    finally:
        for each in added:
            loop.remove_signal_handler(each)


async def _report(traffic: Traffic, console: Console) -> None:
    """One line a minute, if anything was done in it."""
    before = (0, 0, 0)
    while True:
        await asyncio.sleep(_REPORT_EVERY_S)
        now = (traffic.n_scored, traffic.n_unscored, traffic.n_refused)
        if now != before:
            console.out(traffic, highlight=False)
            before = now
