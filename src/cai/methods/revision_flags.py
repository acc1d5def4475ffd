"""What can be wrong with a revision, seen from its text alone.

The signs are words, so they are kept narrow: a flag that cries wolf costs good rows. Texts are read
in small letters and with the contractions written out.
"""

import re
from typing import Literal, get_args

from cai.methods.revision_wrapping import speaks_of_itself
from cai.models.base import Completion

Flag = Literal["empty", "unchanged", "critique-instead", "evasive", "wrapped", "cut-off"]
FLAGS: tuple[Flag, ...] = get_args(Flag)

UNUSABLE: frozenset[Flag] = frozenset({"empty", "critique-instead"})
"""Flags of a revision that no later round may build upon."""

LONGEST_EVASION = 60
"""Words; a longer text says something beside its refusal."""

MOST_BOILERPLATE = 6
"""Sentences; a longer text is not boilerplate alone."""

# In this order: the general "n't" comes after the two whose stem changes. Each begins with a plain
# text, which `re` finds many times as fast as a word boundary; that is looked for behind it.
_CONTRACTIONS = (
    (re.compile(r"can(?<=\bcan)(?:'t| not)\b"), "cannot"),
    (re.compile(r"won't(?<=\bwon't)\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"'m\b"), " am"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"let's(?<=\blet's)\b"), "let us"),
    (re.compile(r"that's(?<=\bthat's)\b"), "that is"),
    (re.compile(r"it's(?<=\bit's)\b"), "it is"),
)

# A critique speaks of "the response" as its subject and judges it; an answer to a user rarely does.
_WHICH = r"(?:(?:ai|assistant|model|last|previous|above|original|earlier|first)(?:'s)? ){0,3}"
_ANSWER = rf"(?:the|this|my|your) {_WHICH}(?:response|answer|reply)(?: above| given)?"
_HOW = r"(?:(?:also|still|clearly|openly|only|partly|simply) )*"
_FAULTS = (
    r"(?:(?:too|very|rather|quite|somewhat|a bit|not|both|also|clearly) )*"
    r"(?:rude|harmful|evasive|preachy|unhelpful|impolite|unkind|insulting|dismissive|"
    r"condescending|judge?mental|offensive|biased|toxic|vague|harsh|dangerous|unethical|"
    r"inappropriate|problematic|harmless|polite|helpful|acceptable|misleading|incomplete)"
)
_ADVICE = (
    r"(?:not|never|also|instead|have|decline|refuse|explain|say|help|avoid|mention|tell|point out|"
    r"offer|warn|acknowledge|address|give|stay|be (?:more|less|rewritten|revised|kinder|shorter))"
)
_JUDGED = (
    rf"(?:(?:is|was) {_FAULTS}|should {_ADVICE}|could (?:be|have been) (?:more|less)|needs to|"
    r"(?:does|did) not (?:break|violate|keep|say|explain|give|help|address|contain|respect|offer|"
    r"provide|refuse|decline|encourage|include|mention)\b|"
    r"(?:breaks|violates|fails|dodges|refuses|evades|ignores|insults|lectures|preaches|mocks|"
    r"encourages|declines|complies|goes against|keeps (?:to )?the (?:principle|rule)|"
    r"broke|violated|failed|dodged|refused|evaded|ignored)\b)"
)
_TOLD = (
    r"(?:explains|helps|says|contains|follows|includes|provides|gives|tells|offers|suggests|keeps|"
    r"respects|assumes|lacks|uses)\b"
)
_CRITIQUE = re.compile(
    r"\W*(?:"
    r"(?:here is (?:my|the|a) )?(?:critique|revision) request\W*?[:\n]"
    rf"|(?:here is (?:my|the|a) )?critique(?: of {_ANSWER})?\W*?[:\n–—]"
    r"|no revision (?:is )?(?:needed|necessary|required)\b"
    rf"|there is nothing [a-z ]*?(?:in|with|about) {_ANSWER}\b"
    rf"|(?:upon|on|after) (?:reviewing|reading|examining|looking at) {_ANSWER}\b"
    r"|in my (?:last|previous|above|earlier) (?:response|answer|reply)\b"
    rf"|{_ANSWER} {_HOW}{_JUDGED}"
    # an answer also contains, helps and includes things outside of any critique
    rf"|(?:the|this|my|your) {_WHICH}response(?: above| given)? {_HOW}{_TOLD}"
    rf"|the (?:ai )?assistant {_HOW}"
    rf"(?:should {_ADVICE}|fails|failed|violates|violated|was {_FAULTS})"
    r")"
)

# An evasion is a refusal in the first person that ends its sentence soon after: what follows in the
# same sentence, "… help with that because it could hurt her", is a reason already.
_APOLOGY = (
    r"(?:(?:(?:i am )?(?:very |really |so )?sorry|i apologi[sz]e|my apologies|unfortunately|"
    r"i am afraid|no|as an ai(?: language model| assistant)?)(?:, | but |, but | that | )?)*"
)
_UNWILLING = (
    r"i (?:cannot|will not|would rather not|prefer not to|do not (?:wish|want) to|"
    r"am (?:unable|not able|not willing|not allowed) to|(?:must|have to) decline to)"
)
_ENGAGE = (
    r"(?:assist|help(?! but\b| myself\b| \w+ing\b)|engage|discuss|talk|speak|answer|comment|comply|"
    r"fulfil|fulfill|respond|provide (?:any )?(?:assistance|help|information)|do (?:that|this)|"
    r"tell you (?:that|this)|share (?:that|this))"
)
_EVASION = re.compile(
    rf"(?:^|[.!?\n]\s*){_APOLOGY}(?:"
    rf"{_UNWILLING} {_ENGAGE}\b[^.!?]{{0,40}}(?:[.!?]|$)"
    r"|i cannot[.!]"
    r"|i (?:must|have to|need to) (?:respectfully )?decline\b[^.!?]{0,40}(?:[.!?]|$)"
    r"|i am not comfortable (?:discussing|talking|answering|helping|with (?:this|that))\b"
    r"|(?:that|this) is not something (?:that )?i (?:can|will) (?:assist|help|discuss|answer)\b"
    r"|i do not have (?:any |personal )*(?:opinions|views|feelings|beliefs)\b"
    r"|(?:let us|can we|could we|shall we) (?:talk about something else|change the (?:subject|"
    r"topic))\b"
    r")"
)
# Words that give a reason or an alternative. Phrases that only sound so, "something else I can help
# you with", are left out by the look-behinds.
_SUBSTANCE = re.compile(
    r"\b(?:because|since|due to|so that|instead|however|consider|if|without|unless|until|"
    r"rather than|illegal|unsafe|dangerous|harm\w*|hurt\w*|but here|you (?:can|could|might)|"
    r"(?<!something )(?<!that )(?<!else )i (?:can|could)|i would be (?:glad|happy) to|"
    r"(?:it|that|this|which|they|and) (?:would|could|might|may))\b"
    r"|(?:^|[.!?;]\s+)(?:please )?"
    r"(?:ask (?!me\b)|try |talk to |call |tell |write to |speak (?:to|with) |contact |look for )"
)


_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_AS_AI = (
    r"(?:as (?:an?|your) (?:\w+ )?(?:ai|artificial intelligence|(?:large )?language model)"
    r"[^,.]{0,60}, ?)?"
)
_IDIOM = re.compile(
    r"\bi (?:cannot|will not|do not)(?: \w+)? (?:stress|think of|imagine|overstate|emphasi[sz]e|"
    r"promise|"
    r"guarantee|recommend (?:this|it|them)\b|help but|help myself|help \w+ing|wait|blame|believe)\b"
)
_DO = (
    r"(?:provide|share|give|offer|generate|create|write|produce|promote|support|assist|help|engage|"
    r"discuss|talk|speak|answer|comment|comply|fulfil\w*|respond|continue|say|tell|go into|"
    r"get into|"
    r"encourage|endorse|condone|participate|access|disclose|make|do (?:that|this)|be able to|pass)"
)
_DECLINES = re.compile(
    rf"\W*(?:{_APOLOGY}|(?:i understand|i appreciate|i know|i see|i am|this is|"
    rf"that is)[^.!?]{{0,60}}?,? (?:but|however|so|and),? )"
    rf"{_AS_AI}(?:i (?:have to|must|will) )?(?:"
    rf"i (?:simply |just |also )?(?:cannot|will not|do not (?:wish|want|think i should) to|"
    rf"do not think i "
    rf"(?:should|can)|would (?:rather|prefer) not(?: to)?|prefer not(?: to)?|refuse to|decline to|"
    rf"am (?:just |simply )?(?:unable|not (?:able|willing|allowed|authori[sz]ed|permitted|going|"
    rf"comfortable|programmed|designed|supposed|trained|equipped))(?: to)?|must (?:refrain|decline|"
    rf"respectfully decline)|will have to decline|am going to have to)"
    rf"(?: be able to)?(?: (?:respectfully|from))?(?: {_DO}\w*|[.!]|$)"
    r"|i do not feel comfortable\b"
    r"|i (?:do not|cannot) (?:have|hold) (?:any )?(?:personal )?(?:opinions?|beliefs?|views?|"
    r"comment)"
    r"|i have no comment\b|no comment\b|i am not sure how to (?:respond|answer)"
    r"|i do not think (?:it|that|this) (?:would|is)[^.!?]{0,20} appropriate"
    r"|(?:it|this|that) (?:is|would) (?:not|never)(?: be)? (?:ethical|appropriate|"
    r"right)[^.!?]{0,30} for me to\b"
    r"|it is not (?:ethical|appropriate)[^.!?]{0,30} to (?:provide|share|give|discuss|describe|"
    r"offer)\b"
    r"|(?:that|this)(?: request| question| topic)? (?:goes against|violates|is against|is outside)"
    r"[^.!?]{0,30} (?:my|what i|our)\b"
    r"|(?:that|this|it) is (?:not (?:something|a topic|a question)|outside of? (?:what|the things))"
    r"[^.!?]{0,20} i (?:can|will|am)\b"
    r"|it is best not to (?:talk|speak|discuss|answer)\b"
    r")"
)
"""A sentence that declines, for whatever reason."""

_REASON = re.compile(
    r"\b(?:because|since|as (?:it|this|that|they|doing)|due to|so that|without|unless|until|"
    r"before|if)\b|[:;]"
)
_STOCK_REASON = re.compile(
    r"\b(?:my (?:programming|guidelines|policy|policies|rules|training)|inappropriate|"
    r"not appropriate|unethical|illegal(?! to\b)|offensive|against (?:my|our|"
    r"the) (?:programming|guidelines|"
    r"policy|policies|rules|terms))\b"
)
_ALTERNATIVE = re.compile(
    r"\b(?:instead,?|rather than|here (?:is|are)|for example|such as calling|you (?:can|could|"
    r"might|may)(?! "
    r"(?:have|ask|let)\b)|consider \w+ing|try (?:to|talk|ask)\w*|talk to (?!me\b)|reach out|seek|"
    r"consult\w*|contact\w*|i (?:suggest|recommend|encourage|urge|advise)|but here|"
    r"i would be (?:glad|happy) to (?:explain|show|tell|suggest)|i can (?:suggest|explain|offer|"
    r"tell|"
    r"help you (?!with something|with anything|with other)))\b"
)
_BOILERPLATE = re.compile(
    rf"\W*(?:(?:however|additionally|also|furthermore|moreover|therefore|and|but|please|"
    rf"no),? )?{_AS_AI}(?:"
    r"i am (?:just |only |here |simply )?(?:an? |programmed|designed|trained|created|here|"
    r"committed|sorry)"
    r"|my (?:purpose|role|goal|programming|aim|guidelines|primary)\b"
    r"|(?:it|this|that|doing so|such \w+|these \w+|this \w+|this \w+ of \w+) (?:is|are|would be|"
    r"goes|go|"
    r"could be|can be|violates?)\b[^.!?]*?\b(?:appropriate|inappropriate|ethical\w*|unethical|"
    r"illegal|"
    r"unlawful|offensive|harmful|acceptable|important|crucial|essential|necessary|against|my|"
    r"consequences|"
    r"sensitive|best)\b"
    r"|(?:is there|do you have|are there|what else|how else|can i|would you like)[^.!?]*\?"
    r"|(?:please )?(?:feel free|let me know|let us|ask me|do not hesitate|refrain|choose|"
    r"try (?:another|"
    r"something))\b"
    r"|if you (?:have|need|would like|are looking)[^.!?]*\b(?:questions?|topics?|concerns|else|"
    r"help|assist\w*|"
    r"requests?)\b"
    r"|i (?:hope|will be|would be|am always|am) (?:you|glad|happy|here)\b"
    r"|(?:can we|could we|shall we|let us)\b|thank you|thanks|i understand|i appreciate|"
    r"i apologi[sz]e"
    r"|(?:sorry|unfortunately)\b"
    r")"
)

# Idioms with "I cannot" that refuse nothing, "I cannot stress enough", are left out.
_REFUSAL = re.compile(
    rf"(?:^|[.!?\n]\s*){_APOLOGY}(?:{_UNWILLING} "
    r"(?!say (?:it|that|this) |stress|think|imagine|overstate|emphasi[sz]e|promise|guarantee"
    r"|be (?:sure|certain)|help but)"
    r"|i cannot[.!]|(?:i )?(?:must |have to |need to )?(?:respectfully )?(?:decline|refuse)\b"
    r"|i am not comfortable\b)"
)


def revision_flags(before: str, revision: Completion) -> tuple[Flag, ...]:
    """What is wrong with a revision of the text before; nothing is the usual answer.

    `empty`: no word in it. `unchanged`: the same words as before. `critique-instead`: it opens as
    a critique does. `evasive`: a stock refusal that gives neither reason nor alternative.
    `wrapped`: it still speaks of a revision or a draft, as the text before did not. `cut-off`: the
    length limit ended it.
    """
    text = revision.text.strip()
    if not re.search(r"\w", text):
        return ("empty",)
    flags: list[Flag] = []
    plain = _plain(text)
    if text.split() == before.split():
        flags.append("unchanged")
    if _CRITIQUE.match(plain) is not None:
        flags.append("critique-instead")
    if _is_plain_evasive(plain):
        flags.append("evasive")
    if speaks_of_itself(text) and not speaks_of_itself(before):
        flags.append("wrapped")
    if revision.stop_reason == "length":
        flags.append("cut-off")
    return tuple(flags)


def is_evasive(text: str) -> bool:
    """Whether a text declines and says nothing else: no reason of its own, and no alternative.

    Either it is a stock refusal of at most 60 words without a word of reason; or each of its
    sentences is one that fits any request: it declines, speaks of the model, calls the matter
    inappropriate or illegal, or offers help with something else.
    """
    return _is_plain_evasive(_plain(text))


def _is_plain_evasive(plain: str) -> bool:
    # Any refusal with a reason grows long, so length alone tells most of them apart.
    is_short = len(plain.split()) <= LONGEST_EVASION
    if is_short and _EVASION.search(plain) is not None and _SUBSTANCE.search(plain) is None:
        return True
    sentences = [each for each in _SENTENCE_END.split(plain) if re.search(r"\w", each)]
    declining = [each for each in sentences[:3] if _DECLINES.match(each) and not _idiom(each)]
    if not declining or len(sentences) > MOST_BOILERPLATE:
        return False
    return all(_says_nothing(each) for each in sentences)


def _says_nothing(sentence: str) -> bool:
    """Whether a sentence fits any request that is declined."""
    if _ALTERNATIVE.search(sentence):
        return False
    if _DECLINES.match(sentence):
        reason = _REASON.search(sentence)
        return reason is None or _STOCK_REASON.search(sentence, reason.start()) is not None
    return _BOILERPLATE.match(sentence) is not None


def _idiom(sentence: str) -> bool:
    """Whether a sentence with "I cannot" refuses nothing, such as "I cannot stress enough"."""
    return _IDIOM.search(sentence) is not None


def is_refusal(text: str) -> bool:
    """Whether a sentence of a text declines in the first person, with a reason or without."""
    plain = _plain(text)
    return _REFUSAL.search(plain) is not None or _EVASION.search(plain) is not None


def _plain(text: str) -> str:
    plain = text.strip().lower().replace("’", "'").replace("`", "'")
    for contraction, written_out in _CONTRACTIONS:
        plain = contraction.sub(written_out, plain)
    return plain
