"""Figures, names and texts as a report writes them."""

import re
from collections.abc import Iterable

from cai.engine.telling.snapshot import count
from cai.evaluation.bootstrap import Estimate
from cai.report.pieces import Headline, Said, Span
from cai.types import Prompt

NONE = "–"
LONGEST_TEXT = 1200
"""Characters of one text that are shown."""

# what no page of HTML may hold; marks of direction are kept, each text being isolated
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_ADDRESS = re.compile(r"@https?://([^/\s+]+)[^\s+]*")
_HASH = re.compile(r"[#@][0-9a-f]{6,}\b")
_NUMBERS = re.compile(r":(?:bfloat16|float16|float32)\b")
_FOLDERS = re.compile(r"(?<![\w./])(?:~/|/(?!/))(?:[^\s/#+@]+/)*([^\s/#+@]+)/?")


def percent(value: float | None) -> str:
    return NONE if value is None or value != value else f"{value:.1%}"


def number(value: float | None) -> str:
    """Three digits, without an exponent where a reader needs none: 0.0123, 4.56, 1,230."""
    if value is None or value != value:
        return NONE
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def bounds(estimate: Estimate | None) -> str:
    """The interval of a share, "71.2–80.0"; "" without one."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}"


def plain_bounds(estimate: Estimate | None) -> str:
    """The interval of a figure that is no share; "" without one."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{number(estimate.low)} to {number(estimate.high)}"


def share(estimate: Estimate | None) -> str:
    """A share with its interval, "75.5% (71.2–80.0)"."""
    if estimate is None:
        return NONE
    interval = bounds(estimate)
    return percent(estimate.value) + (f" ({interval})" if interval else "")


def value(estimate: Estimate | None) -> str:
    """A figure that is no share, with its interval."""
    if estimate is None:
        return NONE
    interval = plain_bounds(estimate)
    return number(estimate.value) + (f" ({interval})" if interval else "")


def share_line(estimate: Estimate | None, what: str) -> Headline | None:
    """The headline of a share; None where there is none."""
    if estimate is None:
        return None
    interval = bounds(estimate)
    return Headline(
        percent(estimate.value), f"{what}, n = {estimate.n:,}", interval and f"{interval} %"
    )


def model_name(name: str) -> str:
    """A model as people say it: without hash, number type, and folders of this machine."""
    bare = _ADDRESS.sub(r" at \1", _NUMBERS.sub("", _HASH.sub("", name)))
    scheme, colon, place = bare.partition(":")
    if not colon or "/" in scheme:  # a path, with a colon inside or without
        return _FOLDERS.sub(r"\1", bare)
    return scheme + colon + _FOLDERS.sub(r"\1", place)


def models(names: Iterable[str]) -> str:
    """Several models, each once."""
    return listed(dict.fromkeys(model_name(name) for name in names)) or "an unknown model"


def listed(words: Iterable[str]) -> str:
    """The words with commas, and an "and" before the last."""
    found = list(words)
    if len(found) < 2:
        return "".join(found)
    return f"{', '.join(found[:-1])} and {found[-1]}"


def money(usd: float | None) -> str:
    if usd is None:
        return NONE
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.4f}"


def counted(n: int | None) -> str:
    return NONE if n is None else count(n)


def plural(n: int, one: str, many: str = "") -> str:
    """The number with its noun: "1 prompt", "2,000 prompts"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def clean(text: str) -> str:
    """The text with the characters that HTML cannot hold replaced by a mark."""
    return _CONTROL.sub("�", text)


def asked(prompt: Prompt) -> Said:
    """The last turn of the prompt, which is what responses answer."""
    n = len(prompt.messages)
    return said("prompt" if n == 1 else f"prompt, the last of {n} turns", prompt.request)


def said(who: str, text: str, longest: int = LONGEST_TEXT) -> Said:
    """A text to read, cut where it is longer than people would read here."""
    return Said(who, (Span("same", text[:longest]),), max(0, len(text) - longest))
