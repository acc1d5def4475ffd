"""What a judge's free text says: a vote, a mark, a yes or a no.

The last explicit statement counts, never the first letter found: a judge that thinks aloud names
both responses before it settles on one. A text that states nothing is unparsed, one that declines
to judge is refused; neither is ever a default.
"""

import re
from collections.abc import Iterator
from typing import Literal

from cai.methods.judging.preference_parser import prepared, votes
from cai.methods.judging.statement_parser import (
    ANSWER_LABEL,
    ASIDE,
    BOXED,
    CLOSED,
    END,
    LINK,
    Statement,
    first_line,
    last,
    last_line,
    plain,
    without_quotations,
)
from cai.models.base import Completion

Vote = Literal["a", "b", "tie", "unparsed", "refused"]

VERDICT_SCHEMA = (
    '{"type": "object", "properties": {"verdict": {"type": "string", "enum": ["A", "B", "tie"]}}, '
    '"required": ["verdict"], "additionalProperties": false}'
)
"""The JSON Schema of an answer that `read_vote` reads."""

MARK_SCHEMA = (
    '{"type": "object", "properties": {"score": {"type": "integer", '
    '"enum": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}}, '
    '"required": ["score"], "additionalProperties": false}'
)
"""The JSON Schema of an answer that `read_mark` reads."""

YES_NO_SCHEMA = (
    '{"type": "object", "properties": {"answer": {"type": "string", "enum": ["Yes", "No"]}}, '
    '"required": ["answer"], "additionalProperties": false}'
)
"""The JSON Schema of an answer that `read_yes_no` reads."""

_VOTES: dict[str, Vote] = {"a": "a", "b": "b", "tie": "tie"}


def read_vote(text: str, *, is_negated: bool = False) -> Vote:
    """Which of the responses A and B the text chooses; `unparsed` where it settles on none.

    The vote is the answer to the question asked: a negated one asks which response is worse, and
    there "A is better" is a vote for B. `refused` is a text that declines to judge and gives no
    verdict.
    """
    said = prepared(text)
    found = last(said, votes(said, is_negated=is_negated))
    if found is not None:
        return "unparsed" if found.says is None else _VOTES[found.says]
    return "refused" if _REFUSAL.search(_first_and_last(said)) else "unparsed"


def read_mark(text: str) -> int | None:
    """The mark from 1 to 10 that the text gives; None for any other number, scale or a range."""
    said = without_quotations(plain(text).lower(), _MARK_LABEL_BEFORE).strip()
    found = last(said, _marks(said))
    return None if found is None or found.says is None else int(found.says)


def read_yes_no(text: str) -> bool | None:
    """Whether the text says yes; None where it says neither, or both."""
    said = without_quotations(plain(text).lower(), _YES_LABEL_BEFORE).strip()
    found = last(said, _answers(said))
    return None if found is None or found.says is None else found.says == "yes"


def why_unparsed(answer: Completion) -> str:
    """Why nothing could be read from an answer; "" where its text alone is the reason."""
    if answer.stop_reason == "length":
        inside = ", inside its reasoning" if answer.reasoning and not answer.text else ""
        return f"the answer was cut off{inside}"
    if not answer.text:
        return f"the answer is empty{' after its reasoning' if answer.reasoning else ''}"
    return ""


def both_reasons(by_logprobs: str, in_words: str) -> str:
    """Why neither log-probabilities, where they were asked for, nor words could be read."""
    if not by_logprobs:
        return in_words
    return f"{by_logprobs} In words: {in_words or 'nothing is stated'}."


def is_refusal(text: str) -> bool:
    """Whether a text opens or ends by declining to judge, whatever else it says."""
    return _REFUSAL.search(_first_and_last(prepared(text))) is not None


