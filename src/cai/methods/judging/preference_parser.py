"""Where a text says which of the responses A and B is better, or that neither is.

References to a response ("Response A", "(A)", "**A**") become signs first, so that the article "a"
and a letter inside a word are none; the patterns then speak of signs alone.
"""

import re
from collections.abc import Iterator

from cai.methods.judging.statement_parser import (
    ANSWER_LABEL,
    ASIDE,
    BOXED,
    CLOSED,
    END,
    LINK,
    NOUN,
    NOUNS,
    Statement,
    first_line,
    last_line,
    plain,
    without_quotations,
)

# In a prepared text these signs stand for references to the responses.
_A, _B = "\x01", "\x02"
_X = f"[{_A}{_B}]"
_SIDES = {_A: "a", _B: "b"}
_SWAPPED = {"a": "b", "b": "a", "tie": "tie"}

# The judge is asked which response keeps a principle better, and answers in those words: "A follows
# the rule more closely". Verbs of keeping and breaking are therefore verdicts, as "better" is.
_KEEPS = (
    r"(?:keeps|follows|upholds|respects|satisfies|meets|obeys|honou?rs|adheres to|complies with|"
    r"sticks to|abides by|fits|matches|serves|reflects|aligns with|conforms to|embodies|observes)"
)
_KEPT = r"(?:kept|followed|upheld|respected|satisfied|met|obeyed|honou?red|served|observed)"
_BREAKS = r"(?:breaks|violates|ignores|breaches|disregards|contradicts|goes against)"
_RULE = (
    r"(?:the|this|that|its|each|every|all) (?:[a-z]+ ){0,2}?"
    r"(?:principle|rule|criterion|criteria|constitution|guideline|standard|requirement)s?"
    r"(?: of [a-z]+)?"
)
_IS = r"(?:is|was|seems|appears|looks|remains|ranks|comes out)(?: to be)?"
# Adverbs and fillers between a response and what is said of it, at most five.
_HOW = (
    r"(?: (?:the|a|an|one|that|which|is|my|by|far|bit|little|lot|much|clearly|slightly|somewhat|"
    r"significantly|marginally|considerably|noticeably|definitely|certainly|obviously|probably|"
    r"likely|arguably|generally|overall|simply|just|really|also|still|even|so|hence|therefore|thus|"
    r"indeed|then|here|again|now)){0,5}"
)
_CLOSELY = r"more (?:closely|fully|faithfully|carefully|strictly|consistently|clearly)"
_BETTER = r"(?:better|best|preferable|preferred|superior|stronger)"
_WORSE = r"(?:worse|worst|inferior|weaker|losing|rejected)"
# What follows the letter "A" where it is a response and not the article: a verb or a conjunction.
_SAID_OF_A = (
    rf"(?:{_IS}|{_KEEPS}|{_BREAKS}|{_CLOSELY}|better {_KEEPS}|wins?|won|loses|lost|deserves|does|"
    r"did|has|should|would|and|or|nor|over|because|since|as|for|but|so|while|by|due|than|vs|if|to|"
    r"are|were|when|rather|given|beats|outperforms|surpasses|prevails|performs|"
    r"ist|est|es|é|è|jest|лучше|"
    rf"(?:clearly|simply|definitely|also) (?:is|wins|{_KEEPS}))"
)

# A letter of any script that puts spaces between words, as Chinese and Japanese do not.
_LATIN = r"[^\W_\u2e80-\uffef]"
_LETTER = re.compile(
    rf"[abAB](?<!{_LATIN}.)(?<![^\W\d_]['-].)"
    rf"(?:(?='s {NOUN})|(?!{_LATIN}|_|'[a-z]|[+&]|[-./][c-zC-Z]))"
)
# Nouns that are named by letters themselves, "plan B": no reference to a response.
_THINGS = (
    "vitamin", "hepatitis", "plan", "type", "grade", "section", "part", "point", "class", "group",
    "team", "phase", "step", "figure", "table", "row", "column", "level",
)  # fmt: skip
_NO_ARTICLE = re.compile(rf"[ \t]+(?!{_SAID_OF_A}(?![\w-]))[a-z\u00c0-\u024f]", re.IGNORECASE)
_WRAPPED = re.compile(rf"[\"'(\[{{][ \t]?({_X})[ \t]?[\"')\]}}]")
_NAMED = re.compile(rf"{NOUN}[ \t_-]#?({_X})")
_OWNING = re.compile(rf"({_X})'s {NOUN}")

