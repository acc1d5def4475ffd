"""What a revision changed, word by word."""

import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import groupby

from cai.report.model import Span, SpanKind, TextBlock
from cai.report.text import LONGEST_TEXT

FEW_WORDS = 2
"""So few words that stayed between two changes are shown as changed."""

MOST_MATCHES = 10_000
"""Pairs of equal words; texts that repeat themselves more are compared at their ends alone."""

_WORD = re.compile(r"\s*\S+|\s+$")
_Change = tuple[int, int, int, int]


def diff(who: str, before: str, after: str, longest: int = LONGEST_TEXT) -> TextBlock:
    """The words of both texts: those that stayed, those that went and those that came.

    Only the first `longest` characters of either text are compared; white space is not.
    """
    n_more = max(0, len(before) - longest, len(after) - longest)
    spans = _merged(_spans(_WORD.findall(before[:longest]), _WORD.findall(after[:longest])))
    return TextBlock(who, tuple(spans), n_more)


def changed_share(before: str, after: str) -> float:
    """How much of both texts' words is not in the other, in [0, 1]; order is not looked at."""
    one, other = Counter(before.split()), Counter(after.split())
    total = one.total() + other.total()
    return 1 - 2 * (one & other).total() / total if total else 0.0


def _spans(before: list[str], after: list[str]) -> Iterator[Span]:
    start = new_start = 0
    for end, new_end, next_start, next_new in _changes(before, after):
        if new_end > new_start:
            yield _same(before[start:end], after[new_start:new_end])
        if next_start > end:
            yield Span("del", "".join(before[end:next_start]))
        if next_new > new_end:
            yield Span("ins", "".join(after[new_end:next_new]))
        start, new_start = next_start, next_new
    assert len(before) - start == len(after) - new_start, "what is left stayed"
    if new_start < len(after):
        yield _same(before[start:], after[new_start:])


def _same(before: list[str], after: list[str]) -> Span:
    """The words as they are after; one that only now begins the text keeps its space before it."""
    first = after[0] if after[0][:1].isspace() else before[0]
    return Span("same", first + "".join(after[1:]))


def _changes(before: list[str], after: list[str]) -> Iterator[_Change]:
    """Where each change begins in both lists, and where it ends in both."""
    one, other = [word.strip() for word in before], [word.strip() for word in after]
    counts, others = Counter(one), Counter(other)
    if sum(n * others[word] for word, n in counts.items()) > MOST_MATCHES:
        head = _n_alike(one, other)
        tail = _n_alike(one[head:][::-1], other[head:][::-1])
        yield head, head, len(one) - tail, len(other) - tail
        return
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        if kind != "equal":
            yield start, new_start, end, new_end


def _n_alike(one: list[str], other: list[str]) -> int:
    """How many words at the beginning are the same."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


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
