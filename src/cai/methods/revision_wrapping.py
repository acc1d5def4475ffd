r"""The revision inside of what a model writes around it: openings, remarks, quotation marks.

Asked to rewrite a response, chat models begin with "Sure! Here is the revised version:" and end
with "Changes made: …". As training data that teaches a policy to talk about a draft that no user
has seen. What is certainly not part of the revision is cut; what may be is left, for a flag.

Example:
    >>> unwrapped('Here is the revised version:\\n\\n"Oil it."\\n\\n**Changes made:** kinder.')
    'Oil it.'
"""

import re

_NEW = (
    r"(?:revised|rewritten|re-written|improved|updated|edited|corrected|modified|amended|refined|"
    r"reworked|reworded|rephrased)"
)
_DRAFT = r"(?:version|response|answer|reply|revision|rewrite|draft|text|message|completion|attempt)"
_KINDER = r"(?:(?:much |a bit |even )?(?:more \w+|less \w+|\w+er|new|final),? (?:and |but )?)"
_OF_IT = (
    r"(?: (?:of|to|for) (?:the|my|your|this|that)(?: (?:previous|last|original|first|earlier|"
    r"initial|"
    r"ai|assistant's))* (?:response|answer|reply|message|text|question|prompt|request))?"
)
_ABROAD = (
    r"(?:hier ist )?(?:die|meine|eine) (?:überarbeitete|verbesserte|neue) (?:version|fassung|"
    r"antwort)"
    r"|voici (?:la|ma|une) (?:version|réponse) (?:révisée|améliorée|corrigée)"
    r"|aquí (?:está|tienes?) (?:la|mi|una) (?:versión|respuesta) (?:revisada|mejorada|corregida)"
    r"|aqui está (?:a|minha|uma) (?:versão|resposta) (?:revisada|revista|melhorada)"
    r"|ecco (?:la|una) (?:versione|risposta) (?:rivista|riveduta|migliorata|corretta)"
    r"|вот (?:исправленн|переработанн|улучшенн)\w+ (?:версия|ответ|вариант)"
    r"|(?:以下是|这是)?(?:我)?(?:修改|修订|改进|改写)(?:过|后|版)?的?(?:回答|回复|版本|答案)"
    r"|(?:以下は|以下が)?(?:修正|改訂|改善)(?:した|後の|された|版の?)?(?:回答|返答|応答|"
    r"バージョン)?(?:です)?"
)
_ASSENT = (
    r"(?:(?:sure|certainly|of course|absolutely|okay|ok|got it|understood|thank you[^.!\n]{0,60}|"
    r"thanks[^.!\n]{0,60}|you(?:'|’)?re right[^.!\n]{0,60}|i apologi[sz]e[^.!\n]{0,80}|"
    r"natürlich|gerne|bien sûr|claro|certo|好的|当然|"
    r"もちろん(?:です)?)(?: thing)?[!.,;:—–。！，]*\s*){0,2}"
)
_HERE = (
    r"(?:here(?:'|’)?s|here is|here you go[:,.]?|below is|this is|the following is|i have written|"
    r"i(?:'|’)?ve written|please find(?: below)?|let me (?:try again with|give you|provide|offer)|"
    r"(?:a|my) (?:better|revised) (?:response|answer|reply|version) (?:would|could|might) be)"
)
_WITH = (
    r"(?:[ ,]+(?:that|which|with|without|in|to|based|taking|following|addressing|incorporating|"
    r"keeping|revised|rewritten|would|could)\b[^:\n]{0,160})?"
)
_OPENING = re.compile(
    rf"\W{{0,6}}{_ASSENT}[*_#>\s]{{0,8}}(?:"
    rf"{_HERE} (?:how i would (?:revise|rewrite) (?:it|this|my response)|"
    r"(?:my|the|a|an|your)?\s?(?:"
    rf"(?:{_KINDER}|{_NEW},? (?:and )?)+(?:version|response|answer|reply|revision|rewrite|draft)"
    r"|revision|rewrite|(?:response|answer|reply), (?:revised|rewritten|now))"
    rf"{_OF_IT}{_WITH})"
    rf"|(?:{_HERE} )?(?:my|the|a|an|your)?\s?{_KINDER}{{0,2}}{_NEW},? {_KINDER}{{0,2}}{_DRAFT}"
    rf"{_OF_IT}{_WITH}"
    r"|(?:a|my) (?:better|revised) (?:response|answer|reply|version) (?:would|could|might) be"
    rf"|(?:my |the )?(?:revision|rewrite){_OF_IT}|{_ABROAD})"
    r"(?P<end>[*_\s]*[:：][*_]*\s*|[*_]*[ \t]*\n\s*|[.!][*_]*[ \t]*\n\s*\n\s*)",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"(?:^|\n)[ \t]{0,4}(?:[-—*_]{3,40}[ \t]*\n{1,3})?[\[(*_#> \t]{0,8}(?:"
    r"(?:(?:summary|explanation|list|overview|description) of (?:the |my )?(?:changes|"
    r"revisions?|edits)|"
    r"(?:key |main |my )(?:changes|edits|revisions|improvements|modifications)(?: made)?|"
    r"(?:the )?(?:changes|edits|revisions|improvements|modifications)"
    r"(?: (?:that )?(?:i |have been |were )?(?:made|included?))|"
    r"(?<=[*\[(#])(?:changes|edits|revisions)|what(?:'s| has| i(?:'ve)?)? changed|"
    r"(?:notes?|explanation|reasoning|rationale)(?: (?:on|for|about|of) (?:the |my |this )?"
    r"(?:changes|revisions?|edits)))[*_]*\s*[:：]"
    r"|(?:note|explanation|rationale|reasoning)[*_]*\s*[:：][*_]*\s*(?:in )?(?:this|the|my) "
    r"(?:revised|revision|rewritten|new|updated|above)\b"
    r"|(?:note|explanation|rationale)[*_]*\s*[:：][*_]*\s*i(?:'ve| have)? (?:removed|changed|"
    r"added|revised|"
    r"rewrote|rewritten|replaced|rephrased|kept|made|tried)\b"
    r"|(?:in )?(?:this|the) (?:revised|rewritten|updated|new) (?:version|response|answer|reply|"
    r"revision)"
    r"(?: above)?,? (?:i|is|now|no longer|avoids|removes|includes|acknowledges|addresses|offers|"
    r"provides|keeps|still|focuses|emphasi[sz]es|explains|declines|maintains|better|aims)\b"
    r"|(?:this|the) (?:revision|rewrite)(?: above)?,? (?:i|is|now|no longer|avoids|removes|"
    r"includes|"
    r"acknowledges|addresses|offers|provides|keeps|focuses|explains|declines|maintains|aims)\b"
    r"|i(?:'ve| have)? (?:made the following|revised (?:the|my) (?:response|answer|reply)|"
    r"rewritten (?:the|my) (?:response|answer|reply)|changed the (?:response|answer|tone)|"
    r"removed the (?:harmful|offensive|rude|unkind|part|parts|word|words|line|lines))\b"
    r"|(?:please )?let me know if (?:you(?:'d| would)? (?:like|want|need) )?(?:me to (?:make|"
    r"revise)|"
    r"(?:any |further |more |other |additional )+(?:changes|revisions|edits|adjustments))\b"
    r"|(?:änderungen|vorgenommene änderungen|anmerkung zur überarbeitung|"
    r"modifications(?: apportées)?|"
    r"changements(?: apportés)?|cambios(?: realizados)?|mudanças(?: feitas)?|"
    r"alterações(?: feitas)?|"
    r"modifiche(?: apportate)?|(?:внесённые )?изменения|修改说明|修改之处|更改说明|変更点|"
    r"修正点)[*_]*\s*[:：]"
    r")",
    re.IGNORECASE,
)
_SIGN = re.compile(
    rf"\b(?:{_NEW} (?:version|response|answer|reply)\b(?! of your)|(?:my|the) (?:previous|"
    rf"original|earlier|initial) "
    r"(?:response|answer|reply|draft)|changes (?:i )?made|(?:the|this|your) critique)\b"
)
_QUOTES = {'"': '"', "“": "”", "«": "»", "「": "」", "„": "“", "'": "'"}
_FENCE = re.compile(
    r"(?:```\w*|-{3,}|\*{3,}|_{3,})[ \t]*\n(?P<text>.*?)\n?(?:```|-{3,}|\*{3,}|_{3,})?\s*",
    re.DOTALL,
)


