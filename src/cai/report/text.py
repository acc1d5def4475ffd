"""Figures, names and texts as a report writes them."""

import re
from collections.abc import Iterable, Iterator

from cai.evaluation import format
from cai.evaluation.stats.bootstrap import Estimate
from cai.report.model import Headline, Said, Span
from cai.types import Prompt

LONGEST_TEXT = 1200
"""Characters of one text that are shown."""

# what no page of HTML may hold; marks of direction are kept, each text being isolated
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_ADDRESS = re.compile(r"@https?://([^/\s+]+)[^\s+]*")
_HASH = re.compile(r"[#@][0-9a-f]{6,}\b")
_NUMBERS = re.compile(r":(?:bfloat16|float16|float32)\b")
_FOLDERS = re.compile(r"(?<![\w./])(?:~/|/(?!/))(?:[^\s/#+@]+/)*([^\s/#+@]+)/?")


def share_headline(estimate: Estimate | None, what: str) -> Headline | None:
    """The headline of a share; None where there is none."""
    if estimate is None:
        return None
    interval = format.bounds(estimate)
    return Headline(
        format.percent(estimate.value), f"{what}, n = {estimate.n:,}", interval and f"{interval} %"
    )


def change_headline(
    before: Estimate | None, after: Estimate | None, what: str
) -> Iterator[Headline]:
    """A share before and after; the interval is that of the later one. None where one is absent."""
    if before is not None and after is not None:
        figure = f"{format.percent(before.value)} → {format.percent(after.value)}"
        interval = format.bounds(after)
        yield Headline(figure, f"{what}, n = {after.n:,}", interval and f"{interval} %")


def model_name(name: str) -> str:
    """A model as people say it: without hash, number type, and folders of this machine."""
    bare = _ADDRESS.sub(r" at \1", _NUMBERS.sub("", _HASH.sub("", name)))
    scheme, colon, place = bare.partition(":")
    if not colon or "/" in scheme:  # a path, with a colon inside or without
        return _FOLDERS.sub(r"\1", bare)
    return scheme + colon + _FOLDERS.sub(r"\1", place)


def model_names(names: Iterable[str]) -> str:
    """Several models, each once."""
    return format.listed(dict.fromkeys(model_name(name) for name in names)) or "an unknown model"


def clean(text: str) -> str:
    """The text with the characters that HTML cannot hold replaced by a mark."""
    return _CONTROL.sub("�", text)


def prompt_block(prompt: Prompt) -> Said:
    """The last turn of the prompt, which is what responses answer."""
    n = len(prompt.messages)
    return text_block("prompt" if n == 1 else f"prompt, the last of {n} turns", prompt.request)


def text_block(who: str, text: str, longest: int = LONGEST_TEXT) -> Said:
    """A text to read, cut where it is longer than people would read here."""
    return Said(who, (Span("same", text[:longest]),), max(0, len(text) - longest))
