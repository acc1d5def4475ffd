"""What a free text states: its words without decoration, and the last thing it explicitly says.

A reader names the patterns of the statements that it looks for. The last one counts that is neither
denied, doubted, reported nor asked; two that contradict each other in one breath say nothing. All
patterns look a bounded way ahead, so that a long text takes time in proportion to its length.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

NOUNS = (
    "response", "answer", "reply", "option", "candidate", "assistant", "choice", "completion",
    "output", "verdict", "model", "antwort", "réponse", "respuesta", "resposta", "risposta",
    "antwoord", "ответ", "odpowiedź", "回答", "回复", "答案", "응답", "답변", "svar", "yanıt",
    "cevap",
)  # fmt: skip
NOUN = f"(?:{'|'.join(NOUNS)})"

# Labels and what links them to what they say: "Final answer is (B)", {"verdict": "A"}.
ANSWER_LABEL = (
    r"(?:verdict|answer|choice|decision|judge?ment|pick|selection|conclusion|vote|result|final|"
    r"overall|outcome|chosen|antwort|urteil|wahl|entscheidung|ergebnis|fazit|sieger|"
    r"réponse|choix|décision|jugement|verdict final|gagnant|respuesta|veredicto|elección|decisión|"
    r"ganador|resposta|escolha|veredito|decisão|vencedor|risposta|scelta|verdetto|decisione|"
    r"antwoord|keuze|oordeel|svar|odpowiedź|wybór|werdykt|cevap|yanıt|karar|"
    r"ответ|выбор|вердикт|решение|победитель|答案|回答|选择|選択|结论|結論|判定|判断|结果|結果|答え|勝者|"
    r"답변|답|정답|선택|결론|판정|الإجابة|الجواب|الحكم|उत्तर|निर्णय|jawaban|pilihan|putusan|"
    r"câu trả lời|đáp án|lựa chọn)"
)
"""Names of an answer, before a colon or a verb, in the languages that judges answer in."""

# Prometheus 2 ends its feedback with "[RESULT] A".
_SECTION = re.compile(
    r"(?<!\[)\[(?:final |overall )?(?:result|verdict|answer|choice|decision|judge?ment|score|"
    r"rating|mark|conclusion|winner|output)\](?!\])[^\S\n]{0,3}[:=]?",
    re.IGNORECASE,
)
ASIDE = r"(?: ?\([^()\n]{0,40}\))?"
LINK = (
    r"[\"'\s]{0,3}(?:[:=>?]|[-–—]+>?|→|是|为|は|은|는|(?:is|was|would be|will be|goes to|must be|"
    r"ist|lautet|est|es|é|è|jest)\b:?)"
    r"[\s\"'({\[]{0,4}(?:that )?(?:the |clearly |definitely |therefore |simply |still )?"
)
BOXED = r"(?:⟦|\\boxed)[\s{\"']{0,3}"
CLOSED = re.compile(
    r"[^\S\n]*(?:\Z|\n|[^\w\s:/>=≈\x00-\x08]|"
    r"(?:because|since|as|for|over|due|by|given|rather|instead|but|while|not|weil|denn|da|car|"
    r"parce|porque|perché|потому)\b|です|だ|입니다|이다|因为)"
)
"""What may follow an answer; another word makes it the subject of something else."""

END = r"(?=[^\S\n]*(?:\Z|[.,;:!)\]}\"'⟧<\n]|(?:and|so|under|by|here|for|overall)\b))"

_ASCII = {0xFF01 + shift: chr(0x21 + shift) for shift in range(0x5E)}  # full width: Ａ, （, ：
_QUOTES = dict.fromkeys(map(ord, "“”„«»「」『』"), '"') | dict.fromkeys(map(ord, "‘’‚`´"), "'")
_BRACKETS = {ord("【"): "[", ord("】"): "]", ord("。"): ".", ord("、"): ","}
_SPACES = {0xA0: " ", 0x3000: " ", 0x2028: "\n", 0x2029: "\n"}
# control characters are free to stand for something; the others are not seen by a reader
_UNSEEN = dict.fromkeys(
    (*range(1, 9), 0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)), ""
) | {0xFEFF: ""}
_SIGNS = _ASCII | _QUOTES | _BRACKETS | _SPACES | _UNSEEN

# Each alternative begins with a sign of its own: the search then leaps from sign to sign.
_DECORATION = re.compile(
    r"\*|~|'''\w*"  # emphasis, and the fence of a block of code
    r"|_(?<![^\W_]_)|_(?![^\W_])"
    r"|</?(?:b|i|u|em|strong|p|br|span|code|h[1-6])(?: [^<>\n]{0,80})?/?>"
    r"|\\(?:text|math)[a-z]{0,6}(?=\{)"
)
_RUN_OF_SPACES = re.compile(r"[ \t]{2,}")
_QUOTED = re.compile(
    r'(?P<key>"[\w -]{1,40}")(?P<colon>\s*:\s*)(?:(?P<value>"[^"]*")(?=\s*[,}]))?|"[^"\n]*"'
)
_LINK_ENDS = (*":=>?-–—→是为は은는", "is", "was", "be", "to", "that", "the", "ist", "est", "es")

# Negations count within their clause alone: "not A but B" states B.
_CLAUSE = re.compile(
    r"[.!?;:,\n()—–]| - |\b(?:so|but|and|because|since|hence|therefore|thus|while|whereas|although|"
    r"though|yet|however|then)\b"
)
_UNDOUBTED = re.compile(r"\b(?:no|without(?: a| any)?) (?:doubt|question)\b|\bnot only\b")
_DENIED = re.compile(
    r"(?:\b(?:not|never|no|neither|nor|cannot|hardly|whether|if|unless|without|may|might|could|"
    r"doubt|deny|disagree|false|wrong|incorrect|untrue|"
    r"(?:claim|say|state|assert|insist|tell|ask|pretend|demand|instruct|argue)s|said|"
    r"nicht|kein\w{0,2}|weder|wenn|falls|ob|ne|pas|aucune?|ni|si|ninguna?|não|nem|nenhuma?|"
    r"non(?!-)|né|niet|geen|nie|не|нет|ни|если)|n't)\b|[不没無未]|如果|是否"
)
_JUST_DENIED = re.compile(r"(?:\b(?:not|never|than|instead of)|n't) (?:\w+ )?[\"'(\[{⟦]{0,3}$")
_ASKED = re.compile(r"[^.!?\n]{0,120}\?")
_BREATH = re.compile(r"(?:[ \t,;/&|'\"()\[\]{}⟦⟧]|\band\b|\bor\b){0,12}")


@dataclass(frozen=True, slots=True)
class Statement:
    """What a stretch of text says; None where it contradicts itself.

    A mark is a sign such as [[A]] that stands for itself, whatever the sentence around it.
    """

    start: int
    end: int
    says: str | None
    is_mark: bool = False


def plain(text: str) -> str:
    """The text without markup: emphasis, code fences, full-width letters, signs that are not seen.

    Double square brackets become ⟦ and ⟧, every kind of quotation mark the straight one. No control
    character below the tabulator is left.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace('\\"', "'").translate(_SIGNS)
    text = _RUN_OF_SPACES.sub(" ", _DECORATION.sub("", text)).strip()
    text = _SECTION.sub("\nresult:", text).strip()
    # A whole answer in quotation marks is an answer, and not a quotation in it.
    if text[:1] == '"' == text[-1:] and text.count('"') == 2:
        text = text[1:-1].strip()
    return text.replace("[[", "⟦").replace("]]", "⟧")


