"""HTTP statuses and error bodies of servers as typed errors, and the key to a server.

The key is read from the environment, sent in one header, and shown nowhere.
"""

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import cast

import orjson

from cai.errors import ContextLengthError, ModelError, ModelUnavailable

# A server may echo a key in part, so what merely looks like one is hidden too.
_KEY_LIKE = re.compile(r"(?i)\bbearer\s+[^\s\"',;]+|\bsk-[\w*.-]{4,}")
_SHORTEST_SECRET = 6  # keys of local servers are words like EMPTY, which need no hiding

_Json = dict[str, "_Json"] | list["_Json"] | str | float | bool | None

_MESSAGE_FIELDS = ("error", "message", "detail")  # each may hold the next
_MAY_PASS = frozenset({408, 409, 425, 429})
_MAY_BE_TOO_LONG = frozenset({400, 413, 422})
_NO_QUOTA = "insufficient_quota"
_REFUSED_CONTENT = re.compile(
    r"content[ _-]?(?:filter|policy|management)|responsible_?ai|moderation|safety system",
    re.IGNORECASE,
)
# No status says that a request is too long, so the words of vLLM, llama.cpp, TGI, Ollama, SGLang
# and the hosted APIs do.
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|context[ _-](?:length|window|size)|max_model_len"
    r"|maximum (?:allowed )?(?:model|sequence|input|prompt) "
    r"|(?:prompt|input|request|string)\b.{0,60}\btoo (?:long|large)|too many (?:input )?tokens"
    r"|longer than the (?:model|maximum)"
    r"|max_new_tokens`? must be <=",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The key in the environment variable `variable`; empty when that is not set."""

    variable: str
    value: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.value}"} if self.value else {}

    def scrubbed(self, text: str) -> str:
        """The text with this key, and everything that looks like a key, replaced by `[key]`."""
        if len(self.value) >= _SHORTEST_SECRET:
            text = text.replace(self.value, "[key]")
        return _KEY_LIKE.sub("[key]", text)


def read_key(variable: str) -> ApiKey:
    """The key in that environment variable.

    Raises:
        ModelError: Its value cannot be sent in a header.
    """
    value = os.environ.get(variable, "").strip()
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ModelError(
            f"The environment variable {variable} has characters that no key has (spaces, line "
            "breaks or non-ASCII letters). Set it to the key alone."
        )
    return ApiKey(variable, value)


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


def failure(answer: HttpReply, listed: Sequence[str] = ()) -> ModelError:
    """The typed error of a refusal, with advice. `listed` are the models that the server has."""
    said, variable = complaint(answer), answer.key.variable
    where = f"{answer.url} answers {answer.status}"
    status = answer.status
    # The order matters: servers use 400 for a long request, refused content and bad fields alike,
    # and 429 for a rate that passes and a quota that does not.
    if status in (401, 403):
        advice = f"it wants a key. Set the environment variable {variable} to it."
        if answer.key.value:
            advice = (
                f"the key in {variable} was refused: '{shown(said)}'. "
                "Set the variable to a key that may use this model."
            )
        return ModelError(f"{where}: {advice}", "refused key")
    if status in _MAY_BE_TOO_LONG and is_too_long(answer):
        return ContextLengthError(
            f"{where}: '{shown(said)}'. The request is longer than this model reads; shorten it, "
            "ask for fewer tokens, or serve the model with a longer context."
        )
    if status == 429 and _NO_QUOTA in answer.text:
        return ModelError(
            f"{where}: '{shown(said)}'. The account behind {variable} is used up.",
            "refused key",
        )
    if status in _MAY_PASS or status >= 500:
        return ModelUnavailable(
            f"{where}: '{shown(said)}'. If it goes on, look at the server's log or load.",
            answer.retry_after_s,
            "rate limit" if status == 429 else "time-out" if status == 408 else "server error",
        )
    if status in _MAY_BE_TOO_LONG and _REFUSED_CONTENT.search(answer.text):
        return ModelError(
            f"{where}: '{shown(said)}'. The server refuses what the request says, and would again.",
            "refused content",
        )
    if status == 404:
        advice = "Check the model's name and the URL, which usually ends in /v1."
        if listed:
            advice = f"The server has {models_shown(listed)}; name one of those."
        return ModelError(f"{where}: '{shown(said)}'. {advice}")
    if 300 <= status < 400:
        return ModelError(f"{where}, a redirect. Give the final URL of the API instead.")
    return ModelError(f"{where}: '{shown(said)}'. Change the request or the server's settings.")


def is_too_long(answer: HttpReply) -> bool:
    """Whether the server refused a request for its length."""
    return _TOO_LONG.search(answer.text) is not None


def complaint(answer: HttpReply) -> str:
    """The server's own words: the message inside its error body, or else the whole body. No key."""
    try:
        body = cast(_Json, orjson.loads(answer.body))
    except orjson.JSONDecodeError:
        return answer.text
    # {"error": {"message": …}}, {"detail": …}, {"message": {…}}: whichever nesting a server has
    while isinstance(body, dict):
        body = next((body[name] for name in _MESSAGE_FIELDS if body.get(name)), None)
    return answer.key.scrubbed(body) if isinstance(body, str) else answer.text


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
