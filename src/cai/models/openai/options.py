"""What a user adds to every request to a server: fields of the body, headers, a query.

Values of headers and of the query may be `$NAME`, an environment variable; where the name of a
header speaks of a secret they have to be, since a model's spec is part of names and of run folders.

Example:
    options = read_options({"body.reasoning_effort": "low", "header.X-Team-Key": "$TEAM_KEY"})
    options.body, options.suffix
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from cai.errors import UsageError
from cai.models.openai.errors import ApiKey, read_key
from cai.models.openai.refusals import Json, parsed

SystemTurns = Literal["auto", "fold", "keep"]

_SECRET = re.compile(
    r"auth|key|token|secret|passw|cookie|credential|signature|\bsig\b", re.IGNORECASE
)
_HEADER = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_OURS = frozenset({"model", "messages", "prompt", "stream", "n", "logprobs", "top_logprobs"})


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """`body`, `headers` and `query` go with every request to every server of a model.

    `key_header` is the header of the key, else it is a bearer token. `system` says what becomes of
    system turns: they are folded into the user's turn where the server refuses them (`auto`),
    always (`fold`), or never (`keep`). `max_mib` bounds an answer, after decompression.
    """

    body: Mapping[str, Json] = field(default_factory=dict[str, Json])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    key_header: str = "Authorization"
    system: SystemTurns = "auto"
    max_mib: int = 64
    suffix: str = ""

    def resolved(self, values: Mapping[str, str]) -> dict[str, str]:
        """The values, with environment variables in place of `$NAME`.

        Raises:
            ModelError: A variable is not set.
        """
        return {
            name: read_key(value[1:], is_needed=True).value if value.startswith("$") else value
            for name, value in values.items()
        }


def opened_key(variable: str, options: ServerOptions) -> ApiKey:
    """The key in that variable; it also hides the secrets among headers and query.

    Raises:
        ModelError: A variable is not set, or its value cannot be sent.
    """
    given = [*options.headers.values(), *options.query.values()]
    secrets = options.resolved({value: value for value in given if value.startswith("$")})
    return read_key(variable, options.key_header, tuple(secrets.values()))


def read_options(options: Mapping[str, str], max_mib: int = 64) -> ServerOptions:
    """The options of a spec that are about requests; other names are left alone.

    The suffix holds, in a fixed order, everything that may change an answer.

    Raises:
        UsageError: A name or a value cannot be used.
    """
    body: dict[str, Json] = {}
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    key_header, system = options.get("key-header", ""), options.get("system", "auto")
    if system not in ("auto", "fold", "keep"):
        raise UsageError(f"system={system} is unknown; it is one of auto, fold, keep.")
    if "api-version" in options:  # Azure, by deployment
        query["api-version"] = options["api-version"]
        key_header = key_header or "api-key"
    for option, value in options.items():
        kind, _, name = option.partition(".")
        if kind == "body":
            _set(body, name, value)
        elif kind in ("header", "query"):
            _check_public(option, name, value)
            (headers if kind == "header" else query)[name] = value
    key_header = key_header or "Authorization"
    if not _HEADER.fullmatch(key_header):
        raise UsageError("key-header: that is not the name of a header.")
    named = {name: value for name, value in options.items() if _is_in_name(name, value)}
    suffix = f"?{urlencode(sorted(named.items()), safe='${}[]:,')}" if named else ""
    return ServerOptions(body, headers, query, key_header, system, max_mib, suffix)


def _is_in_name(name: str, value: str) -> bool:
    is_extra = name.startswith(("body.", "header.", "query.")) or name == "api-version"
    return is_extra or (name == "system" and value != "auto")


def _check_public(option: str, name: str, value: str) -> None:
    if not _HEADER.fullmatch(name):
        raise UsageError(f"{option}: that is not a name that can be sent.")
    if not value.isprintable() or not value.isascii():
        raise UsageError(f"{option}: the value has characters that cannot be sent.")
    if _SECRET.search(name) and not value.startswith("$"):
        raise UsageError(
            f"{option}: the value may be a secret, and would show in names and run folders. Put it "
            f"into an environment variable and give {option}=$NAME."
        )


def _set(body: dict[str, Json], path: str, value: str) -> None:
    """Sets the field at the dotted path: `chat_template_kwargs.enable_thinking`."""
    *outer, last = path.split(".")
    if not all([*outer, last]) or path.split(".")[0] in _OURS:
        raise UsageError(
            f"body.{path}: this field cannot be set; cai writes {', '.join(sorted(_OURS))} itself."
        )
    place = body
    for name in outer:
        inner = place.setdefault(name, {})
        if not isinstance(inner, dict):
            raise UsageError(f"body.{path}: {name!r} is given as a whole already.")
        place = inner
    content = parsed(value)
    # what is no JSON is a word: reasoning_effort=low
    place[last] = value if content is None and value != "null" else content
