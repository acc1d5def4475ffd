"""Warnings about a constitution that the schema allows, but that will not do what its author wants.

Each rule prefers silence to a false warning: a good constitution has no findings, and a test checks
that the shipped ones have none.

Example:
    for finding in check_constitution(load_constitution("mine.yaml")):
        print(finding.principle, finding.kind, finding.message)
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from typing import Literal

from cai.constitution.schema import Constitution, FewShot, Principle

Kind = Literal[
    "near-duplicate",
    "no-judge",
    "same-question",
    "lone-criterion",
    "double-negative",
    "foreign-example",
    "tested-example",
    "never-drawn",
    "silent-tier",
    "unused-tier",
    "lone-group",
    "split-group",
    "long",
]

# Two statements that share seven of ten of all their words: they then differ in one or two words.
# Different principles of the shipped constitutions share at most four of ten.
NEAR_DUPLICATE = 0.7

# Some hundred words. A judge reads the text beside two responses; parts of longer ones are missed.
LONG_TEXT = 600

# A critique is foreign if it shares at least three words with another principle and, by weight,
# twice as much as with its own. With fewer words or less distance, an ordinary critique of a
# general principle ("it should decline and say why") would look like that of a special one.
FOREIGN_WORDS = 3
FOREIGN_RATIO = 2.0

_TEXTS = {"text", "critique", "revision", "judge", "negated"}


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One warning about one principle."""

    principle: str
    kind: Kind
    message: str


def check_constitution(constitution: Constitution) -> list[LintFinding]:
    """The warnings for its author, in the order of the principles; empty if there are none."""
    principles = constitution.principles
    findings = [
        LintFinding(principle.id, kind, message)
        for principle in principles
        for kind, message in _check_principle(principle)
    ]
    findings += _near_duplicates(principles)
    findings += _tiers(constitution)
    findings += _groups(principles)
    findings += _foreign_examples(principles)
    order = {principle.id: position for position, principle in enumerate(principles)}
    return sorted(findings, key=lambda finding: order[finding.principle])


def _check_principle(principle: Principle) -> Iterator[tuple[Kind, str]]:
    if principle.weight == 0:
        yield "never-drawn", "has weight 0 and is never drawn. Raise it or remove it."
    if principle.is_flaw and (phrase := _negated_beginning(principle.text)):
        yield (
            "double-negative",
            f"is a flaw, but its 'text' begins like a rule: {phrase!r}. Judges are asked whether "
            "the response is free of this, so state the fault itself, such as 'insults the user'; "
            "or make it a rule.",
        )
    for name, text in _requests(principle):
        if phrase := double_negative(text):
            yield (
                "double-negative",
                f"has a double negative in {name!r}: {phrase!r}. Phrase it positively; models "
                "often read it as its opposite.",
            )
        if len(text) > LONG_TEXT:
            yield (
                "long",
                f"has {len(text):,} characters in {name!r}; over {LONG_TEXT}, parts get lost. "
                "Shorten it or split the principle.",
            )
    for question in principle.rubric or (principle,):
        where = f" in criterion {question.id!r}" if principle.rubric else ""
        if question.judge is None:
            yield (
                "no-judge",
                f"has no 'judge' text{where}, so judges get a question made from 'text'. "
                "Write the question.",
            )
        elif question.negated and _plain(question.judge) == _plain(question.negated):
            yield (
                "same-question",
                f"has the same question{where} in 'judge' and in 'negated', whose answers are "
                "interpreted as opposites. Let 'negated' ask which response is worse.",
            )
    if len(principle.rubric) == 1:
        yield (
            "lone-criterion",
            "has a rubric of one criterion, which judges then get in place of the principle's own "
            "question. Add the other criteria or drop the rubric.",
        )
    # A test that repeats a few-shot measures nothing: the judge may have seen it with its answer.
    # One text in common is not enough, since short refusals are equal under many prompts.
    prompts = {_plain(example.prompt) for example in principle.examples}
    texts = {_plain(text) for each in principle.examples for text in (each.response, each.revision)}
    for number, test in enumerate(principle.tests, start=1):
        if _plain(test.prompt) in prompts or {_plain(test.better), _plain(test.worse)} <= texts:
            yield (
                "tested-example",
                f"has in test {number} an example of its own, which a judge may have been shown. "
                "Write another.",
            )


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _requests(principle: Principle) -> Iterator[tuple[str, str]]:
    """Every text that can be part of a request, with its name in messages."""
    for holder in (principle, *principle.rubric):
        where = "" if holder is principle else f" of criterion {holder.id}"
        for name, text in holder.model_dump(include=_TEXTS, exclude_none=True).items():
            yield f"{name}{where}", str(text)


