"""What a revision changed, word by word.

Example:
    block = diff("revision", "You silly goose.", "You kind goose.")
    [(span.kind, span.text) for span in block.spans]
    # [("same", "You"), ("del", " silly"), ("ins", " kind"), ("same", " goose.")]
"""

import re
from collections import Counter
from difflib import SequenceMatcher
from itertools import takewhile

from cai.report.model import Span, TextBlock
from cai.report.text import LONGEST_TEXT

FEW_WORDS = 2
"""At most this many unchanged words between two changes are shown as changed."""

MAX_MATCHES = 10_000
"""Pairs of equal words; of texts that repeat themselves more, only the ends are compared."""

_WORD = re.compile(r"\s*\S+|\s+$")


def diff(label: str, before: str, after: str, longest: int = LONGEST_TEXT) -> TextBlock:
    """Both texts as one: unchanged, deleted and inserted words.

    Only the first `longest` characters of either text are compared; white space is not.
    """
    n_more = max(0, len(before) - longest, len(after) - longest)
    old, new = _WORD.findall(before[:longest]), _WORD.findall(after[:longest])
    opcodes = _opcodes([word.strip() for word in old], [word.strip() for word in new])
    spans: list[Span] = []
    deleted = inserted = ""
    for i, (kind, start, end, new_start, new_end) in enumerate(opcodes):
        if kind != "equal":
            deleted += "".join(old[start:end])
            inserted += "".join(new[new_start:new_end])
            continue
        # White space is that of the new text. Where its first word starts the text, it has none,
        # and would run into the deleted words before it: then the old white space is used.
        first = new[new_start] if new[new_start][:1].isspace() else old[start]
        same = first + "".join(new[new_start + 1 : new_end])
        if new_end - new_start <= FEW_WORDS and 0 < i < len(opcodes) - 1:
            # Long changes read better than many short ones with a word or two between them.
            deleted, inserted = deleted + same, inserted + same
            continue
        spans += [Span("del", deleted), Span("ins", inserted), Span("same", same)]
        deleted = inserted = ""
    spans += [Span("del", deleted), Span("ins", inserted)]
    return TextBlock(label, tuple(span for span in spans if span.text), n_more)


def changed_share(before: str, after: str) -> float:
    """The share of both texts' words that is not in the other, in [0, 1]; order is ignored."""
    one, other = Counter(before.split()), Counter(after.split())
    total = one.total() + other.total()
    return 1 - 2 * (one & other).total() / total if total else 0.0


def _opcodes(one: list[str], other: list[str]) -> list[tuple[str, int, int, int, int]]:
    """As `SequenceMatcher.get_opcodes`, whose time grows with the pairs of equal words."""
    # Without `autojunk`, which takes the commonest words of a long text for noise and never matches
    # them.
    counts, others = Counter(one), Counter(other)
    if sum(n * others[word] for word, n in counts.items()) <= MAX_MATCHES:
        return list(SequenceMatcher(None, one, other, autojunk=False).get_opcodes())
    head = _n_alike(one, other)
    # After the head, or of "a b" and "a b a b" the same words would be of the head and of the tail.
    tail = _n_alike(one[head:][::-1], other[head:][::-1])
    end, new_end = len(one) - tail, len(other) - tail
    opcodes = [
        ("equal", 0, head, 0, head),
        ("replace", head, end, head, new_end),
        ("equal", end, len(one), new_end, len(other)),
    ]
    return [each for each in opcodes if each[2] > each[1] or each[4] > each[3]]


def _n_alike(one: list[str], other: list[str]) -> int:
    """How many words at the start are the same."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))
