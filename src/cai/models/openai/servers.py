"""HTTP calls to servers over connections that stay open.

A call either returns the response, whatever its status, or raises one typed error. A server that
cannot be reached comes last for some seconds, while there are others.
"""

import asyncio
import io
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urlencode, urlsplit
from urllib.request import getproxies

import aiohttp

from cai.errors import ModelError, ModelUnavailable, UsageError
from cai.models.openai.errors import ApiKey, HttpReply, retry_after_s, shown

_PAUSE_S = 10.0
_CONNECT_S = 30.0
_DNS_S = 300
_IDLE_S = 4.0  # many servers close an idle connection after five seconds
MAX_BYTES = 64 * 2**20
_LARGE_BYTES = 2**20  # from which aiohttp wants a stream, not bytes


@dataclass(slots=True)
class ServerUrl:
    """One URL. `paused_until` (monotonic seconds) is set when it cannot be reached."""

    url: str
    in_flight: int = 0
    paused_until: float = 0.0

    @property
    def load(self) -> tuple[bool, int]:
        """The sort key of servers: paused ones come last, then the busier."""
        return time.monotonic() < self.paused_until, self.in_flight


@dataclass(frozen=True, slots=True)
class _Pool:
    """The session of one event loop, with slots by URL."""

    loop: asyncio.AbstractEventLoop
    session: aiohttp.ClientSession
    slots: dict[str, asyncio.Semaphore]


class Connections:
    """Connections to servers that take that key, at most `max_per_server` to each.

    `headers` and `query` go with every request; an answer of more than `max_bytes`, counted after
    decompression, is an error. Proxies are those of the environment (HTTP_PROXY, HTTPS_PROXY,
    NO_PROXY).
    """

    def __init__(
        self,
        key: ApiKey,
        max_per_server: int,
        headers: Mapping[str, str] = {},
        query: Mapping[str, str] = {},
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.key = key
        self._max_per_server = max_per_server
        self._headers = headers
        self._query = f"?{urlencode(query)}" if query else ""
        self._max_bytes = max_bytes
        self._pool: _Pool | None = None

    async def close(self) -> None:
        """Closes the connections; the next call opens new ones."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.session.close()

    async def send(
        self, server: ServerUrl, path: str, timeout_s: float, body: bytes = b""
    ) -> HttpReply:
        """The server's response to POST, or to GET without a body.

        The time-out counts from having a connection to the last byte.

        Raises:
            ModelUnavailable: No response arrived.
            ModelError: The server's certificate is not valid, or its answer is too large.
        """
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is None or pool.loop is not loop:
            # A session belongs to one loop; a library user may start a new one for each call.
            connector = aiohttp.TCPConnector(
                limit=0, ttl_dns_cache=_DNS_S, keepalive_timeout=_IDLE_S
            )
            # No cookies: one answer must not depend on the answers before it.
            session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={
                    "Content-Type": "application/json",
                    **self.key.headers,
                    **self._headers,
                },
                # Only where there is a proxy: aiohttp reads the environment again for each call.
                trust_env=not {"http", "https"}.isdisjoint(getproxies()),
            )
            pool = self._pool = _Pool(loop, session, {})
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=_CONNECT_S)
        method, url = "POST" if body else "GET", server.url + path + self._query
        data = io.BytesIO(body) if len(body) > _LARGE_BYTES else body
        slots = pool.slots.setdefault(server.url, asyncio.Semaphore(self._max_per_server))
        server.in_flight += 1
        try:
            # The session's own queue would let waiting for a connection eat up the call's time.
            # Redirects are not followed: they would carry the key to another server.
            async with slots:
                with _typed_errors(server, timeout_s):
                    async with pool.session.request(
                        method, url, data=data, timeout=timeout, allow_redirects=False
                    ) as response:
                        content = self.key.hidden_in(await self._read(server, response))
                        wait_s = retry_after_s(response.headers)
                        return HttpReply(server.url, self.key, response.status, content, wait_s)
        finally:
            server.in_flight -= 1

    async def _read(self, server: ServerUrl, response: aiohttp.ClientResponse) -> bytes:
        # Piece by piece: a small body can unpack to gigabytes.
        pieces: list[bytes] = []
        n_left = self._max_bytes
        async for piece in response.content.iter_any():
            n_left -= len(piece)
            if n_left < 0:
                raise ModelError(
                    f"{server.url} sent an answer of more than {self._max_bytes / 2**20:g} MiB. "
                    "Look at the server, or allow more with the option max-mib.",
                    "invalid answer",
                )
            pieces.append(piece)
        return b"".join(pieces)


@contextmanager
def _typed_errors(server: ServerUrl, timeout_s: float) -> Generator[None]:
    # `from None`: the errors of aiohttp may hold the headers, and so the key.
    try:
        yield
    except aiohttp.ClientSSLError as error:
        raise ModelError(
            f"{server.url}: no safe connection ({shown(str(error))}). Check its certificate, "
            "or write http:// for a server without one."
        ) from None
    except aiohttp.ClientProxyConnectionError as error:
        raise ModelUnavailable(
            f"Cannot reach the proxy {error.host}:{error.port} on the way to {server.url}: "
            f"{_reason(error)}. Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY.",
            cause="unreachable",
        ) from None
    except aiohttp.ClientHttpProxyError as error:
        raise ModelError(
            f"The proxy on the way to {server.url} answers {error.status} "
            f"({shown(error.message)}). Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY.",
        ) from None
    except aiohttp.ClientConnectionError as error:
        server.paused_until = time.monotonic() + _PAUSE_S
        # Either there was no connection, or there was one and it broke.
        is_away = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
        raise ModelUnavailable(
            f"Cannot reach {server.url}: {_reason(error)}; is the server running?",
            cause="unreachable" if is_away else "broken connection",
        ) from None
    except TimeoutError:
        raise ModelUnavailable(
            f"{server.url} gave no answer within {timeout_s:g} s. "
            "Send it fewer requests at once, or allow more time.",
            cause="time-out",
        ) from None
    except aiohttp.ClientError as error:
        raise ModelUnavailable(
            f"{server.url} sent an answer that is cut off or not HTTP "
            f"({type(error).__name__}). Check the URL and the server's log.",
            cause="broken connection",
        ) from None


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
    """The URL without a slash at its end, and without the path of a call.

    Raises:
        UsageError: It cannot be that of a server, or would carry a secret into names and messages.
    """
    try:
        parts = urlsplit(url.strip())
        is_server = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_server = is_server and parts.port != 0
    except ValueError:  # not a valid port or IPv6 address
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
    return parts.geturl().rstrip("/").removesuffix("/completions").removesuffix("/chat")
