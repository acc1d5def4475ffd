"""Text of files and models made safe for a terminal."""

import re

# Control characters move the cursor or change colours, marks of direction reorder what is read, and
# lone surrogates cannot be written at all. Newline and tab stay.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """The text with control characters and overrides of direction written as visible escapes."""
    return _UNSAFE.sub(lambda match: _escape(ord(match.group())), text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