def without_quotations(text: str, label: re.Pattern[str]) -> str:
    """The text without what stands in double quotation marks, which are somebody else's words.

    What a label and its link stand before is kept, as the value of a JSON key or in prose.
    """

    def shown(match: re.Match[str]) -> str:
        key, colon, value = match["key"], match["colon"], match["value"]
        if key is None:
            before = text[max(0, match.start() - 60) : match.start()]
            is_answer = before.rstrip(" \t\n'({[").endswith(_LINK_ENDS) and label.search(before)
            return match[0][1:-1] if is_answer else '""'
        if value is None:
            return f"{key[1:-1]}{colon}"
        kept = value[1:-1] if label.search(f"{key[1:-1]}:") else ""
        return f"{key[1:-1]}{colon}{kept}\n"

    return _QUOTED.sub(shown, text)


def last(text: str, statements: Iterable[Statement]) -> Statement | None:
    """The last statement that is meant; one that says None where the one before contradicts it."""
    # A judge that reasons aloud names both responses before it settles, so the last one counts.
    latest_first = sorted(statements, key=lambda each: (each.end, each.start), reverse=True)
    for place, found in enumerate(latest_first):
        if not _is_meant(text, found):
            continue
        # Two before it are enough: further back something must stand in between.
        others = latest_first[place + 1 : place + 3]
        if any(_is_contradicted(text, other, found) for other in others):
            return Statement(found.start, found.end, None)
        return found
    return None


def first_line(text: str) -> tuple[int, int]:
    """Where the first line begins and ends."""
    end = text.find("\n")
    return 0, len(text) if end < 0 else end


def last_line(text: str) -> tuple[int, int]:
    """Where the last line with more than signs in it begins and ends."""
    end = len(text.rstrip("\n\t .,;!:-=_#()[]{}<>'\"|⟦⟧"))
    start = text.rfind("\n", 0, end) + 1
    after = text.find("\n", end)
    return start, len(text) if after < 0 else after


def _is_meant(text: str, found: Statement) -> bool:
    # A bounded look back keeps long texts linear; a clause is rarely longer.
    before = text[max(0, found.start - 120) : found.start]
    if _JUST_DENIED.search(before[-40:]):
        return False
    if found.is_mark:  # a sign such as [[A]] stands for itself in any sentence
        return True
    clause = before[max((match.end() for match in _CLAUSE.finditer(before)), default=0) :]
    if _DENIED.search(_UNDOUBTED.sub("", clause)):
        return False
    return _ASKED.match(text, found.end) is None


def _is_contradicted(text: str, other: Statement, found: Statement) -> bool:
    """Whether another statement stands right before one and says something else.

    On a line of its own it does not: a second "Answer: B" corrects the first.
    """
    if other.says == found.says or other.end > found.start:
        return False
    return _BREATH.fullmatch(text, other.end, found.start) is not None