def _near_duplicates(principles: Sequence[Principle]) -> Iterator[LintFinding]:
    """By the Jaccard index of their words, without articles and the like."""
    words = {each.id: _words(each.text) for each in principles}
    for first, second in combinations(principles, 2):
        shared, all_words = words[first.id] & words[second.id], words[first.id] | words[second.id]
        if not shared or len(shared) < NEAR_DUPLICATE * len(all_words):
            continue
        if first.group and first.group == second.group:
            continue
        if first.tier == second.tier:
            message = (
                f"is almost equal to {first.id!r}, so one idea has two votes and shifts the "
                "verdict. Merge them, put both into one 'group', which shares a single weight, or "
                "state what distinguishes them."
            )
        else:
            message = (
                f"is almost equal to {first.id!r} of tier {first.tier}, and the higher tier "
                "decides first. Keep one of them, or state what distinguishes them."
            )
        yield LintFinding(second.id, "near-duplicate", message)


def _tiers(constitution: Constitution) -> Iterator[LintFinding]:
    """Tiers that have no effect whatever a judge says; whether one speaks is not known here."""
    tiers: dict[int, list[Principle]] = defaultdict(list)
    for principle in constitution.principles:
        tiers[principle.tier].append(principle)
    if len(tiers) == 1:
        return
    if constitution.compose != "vote":
        lowest = min(tiers)
        first = next(each for each in constitution.principles if each.tier != lowest)
        message = (
            f"is in tier {first.tier}, but 'compose: {constitution.compose}' counts every tier "
            "alike. Write 'compose: vote', or drop 'tier'."
        )
        yield LintFinding(first.id, "unused-tier", message)
    for tier, principles in tiers.items():
        if not any(each.weight for each in principles):
            message = (
                f"is in tier {tier}, where every weight is 0, so this tier never decides. Give one "
                "of its principles a weight, or move them to another tier."
            )
            yield LintFinding(principles[0].id, "silent-tier", message)


def _groups(principles: Sequence[Principle]) -> Iterator[LintFinding]:
    """Groups that share no weight, or one that would be split among tiers."""
    groups: dict[str, list[Principle]] = defaultdict(list)
    for principle in principles:
        if principle.group and principle.weight:
            groups[principle.group].append(principle)
    for group, members in groups.items():
        tiers = sorted({each.tier for each in members})
        if len(members) == 1:
            message = (
                f"is the only principle with a weight in the group {group!r}, and shares it with "
                "none. Check the spelling, or drop 'group'."
            )
            yield LintFinding(members[0].id, "lone-group", message)
        elif len(tiers) > 1:
            message = (
                f"is in the group {group!r}, which spreads one weight over the tiers "
                f"{', '.join(map(str, tiers))}. Move its principles into one tier, or drop 'group'."
            )
            yield LintFinding(members[0].id, "split-group", message)


def _foreign_examples(principles: Sequence[Principle]) -> Iterator[LintFinding]:
    """Few-shots that another principle has too, or whose critique is about another principle."""
    # Without `negated`, whose words are often those of the template and are then in all of them.
    stems = {
        each.id: _stems(
            " ".join(
                [each.id.replace("-", " "), *each.tags]
                + [text for name, text in _requests(each) if not name.startswith("negated")]
            )
        )
        for each in principles
    }
    # A word counts by its rarity over the principles: words that all of them have decide nothing.
    counts = Counter(stem for of_one in stems.values() for stem in of_one)
    rarity = {stem: log(1 + len(principles) / count) for stem, count in counts.items()}
    owners: dict[FewShot, str] = {}
    for principle in principles:
        for number, example in enumerate(principle.examples, start=1):
            owner = owners.setdefault(example, principle.id)
            if owner != principle.id:
                message = f"has the same example {number} as {owner!r}. Write one of its own."
                yield LintFinding(principle.id, "foreign-example", message)
            critique = _stems(example.critique)
            scores = {id: sum(rarity[stem] for stem in critique & own) for id, own in stems.items()}
            best = max(scores, key=lambda id: scores[id])
            n_shared = len(critique & stems[best])
            if n_shared >= FOREIGN_WORDS and scores[best] >= FOREIGN_RATIO * scores[principle.id]:
                message = (
                    f"has in example {number} a critique about {best!r}. "
                    "Move it to that principle, or name what violates this one."
                )
                yield LintFinding(principle.id, "foreign-example", message)


