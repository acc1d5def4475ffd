r"""Delimiters broken up inside values: no text can end the block of a prompt that it is in.

A delimiter gets a backslash after its first character. So does each spelling that a model could
take for it: other cases, fullwidth letters, look-alikes from other alphabets, combining marks,
spaces or invisible characters inside.

Example:
    found = delimiter_pattern(["</response"])
    escape_delimiters(found, "a </Response> b")  # "a <\/Response> b"
"""

import itertools
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable

_INVISIBLE = "\u200b"  # replaces each character of no width in a normalized text
_LINE_ENDS = str.maketrans(dict.fromkeys("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", "\n"))

# Fillers and blanks that are neither spaces nor of a category of their own; the rest are format
# characters (Cf) and marks (Mn, Me), among them variation selectors and the grapheme joiner.
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0\U0001d159")

# What looks like a letter or sign of ASCII in most fonts and is another character: the part of
# Unicode's confusables (UTS #39) that compatibility forms (NFKC) leave.
_LOOK_ALIKES = {
    "a": "аαΑɑᴀա", "b": "ьвβΒʙƅ", "c": "сςϲᴄ", "d": "ԁđɗᴅ", "e": "еєεΕᴇ", "f": "ꜰƒϝ", "g": "ԍɡցɢ",
    "h": "һнΗհħʜ", "i": "іιΙıɪɩї", "j": "јϳȷᴊ", "k": "кκΚᴋ", "l": "ӏłʟ", "m": "мΜᴍ",
    "n": "пηΝոɴ", "o": "оοΟօøᴏσ", "p": "рρΡᴘ", "q": "ԛզ", "r": "гʀᴦ", "s": "ѕꜱƽ", "t": "тτΤᴛŧ",
    "u": "υսᴜʋ", "v": "ѵνᴠ", "w": "ѡԝωᴡ", "x": "хχΧ", "y": "уγΥʏү", "z": "ᴢΖʐ",
    "<": "‹〈⟨❮❬˂≺ᐸ", ">": "›〉⟩❯❭˃≻ᐳ", "/": "⁄∕⧸╱⟋", ":": "꞉ː։׃⁚∶˸", "(": "❨⟮❲〔⦅﴾",
    ")": "❩⟯❳〕⦆﴿", "[": "⟦【⁅", "]": "⟧】⁆", "|": "∣ǀ❘│┃", "-": "‐‑‒–—−⁃˗", "=": "꞊═", "#": "⋕♯",
    "_": "ˍ", "*": "⁎∗٭",
}  # fmt: skip
_LISTED = {alike: plain for plain, alikes in _LOOK_ALIKES.items() for alike in alikes}
_ALIKE = _LISTED | {
    alike.upper(): plain
    for alike, plain in _LISTED.items()
    if "Ѐ" <= alike <= "֏" and len(alike.upper()) == 1  # Cyrillic and Armenian: Greek differs
}


def delimiter_pattern(delimiters: Iterable[str]) -> re.Pattern[str]:
    """Matches, in a normalized text, the first character of each delimiter.

    Invisible characters may be anywhere inside, and spaces between a word and a punctuation mark or
    between two marks that differ: `< / turn >`, `( A )`.
    """
    patterns: list[str] = []
    for delimiter in delimiters:
        text = re.sub(" +", " ", _normalized(delimiter))
        pattern = re.escape(text[0])
        for before, char in itertools.pairwise(text):
            if char == " ":
                gap, char = rf"[\s{_INVISIBLE}]+", ""
            elif before == " ":
                gap = ""  # the gap precedes already: two in a row would backtrack without end
            elif before == "\n":
                gap = rf"(?:[^\S\n]|{_INVISIBLE})*"
            elif before == char or (before.isalnum() and char.isalnum()):
                gap = f"{_INVISIBLE}*"
            else:
                gap = rf"[\s{_INVISIBLE}]*"
            pattern += gap + re.escape(char)
        patterns.append(pattern)
    # A lookahead, so that overlapping delimiters match too.
    return re.compile(f"(?=(?:{'|'.join(patterns)}))." if patterns else "(?!)", re.DOTALL)


def escape_delimiters(pattern: re.Pattern[str], text: str) -> str:
    """The text with a backslash after the first character of each delimiter, else unchanged.

    One character that stands for several, such as ⒜ for (a), is written out where it is, or begins,
    a delimiter.
    """
    if text.isascii():
        normalized, origins = text.lower().translate(_LINE_ENDS), None
    else:
        normalized, origins = _normalized_with_origins(text)
    starts = [match.start() for match in pattern.finditer(normalized)]
    if not starts:
        return text
    if origins is None:
        cuts = [0, *(start + 1 for start in starts), len(text)]
        return "\\".join(text[start:end] for start, end in itertools.pairwise(cuts))
    pieces, done = list[str](), 0
    for origin, group in itertools.groupby(starts, key=origins.__getitem__):
        pieces.append(text[done:origin])
        done = origin + 1
        if (plain := _plain(text[origin])) and len(plain) == 1:
            pieces.append(f"{text[origin]}\\")
            continue
        first, end = bisect_left(origins, origin), 0
        for start in group:
            pieces.append(f"{plain[end : start - first + 1]}\\")
            end = start - first + 1
        pieces.append(plain[end:])
    return "".join((*pieces, text[done:]))


def _normalized_with_origins(text: str) -> tuple[str, list[int] | None]:
    """The text in plain lower case, and of each of its characters the place in the text.

    The places are None where every character stands for one: they are then those of the text.
    """
    table = {ord(char): _plain(char) for char in set(text)}
    normalized = text.translate(table)
    if all(len(plain) == 1 for plain in table.values()):
        return normalized, None
    origins = [place for place, char in enumerate(text) for _ in table[ord(char)]]
    return normalized, origins


def _normalized(text: str) -> str:
    """The text in plain lower case: `＜/ReſPONSE` as `</response`."""
    return "".join(map(_plain, text))


def _plain(char: str) -> str:
    """The plain lower case of a character: mostly one character, never none."""
    if char.isascii():
        return char.lower().translate(_LINE_ENDS)
    if char in _FILLERS or unicodedata.category(char) in ("Cf", "Mn", "Me"):
        return _INVISIBLE
    # Its parts without the marks above and below them: é is a look-alike of e.
    parts = unicodedata.normalize("NFKD", char).casefold()
    parts = (_ALIKE.get(part, part) for part in parts if not unicodedata.combining(part))
    plain = _ALIKE.get(char) or "".join(parts)
    return (plain or _INVISIBLE).translate(_LINE_ENDS)