# What judges say in other languages: few words of each, and none that is English too.
_BETTER_ABROAD = (
    r"(?:bessere?|beste|vorzuziehen|meilleure?|préférable|mejor|preferible|melhor|preferível|"
    r"migliore|preferibile|beter|betere|лучше|лучший|lepsza|lepszy|更好的?|最好的?|较好的?)"
)
_WORSE_ABROAD = (
    r"(?:schlechtere?|schlechteste|schwächere?|pire|moins bonne|peor|pior|peggiore|slechtere?|"
    r"хуже|худший|gorsza|更差的?|较差的?)"
)
TIE = (
    r"(?:(?:a )?(?:tie|draw|tied|equal)(?![a-z])|unentschieden|gleichstand|égalité|empate|pareggio|"
    r"gelijkspel|remis\b|ничья|平局|平手|引き分け|互角|무승부)"
)

_BETTER_LABEL = (
    rf"(?:(?:{_CLOSELY} )?{_KEEPS} {_RULE}(?: better| best| {_CLOSELY})?|"
    rf"{_BETTER}(?: {_KEEPS} {_RULE})?|winning|winner|preference|favou?rite|{_BETTER_ABROAD}|"
    rf"{NOUN} {_BETTER_ABROAD})"
)
_WORSE_LABEL = (
    rf"(?:{_BREAKS} {_RULE}(?: more| most)?|{_WORSE}|loser|{_WORSE_ABROAD}|{NOUN} {_WORSE_ABROAD})"
)
_KIND = rf"(?:[ _-](?:{NOUN}|one|letter))?(?: of the two)?"
_LABEL_BEFORE = re.compile(
    rf"(?<![a-z])(?:{ANSWER_LABEL}|{_BETTER_LABEL}|{_WORSE_LABEL}){_KIND}{ASIDE}{LINK}$"
)
_LABELLED = re.compile(
    rf"(?<![a-z])(?:{ANSWER_LABEL}|(?P<better>{_BETTER_LABEL})|(?P<worse>{_WORSE_LABEL}))"
    rf"{_KIND}{ASIDE}{LINK}(?:(?P<x>{_X})(?:[^\w/\n{_A}{_B}]{{1,4}}(?P=x))?|{TIE})"
)
_BOTH = re.compile(
    rf"[ \t]*(?:(?:and|or|vs\.?|[,;/&|+])[ \t]*){{1,2}}{_X}"
    rf"(?![ \t]+(?:{_IS}|{_KEEPS}|{_BREAKS}|has|does|did|loses|fails|would|only)\b)"
)
_MARKED = re.compile(rf"(?:{BOXED}(?P<x>{_X})|⟦\s?(?:c|{TIE})\s?⟧)")
_COMPARED = re.compile(
    rf"(?<![</])(?P<x>{_X})[ \t]*(?:(?P<better>>{{1,3}})|(?P<worse><{{1,3}}))[ \t]*{_X}"
)
_CHOSEN = re.compile(
    r"(?<![a-z])(?:i|we|let me|let's)"
    r"(?:'d|'ll|'m| am| would| will| must| shall| can| do| have to| have)?"
    r"(?: (?:therefore|thus|hence|clearly|definitely|still|slightly|strongly|really|only|rather)"
    r"){0,2}"
    r" (?:(?P<better>prefer(?:red)?|favou?r(?:ed)?|recommend)|choose|chose|choosing|"
    r"pick(?:ed|ing)?|select(?:ed|ing)?|go(?:ing)? (?:with|for)|vote(?: for)?|opt for|settle on|"
    rf"lean(?:ing)? towards?):?\s{{1,2}}(?:the )?(?P<x>{_X})"
)
_CONCLUDED = re.compile(
    r"\b(?:so|therefore|thus|hence|overall|finally|definitely|clearly|it's|it is|"
    rf"i(?:'d| would) say)[,:]? (?P<x>{_X})(?=[.!]?[ \t]*$)",
    re.MULTILINE,
)
# better in one respect only is not better
_WHOLLY = (
    r"(?![a-z]| (?:at|written|worded|structured|formatted|organi[sz]ed|known|suited|if|when|only)\b"
    r"| in (?!keeping|following|every|all|my|both|general|this)| on (?!every|all|both|balance))"
)
_STATED = re.compile(
    rf"(?P<x>{_X})(?:, [^,.;\n{_A}{_B}]{{1,60}},| \([^()\n{_A}{_B}]{{1,60}}\))?{_HOW} (?:"
    rf"(?P<better>(?:{_IS}|does|did|performs|fares|works){_HOW} {_BETTER}{_WHOLLY}"
    r"|is(?: clearly| still)? (?:the|my)(?: (?:clear|right|correct|better|best|final|overall))?"
    r" (?:winner|favou?rite|choice|pick|preference)|(?:is|comes out) ahead"
    r"|(?:wins|won|prevails)(?! (?:in|on|at)\b)|beats|outperforms|surpasses"
    rf"|edges out|has the edge|{_KEEPS} {_RULE}{_HOW} (?:better|best|{_CLOSELY})"
    rf"|(?:better|best|{_CLOSELY}) {_KEEPS}"
    rf"|(?:aligns|adheres|complies|conforms){_HOW} (?:better|best|{_CLOSELY}) (?:to|with) {_RULE}"
    r"|(?:shows|demonstrates|displays|has) (?:better|stronger|closer) (?:adherence|compliance|"
    rf"alignment)|{_IS}{_HOW} more (?:aligned|in line|consistent|compliant) with {_RULE}"
    r"|deserves to win|should (?:win|be (?:preferred|chosen|picked|selected)))"
    rf"|(?P<worse>(?:{_IS}|does|did|performs|fares|works){_HOW} {_WORSE}{_WHOLLY}|loses|lost"
    rf"|{_BREAKS} {_RULE}{_HOW} (?:more|most|worse|further)|{_KEEPS} {_RULE}{_HOW} (?:worse|less)"
    r"))(?![a-z])"
)
_FOUND = re.compile(
    rf"\b(?:(?:find|consider|deem|judge|rank|rate) (?P<x>{_X})(?: to be| as)?{_HOW} "
    rf"(?:(?P<better>{_BETTER})|(?P<worse>{_WORSE})){_WHOLLY})"
)
_BY = re.compile(
    rf"\b(?P<better>{_KEPT} (?:better|best|{_CLOSELY})|(?:better|best|{_CLOSELY}) {_KEPT}) by "
    rf"(?:the )?(?P<x>{_X})"
)
_CHOSEN_ABROAD = re.compile(
    r"(?:\b(?:ich (?:wähle|bevorzuge|entscheide mich für)|je (?:choisis|préfère)|elijo|escojo|"
    r"prefiero|escolho|prefiro|scelgo|preferisco|ik kies|я (?:выбираю|предпочитаю)|wybieram)"
    rf"(?: (?:die|la|le|a|de))? |选择|選擇|选|選ぶのは)(?P<x>{_X})|(?P<y>{_X})(?:の回答)?を選"
)
_HOW_ABROAD = r"(?: (?:klar|deutlich|etwas|insgesamt|nettement|claramente|chiaramente|die|la))?"
_STATED_ABROAD = re.compile(
    rf"(?P<x>{_X})(?: (?:ist|est|es|é|è|is|jest){_HOW_ABROAD})? "
    rf"(?:(?P<better>{_BETTER_ABROAD})|(?P<worse>{_WORSE_ABROAD}))"
    r"(?=\s*(?:\Z|[.,;:!)\n]|(?:als|que|do que|che|di|чем|dan|niż|weil|denn|car|parce|porque|"
    r"perché|потому|und|et)\b))"
    rf"|(?:лучше|лучший) (?P<y>{_X})"
)
_STATED_ASIA = re.compile(
    rf"(?P<x>{_X})(?:的|の|의)?(?:回答|回复|答え|答案|응답|답변)?(?:"
    rf"(?:明显|显然|总体上?|整体)?(?:比{_X}(?:的回答)?)?更?"
    r"(?:(?P<better>更?(?:好|优|佳|符合)|胜出|较好|最好)|(?P<worse>更?(?:差|糟)|较差|最差))(?![的吗])"
    r"|(?:の)?(?:方|ほう)が[^。.\n]{0,12}?(?:良い|よい|いい|優れ|好まし|適切|望まし)(?!とは|わけ|か)"
    r"|[가이] (?:더 )?(?:좋|낫|나은|우수|적절|바람직)(?!지))"
)
# Each begins with letters of its own, not with a boundary: so they are searched for fast.
_BOTH_OF_THEM = (
    r"(?:both|the two|they|these|responses|answers|replies)(?: of (?:them|these))?"
    rf"(?: (?:the )?(?:responses|answers|replies|options))?(?: {_X} and {_X})?"
)
_LIKE = (
    rf"(?: (?:are|were|seem|look|appear|do|perform))?{_HOW} (?:equally|similarly) (?:good|bad|well|"
    r"poor|poorly|strong|weak|valid|fine|acceptable|suitable|matched)"
    rf"| (?:are|were|seem|look|appear){_HOW} (?:equal|equivalent|tied|on a par|on par|the same|"
    rf"comparable|indistinguishable|tie){END}|(?: [a-z]+){{1,2}} {_RULE}{_HOW} equally"
)
_TIED = (
    re.compile(
        rf"neither(?: of (?:them|these|the (?:two|responses|answers|replies))| (?:{NOUN}|one)|"
        rf" {_X} nor {_X})?{_HOW} (?:(?:{_IS}|does|performs){_HOW} (?:{_BETTER}|{_WORSE})|wins|"
        rf"stands out|{_KEEPS} {_RULE}{_HOW} (?:better|best|{_CLOSELY}))"
    ),
    re.compile(
        r"no(?: (?:real|clear|significant|meaningful|discernible|noticeable|strong|relevant)){0,2}"
        rf" (?:difference|winner|preference)(?: in quality)?(?: between [^.,;\n]{{0,50}}?)?{END}"
    ),
    re.compile(rf"{_BOTH_OF_THEM}(?:{_LIKE})"),
    re.compile(rf"{_X} and {_X}(?:{_LIKE})"),
    re.compile(rf"{_X}[ \t]*(?:={{1,3}}|≈)[ \t]*{_X}"),
    re.compile(
        r"(?:it|this|that|they|result|outcome|comparison|verdict)"
        rf"(?:'s|'re| is| are| was| ends in| end in| is in){_HOW} (?:tie|draw|tied|toss-up){END}"
    ),
    re.compile(
        r"(?:call|declare|judge|rate|consider|say)(?: it| this| them)?(?: as| is|'s)?(?: a)?"
        rf" (?:tie|draw|tied|equal){END}"
    ),
)
_AROUND = rf"[^\w:/\n{_A}{_B}]*"
_AGAIN = rf"(?:[^\w/\n{_A}{_B}]{{1,4}}(?P=x))?"  # "B: response B"
_BARE = re.compile(rf"{_AROUND}(?:(?P<x>{_X}){_AGAIN}|{TIE}|equally good){_AROUND}")
_BARE_A = re.compile(rf"^{_AROUND}{_A}{_AROUND}$", re.MULTILINE)
_BARE_B = re.compile(rf"^{_AROUND}{_B}{_AROUND}$", re.MULTILINE)
_OTHER = re.compile(r"[\w<>=≈]")
_OPENING = re.compile(rf"{_AROUND}(?P<x>{_X})[.,]? (?:because|since|as)\b")


