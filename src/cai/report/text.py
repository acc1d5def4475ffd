"""Figures, names and texts as a report writes them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cai.evaluation import format
from cai.evaluation.stats.bootstrap import Estimate
from cai.report.model import Headline, Span, TextBlock
from cai.types import Prompt

LONGEST_TEXT = 1200
"""Characters of one text that are shown."""

# Characters that HTML cannot hold. Marks of writing direction are allowed: the page isolates the
# direction of each text (dir="auto"), so that they cannot reorder what stands around it.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# A model spec is SCHEME:NAME@ADDRESS, or hf:FOLDER@HASH:NUMBER_TYPE, with parts left out. A report
# is made to be passed on, so it has neither the paths of servers nor the folders of this machine.
_ADDRESS = re.compile(r"@https?://([^/\s+]+)[^\s+]*")
_HASH = re.compile(r"[#@][0-9a-f]{6,}\b")
_NUMBER_TYPE = re.compile(r":(?:bfloat16|float16|float32)\b")
_FOLDERS = re.compile(r"(?<![\w./])(?:~/|/(?!/))(?:[^\s/#+@]+/)*([^\s/#+@]+)/?")


def share_headline(estimate: Estimate | None, what: str) -> Iterator[Headline]:
    """The headline of a share with its interval; nothing where there is no estimate."""
    return change_headline([estimate], what)


def change_headline(
    shares: Sequence[Estimate | None], what: str, ending: str = ""
) -> Iterator[Headline]:
    """Shares in their order, with n and the interval of the last; nothing if one is absent."""
    # All or nothing: a figure with a gap would be read as the change between its neighbours.
    known = [share for share in shares if share is not None]
    if known and len(known) == len(shares):
        figure, interval = (
            " → ".join(format.percent(s.value) for s in known),
            format.bounds(known[-1]),
        )
        yield Headline(figure, f"{what}, n = {known[-1].n:,}{ending}", interval and f"{interval} %")


def model_name(name: str) -> str:
    """A model without hash, number type, address, and folders of this machine."""
    bare = _ADDRESS.sub(r" at \1", _NUMBER_TYPE.sub("", _HASH.sub("", name)))
    scheme, colon, rest = bare.partition(":")
    if not colon or "/" in scheme:  # a path, with a colon inside or without
        return _FOLDERS.sub(r"\1", bare)
    return scheme + colon + _FOLDERS.sub(r"\1", rest)


def model_names(names: Iterable[str]) -> str:
    """Several models, each once."""
    return format.listed(dict.fromkeys(model_name(name) for name in names)) or "an unknown model"


def modified_at(path: Path) -> str:
    """When the file was last written, in ISO 8601."""
    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return modified.isoformat(timespec="seconds")


def clean(text: str) -> str:
    """The text with each character that HTML cannot hold replaced by U+FFFD."""
    return _CONTROL.sub("�", text)


def prompt_block(prompt: Prompt) -> TextBlock:
    """The last turn of the prompt, which the responses answer."""
    n = len(prompt.messages)
    return text_block("prompt" if n == 1 else f"prompt, the last of {n} turns", prompt.request)


def text_block(label: str, text: str, longest: int = LONGEST_TEXT) -> TextBlock:
    """A text to read, cut after `longest` characters."""
    return TextBlock(label, (Span("same", text[:longest]),), max(0, len(text) - longest))