def unwrapped(text: str) -> str:
    """The text without what certainly is about it; the whole where nothing else would be left."""
    opening = _OPENING.match(text)
    inside = text[opening.end() :] if opening else text
    remark = _REMARK.search(inside)
    # A remark that opens the text leaves nothing: then it is what the text is about.
    if remark is not None and inside[: remark.start()].strip():
        inside = inside[: remark.start()]
    inside = inside.strip()
    if inside != text.strip():
        fenced = _FENCE.fullmatch(inside)
        inside = (fenced["text"] if fenced else inside.rstrip("-*_ \n") or inside).strip()
    inside = _unquoted(inside)
    return inside if re.search(r"\w", inside) else text


def speaks_of_itself(text: str) -> bool:
    """Whether the first or the last paragraph speaks of a revision, a draft or a critique."""
    paragraphs = re.split(r"\n\s*\n", text.strip().lower())
    return any(_SIGN.search(each) for each in {paragraphs[0], paragraphs[-1]})


def _unquoted(text: str) -> str:
    closing = _QUOTES.get(text[:1])
    inner = text[1:-1]
    is_whole = closing is not None and len(text) > 2 and text[-1] == closing
    if not is_whole or text[0] in inner or (closing or "") in inner.replace("n't", ""):
        return text
    return inner.strip()