_CHOICES = (
    _COMPARED, _CHOSEN, _CONCLUDED, _STATED, _FOUND, _BY, _CHOSEN_ABROAD, _STATED_ABROAD,
    _STATED_ASIA,
)  # fmt: skip


def prepared(text: str) -> str:
    """The text in small letters, references as signs, quotations left out."""
    shown = _LETTER.sub(_sign, plain(text)).lower()
    for pattern in (_OWNING, _WRAPPED, _WRAPPED, _NAMED):  # ("A") is wrapped twice
        shown = pattern.sub(r"\1", shown)
    return without_quotations(shown, _LABEL_BEFORE).strip()


def votes(text: str, *, is_negated: bool) -> Iterator[Statement]:
    """The statements of a prepared text: "a", "b", "tie", None for both letters at once.

    They answer the question asked: of a negated one, what is better is no answer, what is worse is.
    """
    # A bare "A B" or "A/B" repeats the options and chooses neither.
    if _A in text and _B in text and not _OTHER.search(text):
        yield Statement(0, len(text), None, is_mark=True)
        return
    for match in _MARKED.finditer(text):
        yield Statement(*match.span(), _side(match), is_mark=True)
    for match in _LABELLED.finditer(text):
        if _BOTH.match(text, match.end()):
            yield Statement(*match.span(), None)
        elif CLOSED.match(text, match.end()):
            yield Statement(*match.span(), _answer(match, is_negated))
    # Only a choice can name both at once ("I choose A and B"); a comparison has both by nature.
    for pattern in _CHOICES:
        for match in pattern.finditer(text):
            is_choice = pattern is _CHOSEN or pattern is _CHOSEN_ABROAD
            is_both = is_choice and _BOTH.match(text, match.end())
            yield Statement(*match.span(), None if is_both else _answer(match, is_negated))
    for pattern in _TIED:
        for match in pattern.finditer(text):
            yield Statement(*match.span(), "tie")
    yield from _bare_votes(text)