# A negation, at most four words of the same clause, and a second negation; or a negation before an
# opposite, such as "not unkind". A conjunction ends the clause, so `_WORD` excludes them.
_NOT = (
    r"(?:do|does|did|is|are|was|were|has|have|had|should|must|may|can|could|would|will)"
    r"(?:n't| not|n’t)|cannot|can't|won't|never|not|refrains? from"
)
_FIRST = rf"(?:{_NOT}|avoids?|avoiding)"
_WORD = r"(?!(?:and|or|but|nor|if|when|whether|that|which|who|what|only|just|because)\b)[\w'’-]+"
_SECOND = (
    r"(?:not|never|without|avoids?|avoiding|refrain(?:s|ing)? from|fails? to|failing to|lacks?|"
    r"lacking|nothing|nobody|no one|no)"
)
_OPPOSITE = (
    r"(?:un(?!der|ti|less|i[tqvof]|ion|ravel|fold|lock|cover|load)[a-z]+|"
    r"dishonest\w*|impolite\w*|insincere\w*|inaccura\w+|incorrect\w*|irrelevan\w+|disrespect\w*|"
    r"impatient\w*|inconsisten\w+)"
)
_DOUBLE_NEGATIVE = re.compile(
    rf"\b{_FIRST}(?: {_WORD}){{0,4}}? {_SECOND}\b"
    rf"|(?:\bnot|\bnever|\bwithout|n't|n’t) (?:be(?:ing)? )?{_OPPOSITE}\b",
    re.IGNORECASE,
)
# Set phrases in which the second negation does not turn the first.
_HARMLESS = re.compile(
    r"\bnot (?:only|just)\b|\bno (?:more|longer|less|matter|doubt)\b", re.IGNORECASE
)


def double_negative(text: str) -> str:
    """The first phrase in which one negation reverses another; empty if there is none.

    Both must be in one clause, at most four words apart: "does not lie, and never insults" and "not
    what nobody asked" have two negations and no double negative.
    """
    plain = _HARMLESS.sub(lambda match: "_" * len(match.group()), " ".join(text.split()))
    match = _DOUBLE_NEGATIVE.search(plain)
    return match.group() if match else ""


# "The response does not", "Answers are free of": a negation among the first words. To avoid or to
# leave out something may be the fault itself.
_NEGATED_BEGINNING = re.compile(
    rf"(?:{_WORD} ){{1,4}}?(?:{_NOT}|(?:free|clear) (?:of|from)"
    r"|(?:contains?|gives?|has|have|holds?|makes?|offers?|is|are) (?:no|nothing|nobody|no one))\b",
    re.IGNORECASE,
)


def _negated_beginning(text: str) -> str:
    """The first words of a statement up to a negation; empty if there is none."""
    match = _NEGATED_BEGINNING.match(" ".join(text.split()))
    return match.group() if match else ""


_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an the of to in on at by for from with as and or but it its is are be was were this "
        "that  these those which who what where when how does do did has have any anyone someone "
        "there their  they them than then so such response responses last your you user answer "
        "would could should  says say each more most one else rewrite",
    )
)


def _words(text: str) -> frozenset[str]:
    """The words that carry meaning, without the s of a plural."""
    words = set(re.findall(r"[\w’']+", text.lower())) - _STOP_WORDS
    # Once more without the s: the stop words have their singular only.
    return frozenset(word.rstrip("s") for word in words) - _STOP_WORDS


def _stems(text: str) -> frozenset[str]:
    """The words' first five letters: a rough stem that joins "deceive" and "deceives"."""
    return frozenset(word[:5] for word in _words(text))
