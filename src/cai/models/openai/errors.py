"""The response of a server and the key to it, and text from servers made fit for messages.

The key is read from the environment, sent in one header, and shown nowhere.
"""

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from cai.errors import ModelError, UsageError

# A server may echo a key in part, so what merely looks like one is hidden too.
_KEY_LIKE = re.compile(r"(?i)\bbearer\s+[^\s\"',;]+|\bsk-[\w*.-]{4,}")
_BEARER, _HIDDEN = "Authorization", "[key]"
_SHORTEST_SECRET = 6  # keys of local servers are words like EMPTY, which need no hiding


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The key in the environment variable `variable`; empty when that is not set.

    It is sent in `header`, in Authorization as a bearer token. `others` are further secrets that go
    to the server, in headers or in the query.
    """

    variable: str
    value: str = field(repr=False)
    header: str = _BEARER
    others: tuple[str, ...] = field(default=(), repr=False)

    @property
    def headers(self) -> dict[str, str]:
        if not self.value:
            return {}
        return {self.header: f"Bearer {self.value}" if self.header == _BEARER else self.value}

    def hidden(self, text: str) -> str:
        """The text with this key and the other secrets replaced by `[key]`."""
        for secret in (self.value, *self.others):
            if len(secret) >= _SHORTEST_SECRET and secret in text:
                text = text.replace(secret, _HIDDEN)
        return text

    def hidden_in(self, body: bytes) -> bytes:
        """As `hidden`, of bytes."""
        for secret in (self.value, *self.others):
            if len(secret) >= _SHORTEST_SECRET and secret.encode() in body:
                body = body.replace(secret.encode(), _HIDDEN.encode())
        return body

    def scrubbed(self, text: str) -> str:
        """As `hidden`, and without everything that looks like a key."""
        return _KEY_LIKE.sub(_HIDDEN, self.hidden(text))


def read_key(
    variable: str, header: str = _BEARER, others: Sequence[str] = (), *, is_needed: bool = False
) -> ApiKey:
    """The key in that environment variable.

    Raises:
        UsageError: The name is not that of a variable; it may be the key itself.
        ModelError: Its value cannot be sent in a header, or is needed and not there.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", variable):
        raise UsageError(
            "What stands for the name of an environment variable is none (it is not shown, since "
            "it may be a secret). Put the secret into a variable, and give its name."
        )
    value = os.environ.get(variable, "").strip()
    if is_needed and not value:
        raise ModelError(
            f"The environment variable {variable} is not set. Set it to what the server wants."
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ModelError(
            f"The environment variable {variable} has characters that no key has (spaces, line "
            "breaks or non-ASCII letters). Set it to the key alone."
        )
    return ApiKey(variable, value, header, tuple(others))


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A server's response, not yet parsed."""

    url: str
    key: ApiKey
    status: int
    body: bytes
    retry_after_s: float | None = None

    @property
    def text(self) -> str:
        """The body for messages, with nothing of the key in it."""
        return self.key.scrubbed(self.body.decode("utf-8", "replace"))


def shown(text: str, limit: int = 200) -> str:
    """The first `limit` characters, with all that could act on a terminal escaped."""
    cut = text if len(text) <= limit else text[:limit] + "…"
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the server's headers, at least 0; None without a readable header."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    advice = headers.get("Retry-After")
    seconds = _number(advice)
    if seconds is not None or advice is None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(advice).timestamp() - time.time())
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    # at most nine digits: an absurd header must not become an absurd pause
    if text is None or not re.fullmatch(r"\s*\d{1,9}(\.\d*)?\s*", text):
        return None
    return float(text)


def models_shown(models: Sequence[str]) -> str:
    """The first ten of the names, and how many more there are."""
    names = ", ".join(shown(name, 80) for name in models[:10])
    return names if len(models) <= 10 else f"{names} and {len(models) - 10} more"