_MARK_LABEL = (
    r"(?<![a-z])(?:score|rating|mark|grade|points?|verdict|answer|final|result|overall|evaluation|"
    r"judge?ment|bewertung|note|punktzahl|ergebnis|puntuación|calificación|nota|pontuação|punteggio|"
    r"voto|beoordeling|cijfer|ocena|puan|skor|điểm|оценка|балл|分数|评分|評分|得分|答案|スコア|評価|"
    r"点数|점수|평점)"
    r"(?: ?\([^()\n]{0,40}\)| (?:(?:from|on a scale of|of) )?1 ?(?:[-–]|to) ?10)?"
    r"(?: (?:for|under|on) [^:\n]{1,60}(?=:))?"
)
_MARK_LABEL_BEFORE = re.compile(rf"{_MARK_LABEL}{LINK}$")
_NUMBER = r"(?P<number>-?\d{1,9}(?:[.,]\d{1,9})?)(?!(?![分点點점])[\w%]|[.,]\d)"
_OF = r"\s?(?:/|out of|von|sur|de|su|van|из|na)\s?"
_SCALE = rf"(?:[分点點점]|{_OF}(?P<scale>\d{{1,4}}))?(?![\d/])"
_GIVEN = (
    r"(?:\b(?:ich gebe|je donne|doy|dou|do|ставлю)(?: eine?| une?)? |我?(?:给出?|打)|"
    r"\b(?:give|rate|score|grade|mark|award)s?"
    r"(?: (?:it|this|that|(?:the|this) (?:response|answer|reply)))?(?: (?:with|as|at))?(?: an?)?"
    r"(?: (?:score|rating|mark|grade)(?: of)?)? )"
)
# Marks with a label or a verb, and numbers with their scale; a bare number counts only alone.
_MARKS = (
    re.compile(rf"(?:{BOXED}|{_MARK_LABEL}(?:{LINK}| of )(?:an? )?|{_GIVEN}){_NUMBER}{_SCALE}"),
    re.compile(rf"(?<![\w.,/-]){_NUMBER}{_OF}(?P<scale>\d{{1,4}})(?![\d/])"),
)
_BARE_MARK = re.compile(rf"[^\w\n-]*{_NUMBER}{_SCALE}(?: points?)?[^\w\n]*")
_OPENING_MARK = re.compile(
    rf"[^\w\n-]*{_NUMBER}{_SCALE}(?: points?)?(?:[,:;]| [–—-]| (?:because|since|as)\b)"
)
_RANGE = re.compile(r"\s?(?:[-–—/,]|to\b|or\b|and\b)\s?\d")
# "Score (1-10): 7" repeats the scale before the mark.
_WHOLE_SCALE = re.compile(r"[01] ?(?:[-–—]|to) ?10\b")


def _marks(text: str) -> Iterator[Statement]:
    for pattern in _MARKS:
        for match in pattern.finditer(text):
            if not _WHOLE_SCALE.match(text, match.start("number")):
                yield _mark(match)
    opening = _OPENING_MARK.match(text)
    lines = [_BARE_MARK.fullmatch(text, *place) for place in (first_line(text), last_line(text))]
    bare = [_mark(match) for match in (opening, *lines) if match is not None]
    if len({each.says for each in bare}) > 1:
        yield Statement(bare[0].start, bare[-1].end, None, is_mark=True)
    else:
        yield from bare


def _mark(match: re.Match[str]) -> Statement:
    """A mark that is whole, from 1 to 10 and of that scale; any other number says nothing."""
    number, scale = float(match["number"].replace(",", ".")), match["scale"] or "10"
    is_range = _RANGE.match(match.string, match.end("number")) and match["scale"] is None
    is_valid = number in range(1, 11) and scale == "10" and not is_range
    return Statement(*match.span(), str(int(number)) if is_valid else None, match[0][0] in "⟦\\")


