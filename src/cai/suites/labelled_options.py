"""Options that a text shows under letters at its end: "(A) …", "(B) …", on a line each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

_LABEL = re.compile(r"(?:^|\n)[ \t]*\(([A-Z])\)")
_LETTER = re.compile(r"\s*\(?([A-Z])\)?\.?\s*")
_CALL = re.compile(r"\n\s*(?:the (?:correct |best )?answer is|answer)\s*:?\s*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Shown:
    """A text without its options and without the call for an answer behind them; the options."""

    request: str
    options: tuple[str, ...]


def letter_of(answer: str) -> str | None:
    """The letter, where the answer is one, with brackets or without."""
    match = _LETTER.fullmatch(answer)
    return match[1] if match else None


def shown_options(text: str) -> Shown | None:
    """The last options under (A), (B) and so on, without a gap to the end; None without two."""
    body = _CALL.sub("", text)
    labels = list(_LABEL.finditer(body))
    for start in reversed(range(len(labels))):
        group = labels[start:]
        letters = "".join(match[1] for match in group)
        if len(group) > 1 and letters == ascii_uppercase[: len(group)]:
            return Shown(body[: group[0].start()].strip(), _between(body, group))
    return None


def _between(text: str, labels: Sequence[re.Match[str]]) -> tuple[str, ...]:
    ends = [*(match.start() for match in labels[1:]), len(text)]
    return tuple(text[match.end() : end].strip() for match, end in zip(labels, ends, strict=True))
