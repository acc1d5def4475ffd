"""What a revision changed, word by word."""

import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import groupby

from cai.report.pieces import Said, Span, SpanKind
from cai.report.wording import LONGEST_TEXT

FEW_WORDS = 2
"""So few words that stayed between two changes are shown as changed."""

_WORD = re.compile(r"\S+|\s+")


def diff(who: str, before: str, after: str, longest: int = LONGEST_TEXT) -> Said:
    """The words of both texts: those that stayed, those that went and those that came.

    Only the first `longest` characters of either text are compared.
    """
    n_more = max(0, len(before) - longest, len(after) - longest)
    spans = _merged(_spans(_WORD.findall(before[:longest]), _WORD.findall(after[:longest])))
    return Said(who, tuple(spans), n_more)


def changed_share(before: str, after: str) -> float:
    """How much of both texts' words is not in the other, in [0, 1]; order is not looked at."""
    one, other = Counter(before.split()), Counter(after.split())
    total = one.total() + other.total()
    return 1 - 2 * (one & other).total() / total if total else 0.0


def _spans(before: list[str], after: list[str]) -> Iterator[Span]:
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        went, came = "".join(before[start:end]), "".join(after[new_start:new_end])
        if kind == "equal":
            yield Span("same", went)
            continue
        if went:
            yield Span("del", went)
        if came:
            yield Span("ins", came)


def _merged(spans: Iterator[Span]) -> Iterator[Span]:
    """Changes with next to nothing between them as one, which reads better than many."""
    for is_change, run in groupby(_softened(list(spans)), key=lambda each: each.kind != "same"):
        listed = list(run)
        if not is_change:
            yield Span("same", "".join(each.text for each in listed))
            continue
        kinds: tuple[SpanKind, ...] = ("del", "ins")
        for kind in kinds:
            text = "".join(each.text for each in listed if each.kind == kind)
            if text:
                yield Span(kind, text)


def _softened(spans: list[Span]) -> Iterator[Span]:
    """A word or two between two changes, as gone and come again."""
    for place, span in enumerate(spans):
        is_between = 0 < place < len(spans) - 1
        if span.kind == "same" and is_between and len(span.text.split()) <= FEW_WORDS:
            yield Span("del", span.text)
            yield Span("ins", span.text)
        else:
            yield span
