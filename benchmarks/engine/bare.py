"""The bound: as little as a client can do, on raw connections, and with nothing kept until the end.

As many connections as the server has slots. Each makes the earliest step that any chain waits for,
so that no chain is left to run by itself at the end. A call that fails in whatever way is made
again at once, on a new connection when the old one is spoilt.
"""

import asyncio
import json
from heapq import heappop, heappush
from urllib.parse import urlsplit

from job import (
    MAX_TOKENS,
    MODEL,
    Job,
    Message,
    finish,
    read_job,
    to_critique,
    to_respond,
    to_revise,
)

_ASKED = {
    "response": lambda row: to_respond(row["prompt"]),
    "critique": lambda row: to_critique(row["prompt"], row["response"]),
    "revision": lambda row: to_revise(row["prompt"], row["response"], row["critique"]),
}
_PARTS = tuple(_ASKED)


class Line(asyncio.Protocol):
    """One connection, with one answer awaited at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        start = self._buffer.index(b"Content-Length: ") + 16
        stop = end + 4 + int(self._buffer[start : self._buffer.index(b"\r\n", start)])
        if len(self._buffer) >= stop:
            answer, self._buffer = self._buffer[:stop], self._buffer[stop:]
            if self._answer and not self._answer.done():
                self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionResetError())

    async def ask(self, request: bytes, timeout_s: float) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(timeout_s):
            return await self._answer

    def close(self) -> None:
        self._transport.abort()


class Waiting:
    """The next step of every chain for which nobody waits yet: the first in order comes first."""

    def __init__(self, is_by_chain: bool, rows: list[Message]) -> None:
        self._rows = rows
        self._is_by_chain = is_by_chain
        self._numbers = {row["id"]: number for number, row in enumerate(rows)}
        self.steps = [self._key(number, 0) for number in range(len(rows))]

    def take(self) -> tuple[Message, str]:
        first, second = heappop(self.steps)
        number, step = (first, second) if self._is_by_chain else (second, first)
        return self._rows[number], _PARTS[step]

    def add(self, row: Message, done: str) -> None:
        step = _PARTS.index(done) + 1
        if step < len(_PARTS):
            heappush(self.steps, self._key(self._numbers[row["id"]], step))

    def _key(self, number: int, step: int) -> tuple[int, int]:
        return (number, step) if self._is_by_chain else (step, number)


class Caller:
    """Makes calls one after the other, each until it succeeds."""

    def __init__(self, job: Job) -> None:
        self._job = job
        parts = urlsplit(job.url)
        self._host, self._port = parts.hostname, parts.port
        self._head = f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        self._line = Line()

    async def call(self, messages: list[Message]) -> str:
        body = json.dumps({"model": MODEL, "messages": messages, "max_tokens": MAX_TOKENS}).encode()
        head = f"{self._head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        request = head.encode() + body
        while True:
            try:
                if not self._line.is_open:
                    loop = asyncio.get_running_loop()
                    _, self._line = await loop.create_connection(Line, self._host, self._port)
                answer = await self._line.ask(request, self._job.timeout_s)
                if answer.startswith(b"HTTP/1.1 200"):
                    return json.loads(answer.partition(b"\r\n\r\n")[2])["choices"][0]["message"][
                        "content"
                    ]
            except (TimeoutError, OSError):
                self._line.close()
                self._line = Line()
            except ValueError:
                continue

    async def work(self, waiting: Waiting) -> None:
        """Make steps until none waits.

        Every chain that is under way has a caller, who then goes on with it: nobody need stay.
        """
        while waiting.steps:
            row, part = waiting.take()
            row[part] = await self.call(_ASKED[part](row))
            waiting.add(row, part)


async def run(job: Job, is_by_chain: bool) -> None:
    """The whole job, the earliest steps first, or one chain after the other."""
    rows = job.rows()
    waiting = Waiting(is_by_chain, rows)
    await asyncio.gather(*(Caller(job).work(waiting) for _ in range(job.slots)))
    finish(job, rows)


if __name__ == "__main__":
    asyncio.run(run(read_job(), is_by_chain=False))
