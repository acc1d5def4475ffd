"""The bound: as little as a client can do, on raw connections, and with nothing kept until the end.

As many connections as the server has slots; on each one chain of calls after the other. A call that
fails in whatever way is made again at once, on a new connection when the old one is spoilt.
"""

import asyncio
import json
from collections.abc import Iterator
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

    async def work(self, rows: Iterator[Message]) -> None:
        """Complete rows until there are no more."""
        for row in rows:
            prompt = row["prompt"]
            row["response"] = await self.call(to_respond(prompt))
            row["critique"] = await self.call(to_critique(prompt, row["response"]))
            row["revision"] = await self.call(to_revise(prompt, row["response"], row["critique"]))


async def _run(job: Job) -> None:
    rows = job.rows()
    remaining = iter(rows)
    await asyncio.gather(*(Caller(job).work(remaining) for _ in range(job.slots)))
    finish(job, rows)


if __name__ == "__main__":
    asyncio.run(_run(read_job()))
