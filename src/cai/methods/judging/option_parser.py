"""Which of several options a free text chooses: strictly, and by its last explicit statement.

Options are letters or single words. A letter counts where the text says that it is the answer, or
where it stands alone or opens the text as "(B) …" or "B. …"; the article "a" and a letter inside a
sentence are none.

Example:
    >>> read_option("It could be A, but the answer is (B).", ("A", "B", "C"))
    1
"""

import re
from collections.abc import Iterator, Sequence

from cai.methods.judging.statement_parser import (
    ANSWER_LABEL,
    ASIDE,
    BOXED,
    CLOSED,
    LINK,
    Statement,
    first_line,
    last,
    last_line,
    plain,
    without_quotations,
)

_LABEL = rf"(?<![a-z])(?:{ANSWER_LABEL}|(?:correct|best|right) (?:one|option))(?: option)?{ASIDE}"
_LABEL_BEFORE = re.compile(rf"{_LABEL}{LINK}$")
_NAMED = r"(?:(?:option|answer|choice) )?"
_CHOSEN = (
    r"\bi(?:'d| would|'ll| will)? (?:choose|chose|pick|picked|select|selected|say|answer|"
    r"go with|opt for)(?: with)?:? (?:the )?"
)
# "A and B" or "A/B" names several options, which is no choice.
_AND_ANOTHER = r"\)?(?:[ \t]*(?:(?:and|or)\b|[,/;&|])){1,2}[ \t]*"
# "A" and "I" are also words, unless a reason or a verb of the answer follows
_GOES_ON = re.compile(r",?[ \t]+(?!(?:because|since|is|and|or)\b)[a-z]")
# In a prepared text pairs of control characters stand for the options: no text has them, and a
# fixed length keeps the patterns simple for up to 64 options.
_MOST = 8
_WRITTEN = r"0-9A-Za-z_\u00c0-\u1fff"  # of scripts that put spaces between words


def read_option(text: str, options: Sequence[str]) -> int | None:
    """The place of the option that the text chooses; None where it chooses none, or several."""
    said = without_quotations(_prepared(text, options), _LABEL_BEFORE).strip()
    found = last(said, _statements(said))
    return None if found is None or found.says is None else int(found.says)


def _prepared(text: str, options: Sequence[str]) -> str:
    """The text in small letters, each option a sign of its own wherever it could be meant."""
    shown = plain(text)
    are_letters = all(len(option) == 1 for option in options)
    places = {option if are_letters else option.lower(): n for n, option in enumerate(options)}
    either = "|".join(map(re.escape, sorted(places, key=len, reverse=True)))
    pattern = re.compile(
        rf"(?<![{_WRITTEN}'’-])\(?(?P<x>{either})(?P<end>\))?(?![{_WRITTEN}'’])",
        0 if are_letters else re.IGNORECASE,
    )

    def sign(match: re.Match[str]) -> str:
        place = places[match["x"] if are_letters else match["x"].lower()]
        if match[0] in ("A", "I") and _GOES_ON.match(match.string, match.end()):
            return match[0]
        return _sign(place) + (match["end"] or "")

    return pattern.sub(sign, shown).lower()


def _sign(place: int) -> str:
    """A run of control characters that stands for an option and is of one length for all."""
    high, low = divmod(place, _MOST)
    return f"{chr(1 + high)}{chr(1 + low)}"


_X = r"(?P<x>[\x01-\x08]{2})"
_STATED = re.compile(rf"(?:(?P<mark>{BOXED})|{_LABEL}{LINK}|{_CHOSEN}){_NAMED}{_X}")
_ALONE = re.compile(rf"[^\w\n\x01-\x08]*{_NAMED}{_X}[^\w\n\x01-\x08]*")
_OPENING = re.compile(rf"[^\w\n\x01-\x08]*{_NAMED}{_X}(?:[.:,;)\]]|[ \t]+[-–—])")
_OTHER = re.compile(rf"{_AND_ANOTHER}{_NAMED}[\x01-\x08]{{2}}")


def _statements(text: str) -> Iterator[Statement]:
    for match in _STATED.finditer(text):
        if _OTHER.match(text, match.end()):
            yield Statement(*match.span(), None)
        elif CLOSED.match(text, match.end()):
            yield Statement(*match.span(), _place(match), is_mark=match["mark"] is not None)
    lines = [_ALONE.fullmatch(text, *place) for place in (first_line(text), last_line(text))]
    opening = _OPENING.match(text)
    if opening is not None and not _OTHER.match(text, opening.end("x")):
        lines.append(opening)
    alone = [match for match in lines if match is not None]
    if len({match["x"] for match in alone}) > 1:
        yield Statement(alone[0].start(), alone[-1].end(), None, is_mark=True)
    else:
        yield from (Statement(*match.span(), _place(match), is_mark=True) for match in alone)


def _place(match: re.Match[str]) -> str:
    high, low = (ord(sign) - 1 for sign in match["x"])
    return str(high * _MOST + low)
