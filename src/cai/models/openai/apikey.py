"""The key to a server: read from the environment, sent in one header, and shown nowhere."""

import os
import re
from dataclasses import dataclass, field

from cai.errors import ModelError

# A server may echo a key in part, so what merely looks like one is hidden too.
_KEY_LIKE = re.compile(r"(?i)\bbearer\s+[^\s\"',;]+|\bsk-[\w*.-]{4,}")
_SHORTEST_SECRET = 6  # local servers are given words like EMPTY, which hide nothing


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The key in the environment variable `variable`; empty when that is not set."""

    variable: str
    value: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.value}"} if self.value else {}

    def scrubbed(self, text: str) -> str:
        """The text with this key, and whatever looks like a key, replaced by `[key]`."""
        if len(self.value) >= _SHORTEST_SECRET:
            text = text.replace(self.value, "[key]")
        return _KEY_LIKE.sub("[key]", text)


def read_key(variable: str) -> ApiKey:
    """The key that the environment holds under that name.

    Raises:
        ModelError: Its value cannot stand in a header.
    """
    value = os.environ.get(variable, "").strip()
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ModelError(
            f"The environment variable {variable} holds characters that no key has (spaces, line "
            "breaks or non-ASCII letters). Set it to the key alone."
        )
    return ApiKey(variable, value)
