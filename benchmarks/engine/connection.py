"""HTTP/1.1 read by hand, on the side of a server: one connection of a client.

A framework would take more of the processor than the client that is measured.
"""

import asyncio
from collections.abc import Callable

_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
}

Receive = Callable[["Connection", str, bytes], None]


class Connection(asyncio.Protocol):
    """One connection of a client: requests are answered one after the other."""

    def __init__(self, receive: Receive, everyone: set["Connection"]) -> None:
        self._receive = receive
        self._everyone = everyone
        self._buffer = b""
        self._is_waiting = False
        self._is_last = False
        self.leave: Callable[[], None] | None = None  # what to undo when the client goes away

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._everyone.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_waiting:
            self._read_next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._everyone.discard(self)
        self._done()

    def send(
        self, status: int, body: bytes, kind: bytes = b"application/json", more: bytes = b""
    ) -> None:
        """Answer, and go on to the next request."""
        self._done()
        self.transport.write(_head(status, len(body), kind, more) + body)
        self._is_waiting = False
        if self._is_last:
            self.transport.close()
        elif self._buffer:
            self._read_next()

    def send_half(self, body: bytes) -> None:
        """Promise the whole body, send half of it, and hang up."""
        self._done()
        self.transport.write(_head(200, len(body)) + body[: len(body) // 2])
        self.transport.close()

    def _done(self) -> None:
        leave, self.leave = self.leave, None
        if leave:
            leave()

    def _read_next(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        stop = end + 4 + _length(head)
        if len(self._buffer) < stop:
            return
        body, self._buffer = self._buffer[end + 4 : stop], self._buffer[stop:]
        self._is_waiting = True
        self._is_last = b"connection: close" in head
        target = head[: head.find(b" http/")].decode("latin-1")
        self._receive(self, target, body)


def _head(status: int, length: int, kind: bytes = b"application/json", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n" % (
        status,
        _REASONS[status],
        kind,
        length,
        more,
    )


def _length(head: bytes) -> int:
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        return 0
    end = head.find(b"\r\n", start + 2)
    return int(head[start + 17 : end if end >= 0 else None])