_NO = (
    r"(?:no|false|fail(?:s|ed)?|nein|non(?!-)|não|нет|nie|nee|hayır|tidak|否|不是|不|いいえ|"
    r"아니(?:요|오)|لا|नहीं)"
)
_YES = (
    r"(?P<yes>yes|true|pass(?:e[sd])?|ja|oui|sí|sì|si|sim|да|tak|evet|ya|是的?|はい|네|예|نعم|हाँ)"
)
_SAID = rf"(?:{_YES}|{_NO})(?![^\W\d_])"
_YES_LABEL = (
    rf"(?<![a-z])(?:{ANSWER_LABEL}|pass(?:es|ed)?|keeps|kept|follows|complies|check)"
    r"(?:[ _](?:the[ _])?(?:principle|rule))?"
)
_YES_LABEL_BEFORE = re.compile(rf"{_YES_LABEL}{ASIDE}{LINK}$")
_ANSWERED = re.compile(
    rf"(?:(?P<mark>{BOXED})|{_YES_LABEL}{ASIDE}{LINK}|\bi(?:'d| would)? (?:say|answer):? "
    rf"|\b(?:so|therefore|thus|hence|overall),? ){_SAID}"
)
_LINE_SAYS = re.compile(
    rf"[^\w\n]*{_SAID}(?=[^\w\n]*(?:\Z|\n)| ?[,.;:!)—–]| -| (?:because|since|as|it|the response)\b)"
)
_WORD = re.compile(r"\w+")
_YES_AND_NO = re.compile(rf"[ \t]*(?:(?:and|or)\b|[,/;.&|]){{1,2}}[ \t]*{_SAID}{END}")


def _answers(text: str) -> Iterator[Statement]:
    if set(_WORD.findall(text)) == {"yes", "no"}:  # the options repeated, and none chosen
        return
    found = [(match, False) for match in _ANSWERED.finditer(text)]
    lines = (_LINE_SAYS.match(text, place[0]) for place in (first_line(text), last_line(text)))
    found += [(match, True) for match in lines if match is not None]
    for match, is_line in found:
        says = "yes" if match["yes"] else "no"
        if _YES_AND_NO.match(text, match.end()):
            yield Statement(*match.span(), None)
        elif is_line or CLOSED.match(text, match.end()):
            yield Statement(*match.span(), says, is_mark=is_line or match["mark"] is not None)


# A refusal to judge, at the opening or in the last line: inside of a text it is about a response.
_SORRY = (
    r"(?:(?:i'm|i am) (?:very |so |really )?(?:sorry|afraid)|sorry|unfortunately|i apologi[sz]e|"
    r"(?:my )?apologies|as an ai(?: [a-z]+){0,2})"
)
_CANNOT = (
    r"i(?: (?:cannot|can not|can't|won't|will not|would rather not|refuse to|decline to|"
    r"prefer not to|(?:must|have to) decline(?: to)?|"
    r"am (?:unable|not able|not allowed|not willing|not going) to)|"
    r"'m (?:unable|not able|not allowed|not willing|not going) to|'d rather not)"
)
_JUDGE = (
    r"(?:help|assist|compare|judge|choose|pick|select|evaluate|rate|rank|score|assess|decide|"
    r"determine|give|provide|offer|make|take part|participate|engage|answer|respond|comply|"
    r"continue|fulfil|do (?:that|this)|recommend|complete|process|discuss)"
)
_SORRY_ABROAD = (
    r"(?:(?:es )?tut mir leid|leider|(?:je suis )?désolée?|lo siento|sinto muito|desculpe|"
    r"mi dispiace|извините|к сожалению|(?:很|非常)?抱歉|对不起|申し訳|すみません|죄송)"
)
_CANNOT_ABROAD = (
    r"(?:kann|ne peux|no puedo|não posso|non posso|не могу|无法|不能|できません|할 수 없)"
)
_REFUSAL = re.compile(
    rf"\A\W{{0,6}}{_SORRY_ABROAD}[^\n]{{0,60}}?{_CANNOT_ABROAD}|"
    rf"\A\W{{0,6}}{_SORRY}\b[^\n]{{0,60}}?\b{_CANNOT}\b"
    rf"|(?:\A|[.!?\n])\W{{0,6}}(?:{_SORRY}\W{{1,3}}(?:but )?)?{_CANNOT}"
    rf"(?:(?: [a-z]+)? {_JUDGE}\b|\W{{0,3}}(?:\Z|\n))"
    r"|\A\W{0,6}i (?:don't|do not) (?:feel comfortable|have (?:personal )?(?:opinions|preferences))"
)


def _first_and_last(text: str) -> str:
    """Where a text declines if it does: its opening and its last line."""
    start, end = last_line(text)
    return text[:400] if end <= 400 else f"{text[:400]}\n{text[max(start, end - 400) : end]}"
