"""Sixty ways in which a server of models can answer wrongly: each is an answer or a typed error."""

import asyncio
import json
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import Attempt

from cai.models.base import Sampling
from cai.models.registry import open_model
from cai.types import Message

JSON = "application/json"


def _chat(content: object, **choice: object) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"index": 0, "message": message, **choice}]}).encode()


BODIES: dict[str, bytes] = {
    "good": _chat("Yes."),
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "text": b'"Yes."',
    "number": b"7",
    "half": _chat("Yes.")[:30],
    "not UTF-8": b'{"choices": "\xff\xfe"}',
    "NaN": b'{"choices": NaN}',
    "deep": b"[" * 100_000,
    "page": b"<html><body>Bad Gateway</body></html>",
    "events": b'data: {"choices": []}\n\ndata: [DONE]\n\n',
    "two objects": _chat("Yes.") * 2,
    "no choices": b'{"choices": []}',
    "null choices": b'{"choices": null}',
    "choice is null": b'{"choices": [null]}',
    "message is null": b'{"choices": [{"message": null}]}',
    "content is null": _chat(None),
    "content is a number": _chat(7),
    "content is an object": _chat({"text": "Yes."}),
    "content is parts": _chat([{"type": "text", "text": "Yes."}]),
    "content is empty": _chat(""),
    "surrogate": b'{"choices": [{"message": {"content": "\\ud800"}}]}',
    "control characters": _chat("\x00\x1b[31m"),
    "huge": _chat("x" * 3_000_000),
    "finish is a number": _chat("Yes.", finish_reason=7),
    "cut off": _chat("Yes.", finish_reason="length"),
    "filtered": _chat("", finish_reason="content_filter"),
    "usage is a text": _chat("Yes.")[:-1] + b', "usage": "many"}',
    "usage is negative": _chat("Yes.")[:-1] + b', "usage": {"prompt_tokens": -7}}',
    "usage is huge": _chat("Yes.")[:-1] + b', "usage": {"prompt_tokens": 1e308}}',
    "error beside 200": b'{"error": {"message": "Broken."}}',
    "error is a text": b'{"error": "Broken."}',
    "tool call": _chat(None)[:-3] + b', "tool_calls": [{"id": 1}]}]}',
    "thinking alone": _chat("<think>never ends"),
}


def _http(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    n = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {JSON}", f"Content-Length: {n}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _modes() -> Iterator[tuple[str, bytes]]:
    """The raw bytes of each mode, after which the connection is closed."""
    for name, body in BODIES.items():
        yield name, _http(200, body)
    for status in (204, 301, 400, 401, 402, 403, 404, 413, 422, 429, 451, 500, 502, 503, 599):
        yield f"status {status}", _http(status, b'{"error": {"message": "No."}}')
    yield "no answer", b""
    yield "no HTTP", b"\x16\x03\x01\x00\xff"
    yield "half a header", b"HTTP/1.1 200 OK\r\nContent-"
    yield "too short", _http(200, _chat("Yes."), length=9999)
    yield "too long", _http(200, _chat("Yes."), length=10)
    yield "negative length", _http(200, _chat("Yes."), length=-1)
    yield "bad chunks", b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"
    yield "bad gzip", _http(200, b"no gzip", "Content-Encoding: gzip")
    bomb = zlib.compress(b" " * 200_000_000, 9)
    yield "bomb", _http(200, bomb, "Content-Encoding: deflate")
    yield "many headers", _http(200, _chat("Yes."), *(f"X-{n}: y" for n in range(5000)))
    yield "header of a megabyte", _http(200, _chat("Yes."), f"X: {'y' * 1_000_000}")
    yield "retry in a year", _http(429, b"{}", "Retry-After: 31536000")
    yield "retry at no time", _http(503, b"{}", "Retry-After: soon")
    yield "silence", b"silence"
    yield "a byte at a time", b"drip"


MODES = tuple(_modes())


async def _serve(mode: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        if mode in (b"silence", b"drip"):
            for _ in range(100):
                if mode == b"drip":
                    writer.write(b"H" if writer.transport.get_write_buffer_size() else b"\r")
                    await writer.drain()
                await asyncio.sleep(0.1)
        writer.write(mode)
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def _ask(mode: bytes) -> str:
    server = await asyncio.start_server(
        lambda reader, writer: _serve(mode, reader, writer), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    model = open_model(f"openai:m@http://127.0.0.1:{port}/v1?timeout=1&max-mib=2")
    try:
        answer = await model.complete([Message("user", "Hello?")], Sampling(max_tokens=8, seed=1))
        answer.text.encode("utf-8", "surrogatepass")
        return "answered"
    finally:
        await model.close()
        server.close()


@contextmanager
def attempts(_: Path) -> Generator[Attempt]:
    yield lambda _, number: asyncio.run(_ask(MODES[number % len(MODES)][1]))
