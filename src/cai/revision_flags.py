"""What can be wrong with a revision, seen from its text alone.

The signs are words, so they are kept narrow: a flag that cries wolf costs good rows.
"""

import re
from typing import Literal, get_args

from cai.models.protocol import Completion

Flag = Literal["empty", "unchanged", "critique-instead", "evasive", "cut-off"]
FLAGS: tuple[Flag, ...] = get_args(Flag)

UNUSABLE: frozenset[Flag] = frozenset({"empty", "critique-instead"})
"""Flags of a revision that no later round may build upon."""

_CRITIQUE = re.compile(
    r"^\W*(critique\b|revision request\b|(the|this|my|your) (last |previous |above |original )?"
    r"(response|answer|reply|assistant|revision)('s)?\b.{0,80}?"
    r"\b(breaks|violates|keeps|fails|should|could|does not|doesn't|"
    r"is (rude|harmful|evasive|preachy)|"
    r"explains|helps|contains|says|follows|complies|includes|needs)\b|no revision needed\b)",
    re.IGNORECASE | re.DOTALL,
)
_EVASION = re.compile(
    r"\b(as an ai( language model)?\b"
    r"|i('m| am) (very |really )?sorry,? but i (can('t|not)|am (not able|unable))"
    r"|i (can('t|not)|won't|am unable to|am not able to) "
    r"(assist|help|engage|discuss|talk|answer|comment|fulfil)[^.!?]{0,40}[.!?]"
    r"|i('m| am) not comfortable)",
    re.IGNORECASE,
)
_SUBSTANCE = re.compile(
    r"\b(because|instead|however|i can|you (can|could|might)|consider|if you|since)\b",
    re.IGNORECASE,
)


def revision_flags(before: str, revision: Completion) -> tuple[Flag, ...]:
    """What is wrong with a revision of the text before; nothing is the usual answer.

    `empty`: no word in it. `unchanged`: the same words as before. `critique-instead`: it opens as
    a critique does. `evasive`: a stock refusal that gives neither reason nor alternative.
    `cut-off`: the length limit ended it.
    """
    text = revision.text.strip()
    if not re.search(r"\w", text):
        return ("empty",)
    flags: list[Flag] = []
    if text.split() == before.split():
        flags.append("unchanged")
    if _CRITIQUE.match(text):
        flags.append("critique-instead")
    if is_evasive(text):
        flags.append("evasive")
    if revision.stop_reason == "length":
        flags.append("cut-off")
    return tuple(flags)


def is_evasive(text: str) -> bool:
    """Whether a text is a stock refusal: at most 60 words, no reason and no alternative."""
    return (
        len(text.split()) <= 60
        and _EVASION.search(text) is not None
        and _SUBSTANCE.search(text) is None
    )
