"""A simulated OpenAI-compatible server: `python benchmarks/engine/server.py --slots 64 --port 0`.

It prints its URL in one line when it is ready. `POST /v1/chat/completions`, `POST /v1/completions`
and `GET /v1/models` are as clients expect them; any model is served. Beside them:

    GET  /stats              what was received, answered, answered twice; how busy the slots were
    POST /reset              count from zero
    POST /down?seconds=N     close the socket and all connections, and come back after N seconds
    POST /garbage?seconds=N  answer with a page of HTML and status 200 for N seconds

Faults come at random by the number of the request, so that asking again helps: `rate` is 429 with
Retry-After: 1, `error` is 500, `cut` closes the connection in the middle of an answer, `truncated`
is a whole answer of half a JSON text, `hang` never answers. Only `cut` and `truncated` hold a slot.
"""

import argparse
import asyncio
import gc
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import parse_qs

import orjson
from answers import FAULTS, Answers, Work
from connection import Connection
from slots import Counts, Job, Slots

_PAGE = b"<html><body><h1>Welcome</h1>Please sign in to this network.</body></html>"
_MODELS = {"object": "list", "data": [{"id": "sim", "object": "model", "owned_by": "benchmark"}]}


@dataclass(frozen=True, slots=True)
class Options:
    slots: int
    port: int
    mean_s: float
    faults: float
    kinds: tuple[str, ...]
    seed: int
    log: Path | None
    asked_log: Path | None


class Server:
    """All that is simulated behind one port."""

    def __init__(
        self, options: Options, log: TextIO | None = None, asked_log: TextIO | None = None
    ) -> None:
        self.connections: set[Connection] = set()
        self._options = options
        self._log = log
        self._asked_log = asked_log
        self._answers = Answers(options.seed)
        self._slots = Slots(options.slots)
        self._loop = asyncio.get_running_loop()
        self._listener: asyncio.Server | None = None
        self._port = options.port
        self._garbage_until = 0.0
        self._coming_back: asyncio.Task[None] | None = None

    async def listen(self) -> str:
        """The URL at which clients find the API."""
        self._listener = await self._loop.create_server(
            lambda: Connection(self.receive, self.connections),
            "127.0.0.1",
            self._port,
            backlog=4096,
        )
        self._port = self._listener.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{self._port}/v1"

    def receive(self, connection: Connection, target: str, body: bytes) -> None:
        path, _, query = target.partition("?")
        if path in ("post /v1/chat/completions", "post /v1/completions"):
            self._complete(connection, body, is_chat=path.endswith("chat/completions"))
        elif path == "get /v1/models":
            if not self._is_garbage(connection):
                connection.send(200, orjson.dumps(_MODELS))
        elif path == "get /stats":
            connection.send(200, orjson.dumps(self._slots.counts.as_json()))
        elif path == "post /reset":
            self._slots.counts = Counts()
            connection.send(200, b"{}")
        elif path == "post /down":
            connection.send(200, b"{}")
            self._go_down(connection, _seconds(query))
        elif path == "post /garbage":
            self._garbage_until = self._loop.time() + _seconds(query)
            connection.send(200, b"{}")
        else:
            connection.send(404, _error("there is nothing here"))

    def _complete(self, connection: Connection, body: bytes, is_chat: bool) -> None:
        counts = self._slots.counts
        number = counts.arrive(self._loop.time())
        connection.leave = counts.leave
        if self._is_garbage(connection):
            counts.garbage += 1
            return
        try:
            work = self._answers.work(body, is_chat)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            counts.refused += 1
            connection.send(400, _error(str(error)))
            return
        _note(self._asked_log, work)
        fault = None
        if self._options.faults:
            fault = self._answers.fault(number, self._options.faults, self._options.kinds)
        if fault:
            counts.faults[fault] += 1
        if fault == "rate":
            connection.send(429, _error("too many requests"), more=b"Retry-After: 1\r\n")
        elif fault == "error":
            connection.send(500, _error("something broke"))
        elif fault != "hang":
            self._serve(connection, work, fault)

    def _serve(self, connection: Connection, work: Work, fault: str | None) -> None:
        def finish() -> None:
            connection.leave = self._slots.counts.leave
            self._finish(connection, work, fault)

        def leave() -> None:
            self._slots.counts.abandoned += 1
            self._slots.counts.leave()
            self._slots.leave(job)

        job = Job(work.length * self._options.mean_s, finish)
        connection.leave = leave
        self._slots.enter(job)

    def _finish(self, connection: Connection, work: Work, fault: str | None) -> None:
        reply = self._answers.reply(work)
        if fault == "cut":
            connection.send_half(reply)
        elif fault == "truncated":
            connection.send(200, reply[: len(reply) // 2])
        else:
            self._slots.counts.answer(work.digest, self._loop.time())
            _note(self._log, work)
            connection.send(200, reply)

    def _is_garbage(self, connection: Connection) -> bool:
        """Whether the answer was a page of HTML."""
        if self._loop.time() >= self._garbage_until:
            return False
        connection.send(200, _PAGE, b"text/html")
        return True

    def _go_down(self, last: Connection, seconds: float) -> None:
        assert self._listener is not None
        self._listener.close()
        for connection in list(self.connections):
            if connection is last:
                connection.transport.close()  # after its answer
            else:
                connection.transport.abort()
        self._coming_back = asyncio.create_task(self._come_back(seconds))

    async def _come_back(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.listen()


def _note(log: TextIO | None, work: Work) -> None:
    if log:
        log.write(f"{work.digest}\n")
        log.flush()


def _seconds(query: str) -> float:
    return float(parse_qs(query).get("seconds", ["60"])[0])


def _error(message: str) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": "simulated"}})


def _options() -> Options:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mean-ms", type=float, default=300)
    parser.add_argument("--faults", type=float, default=0.0, help="Share of all requests.")
    parser.add_argument("--fault-kinds", default=",".join(FAULTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="A line for the digest of each whole answer.")
    parser.add_argument("--asked-log", type=Path, help="A line for the digest of each request.")
    given = parser.parse_args()
    kinds = tuple(given.fault_kinds.split(","))
    if not set(kinds) <= set(FAULTS):
        parser.error(f"the kinds of faults are {', '.join(FAULTS)}")
    mean_s = given.mean_ms / 1000
    logs = (given.log, given.asked_log)
    return Options(given.slots, given.port, mean_s, given.faults, kinds, given.seed, *logs)


async def _serve(options: Options) -> None:
    logs = [path.open("a") if path else None for path in (options.log, options.asked_log)]
    url = await Server(options, *logs).listen()
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    gc.set_threshold(100_000)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(_options()))