def _sign(match: re.Match[str]) -> str:
    """A letter as a sign, unless it is an article or a part of a name."""
    text, letter = match.string, match[0]
    before = text[max(0, match.start() - 12) : match.start()].rstrip("#")
    word, gap = before[:-1].lower(), before[-1:]
    is_named = gap != "" and gap in " \t_-" and word.endswith(NOUNS)
    if (gap == "_" and not is_named) or (gap == " " and word.endswith(_THINGS)):
        return letter
    is_certain = letter in "Bb" or (is_named and (letter == "A" or gap == "_"))
    if not is_certain and _NO_ARTICLE.match(text, match.end()):
        return letter
    return _A if letter in "Aa" else _B


def _side(match: re.Match[str]) -> str:
    groups = match.groupdict()
    return _SIDES.get(groups["x"] or groups.get("y") or "", "tie")


def _answer(match: re.Match[str], is_negated: bool) -> str:
    """The vote of a statement of quality, or of one that names a letter and no quality."""
    groups = match.groupdict()
    # "A is worse" is a vote for B; asked which one is worse, "A is better" is.
    is_turned = groups.get("better") if is_negated else groups.get("worse")
    return _SWAPPED[_side(match)] if is_turned else _side(match)


def _bare_votes(text: str) -> Iterator[Statement]:
    """A letter alone in the last line, or in the first where no other line is the other letter."""
    for place in (first_line(text), last_line(text)):
        match = _BARE.fullmatch(text, *place)
        if match is not None and (place[1] == len(text) or not _is_heading(text, match["x"])):
            yield Statement(*place, _side(match), is_mark=True)
    match = _OPENING.match(text)
    if match is not None:
        yield Statement(*match.span(), _side(match), is_mark=True)


def _is_heading(text: str, sign: str | None) -> bool:
    return sign is not None and (_BARE_B if sign == _A else _BARE_A).search(text) is not None
