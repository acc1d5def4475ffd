"""Delimiters broken up inside texts that are not ours, so that none can end its block.

A backslash goes after the first sign of each, also of spellings that a model may take for one:
other cases, wide letters, spaces between signs, signs that are not seen. All other texts stay as
they are, letter for letter.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable

_UNSEEN = "\u200b"
"""Stands in a folded text for each sign of no width: joiners, marks of direction."""

_LINE_ENDS = str.maketrans(dict.fromkeys("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", "\n"))


def openings(delimiters: Iterable[str]) -> re.Pattern[str]:
    """Matches, in a folded text, the first sign of each delimiter; of overlapping ones, too."""
    found = "|".join(_loosely(_folded(each)) for each in delimiters)
    return re.compile(f"(?=(?:{found}))." if found else "(?!)", re.DOTALL)


def _loosely(delimiter: str) -> str:
    """A pattern of the delimiter with what a reader passes over: signs not seen, and spaces.

    Spaces may stand between a word and a sign, or two signs that differ: `< / turn >`, `( A )`.
    """
    delimiter = re.sub(" +", " ", delimiter)
    pattern = re.escape(delimiter[0])
    for before, sign in itertools.pairwise(delimiter):
        if sign == " ":
            pattern += rf"[\s{_UNSEEN}]+"
        elif before == " ":  # the gap is in the pattern already: two of them would search in vain
            pattern += re.escape(sign)
        elif before == "\n":
            pattern += rf"(?:[^\S\n]|{_UNSEEN})*{re.escape(sign)}"
        elif before == sign or (before.isalnum() and sign.isalnum()):
            pattern += f"{_UNSEEN}*{re.escape(sign)}"
        else:
            pattern += rf"[\s{_UNSEEN}]*{re.escape(sign)}"
    return pattern


def broken_up(found: re.Pattern[str], text: str) -> str:
    """The text with a backslash after the first sign of each delimiter."""
    starts = [match.start() for match in found.finditer(_folded(text))]
    cuts = [0, *(start + 1 for start in starts), len(text)]
    return "\\".join(text[start:end] for start, end in itertools.pairwise(cuts))


def _folded(text: str) -> str:
    """The text in small plain letters, sign for sign: `＜/ReſPONSE` as `</response`."""
    if text.isascii():
        return text.lower().translate(_LINE_ENDS)
    return text.translate({ord(sign): _plain(sign) for sign in set(text)}).translate(_LINE_ENDS)


def _plain(sign: str) -> str:
    if unicodedata.category(sign) == "Cf" or "\ufe00" <= sign <= "\ufe0f":
        return _UNSEEN
    plain = unicodedata.normalize("NFKC", sign).casefold()
    return plain if len(plain) == 1 else sign
