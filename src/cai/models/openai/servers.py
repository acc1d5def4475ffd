"""Exchanges with servers over connections that are kept open.

One exchange either brings an answer, whatever its status, or raises one typed error. A server that
cannot be reached is left alone for some seconds while others can be asked.
"""

import asyncio
import io
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import aiohttp

from cai.errors import ModelError, ModelUnavailable, UsageError
from cai.models.openai.errors import ApiKey, HttpReply, retry_after_s, shown

_REST_S = 10.0
_CONNECT_S = 30.0
_DNS_S = 300
_IDLE_S = 4.0  # many servers close an idle connection after five seconds
_LARGE_BYTES = 2**20


@dataclass(slots=True)
class ServerUrl:
    """One URL. `rests_until` is set when it cannot be reached."""

    url: str
    in_flight: int = 0
    rests_until: float = 0.0

    @property
    def strain(self) -> tuple[bool, int]:
        """What orders servers: those that rest come last, then the busier."""
        return time.monotonic() < self.rests_until, self.in_flight


@dataclass(frozen=True, slots=True)
class _Pool:
    """All that belongs to one event loop; the slots are by URL."""

    loop: asyncio.AbstractEventLoop
    session: aiohttp.ClientSession
    slots: dict[str, asyncio.Semaphore]


class Connections:
    """Connections to servers that take that key, at most `most` to each."""

    def __init__(self, key: ApiKey, most: int) -> None:
        self.key = key
        self._most = most
        self._pool: _Pool | None = None

    async def get(self, server: ServerUrl, path: str, timeout_s: float) -> HttpReply:
        return await self._send(server, "GET", path, b"", timeout_s)

    async def post(self, server: ServerUrl, path: str, body: bytes, timeout_s: float) -> HttpReply:
        """What that server answers; the time counts from having a connection to the last byte.

        Raises:
            ModelUnavailable: No answer came.
            ModelError: The server's certificate is not valid.
        """
        return await self._send(server, "POST", path, body, timeout_s)

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.session.close()

    async def _send(
        self, server: ServerUrl, method: str, path: str, body: bytes, timeout_s: float
    ) -> HttpReply:
        pool = self._opened()
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=_CONNECT_S)
        url = server.url + path
        data = io.BytesIO(body) if len(body) > _LARGE_BYTES else body  # which aiohttp asks for
        server.in_flight += 1
        try:
            # The session's own queue would let waiting for a connection eat up the call's time.
            async with pool.slots.setdefault(server.url, asyncio.Semaphore(self._most)):
                with _typed_errors(server, timeout_s):
                    async with pool.session.request(
                        method, url, data=data, timeout=timeout, allow_redirects=False
                    ) as response:
                        content = await response.read()
                        wait_s = retry_after_s(response.headers)
                        return HttpReply(server.url, self.key, response.status, content, wait_s)
        finally:
            server.in_flight -= 1

    def _opened(self) -> _Pool:
        loop = asyncio.get_running_loop()
        if self._pool is None or self._pool.loop is not loop:
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, ttl_dns_cache=_DNS_S, keepalive_timeout=_IDLE_S
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Content-Type": "application/json", **self.key.headers},
            )
            self._pool = _Pool(loop, session, {})
        return self._pool


@contextmanager
def _typed_errors(server: ServerUrl, timeout_s: float) -> Generator[None]:
    # `from None`: what aiohttp says of its own errors may hold the headers, and so the key.
    try:
        yield
    except aiohttp.ClientSSLError as error:
        raise ModelError(
            f"{server.url}: no safe connection ({shown(str(error))}). Check its certificate, "
            "or write http:// for a server without one."
        ) from None
    except aiohttp.ClientConnectionError as error:
        server.rests_until = time.monotonic() + _REST_S
        raise ModelUnavailable(
            f"Cannot reach {server.url}: {_reason(error)}; is the server running?",
            cause="unreachable" if _is_away(error) else "broken connection",
        ) from None
    except TimeoutError:
        raise ModelUnavailable(
            f"{server.url} gave no answer within {timeout_s:g} s. "
            "Send it fewer requests at once, or allow more time.",
            cause="time-out",
        ) from None
    except aiohttp.ClientError as error:
        raise ModelUnavailable(
            f"{server.url} sent an answer that is broken off or is no HTTP "
            f"({type(error).__name__}). Check the URL and the server's log.",
            cause="broken connection",
        ) from None


def _is_away(error: aiohttp.ClientConnectionError) -> bool:
    """Whether no connection could be had; else one was, and broke."""
    return isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def _reason(error: aiohttp.ClientConnectionError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host name is not known"
    if isinstance(error, aiohttp.ServerTimeoutError):
        return "no connection in time"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        refused = isinstance(cause, ConnectionRefusedError) or "Connect call failed" in str(cause)
        return "connection refused" if refused else shown(str(cause))
    if isinstance(error, aiohttp.ClientOSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__


def checked_url(url: str, key: ApiKey) -> str:
    """The URL without a slash at its end.

    Raises:
        UsageError: It cannot be that of a server, or would carry a secret into names and messages.
    """
    try:
        parts = urlsplit(url.strip())
        is_server = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_server = is_server and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        parts, is_server = SplitResult("", "", "", "", ""), False
    if "@" in url or "?" in url or "#" in url:
        raise UsageError(
            f"The URL of the server '{shown(parts.hostname or '')}' carries a user, a password or "
            "a query, which would show in names and logs. Give the bare URL, and the key in the "
            f"environment variable {key.variable}."
        )
    if not is_server:
        raise UsageError(
            f"'{shown(url)}' is not the URL of a server. Write it like http://localhost:8000/v1."
        )
    return parts.geturl().rstrip("/")
