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

# In this order: the general "n't" comes after the two whose stem changes.
_CONTRACTIONS = (
    (re.compile("[’`]"), "'"),
    (re.compile(r"\bcan(?:'t| not)\b"), "cannot"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"'m\b"), " am"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"\blet's\b"), "let us"),
    (re.compile(r"\b(that|it)'s\b"), r"\1 is"),
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
    r"|(?:let us|can we|could we|shall we) (?:talk about something else|change the subject)\b"
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
    if text.split() == before.split():
        flags.append("unchanged")
    if is_critique(text):
        flags.append("critique-instead")
    if is_evasive(text):
        flags.append("evasive")
    if speaks_of_itself(text) and not speaks_of_itself(before):
        flags.append("wrapped")
    if revision.stop_reason == "length":
        flags.append("cut-off")
    return tuple(flags)


def is_critique(text: str) -> bool:
    """Whether a text opens as a critique of a response, not as a response."""
    return _CRITIQUE.match(_plain(text)) is not None


def is_evasive(text: str) -> bool:
    """Whether a text is a stock refusal: at most 60 words, no reason and no alternative."""
    plain = _plain(text)
    # Any refusal with a reason grows long, so length alone tells most of them apart.
    return (
        len(plain.split()) <= LONGEST_EVASION
        and _EVASION.search(plain) is not None
        and _SUBSTANCE.search(plain) is None
    )


def is_refusal(text: str) -> bool:
    """Whether a sentence of a text declines in the first person, with a reason or without."""
    plain = _plain(text)
    return _REFUSAL.search(plain) is not None or _EVASION.search(plain) is not None


def _plain(text: str) -> str:
    plain = text.strip().lower()
    for contraction, written_out in _CONTRACTIONS:
        plain = contraction.sub(written_out, plain)
    return plain
