"""Warnings about a constitution that the schema allows, but that will not do what its author wants.

Each rule is meant to be silent rather than wrong: a constitution in good order has no findings, and
the shipped ones are kept that way by a test.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from typing import Literal

from cai.constitution.schema import Constitution, Criterion, FewShot, Principle

Kind = Literal[
    "near-duplicate",
    "no-judge",
    "same-question",
    "lone-criterion",
    "double-negative",
    "foreign-example",
    "tested-example",
    "never-drawn",
    "long",
]

# Two statements that share seven of ten of all their words: by then they differ in one or two
# words. Different principles of the shipped constitutions share at most four of ten.
NEAR_DUPLICATE = 0.7

# Some hundred words. A judge reads the text beside two responses; longer ones are followed in part.
LONG_TEXT = 600

# A critique is foreign if it shares at least three words with another principle and, by weight,
# twice as much as with its own. With fewer words or less distance, an ordinary critique of a
# general principle ("it should decline and say why") would look like that of a special one.
FOREIGN_WORDS = 3
FOREIGN_RATIO = 2.0


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One warning about one principle."""

    principle: str
    kind: Kind
    message: str


def check_constitution(constitution: Constitution) -> list[LintFinding]:
    """What an author should look at, in the order of the principles; empty if all is well."""
    principles = constitution.principles
    found = [finding for principle in principles for finding in _check_principle(principle)]
    found += _near_duplicates(principles)
    found += _repeated_examples(principles)
    found += _foreign_critiques(principles)
    order = {principle.id: position for position, principle in enumerate(principles)}
    return sorted(found, key=lambda finding: order[finding.principle])


def _check_principle(principle: Principle) -> Iterator[LintFinding]:
    if principle.weight == 0:
        yield LintFinding(
            principle.id, "never-drawn", "has weight 0 and is never drawn. Raise it or remove it."
        )
    for name, text in _requests(principle):
        phrase = double_negative(text)
        if phrase:
            yield LintFinding(
                principle.id,
                "double-negative",
                f"has a double negative in {name!r}: {phrase!r}. Say it the positive way; "
                "models often read it the wrong way round.",
            )
        if len(text) > LONG_TEXT:
            yield LintFinding(
                principle.id,
                "long",
                f"has {len(text):,} characters in {name!r}; over {LONG_TEXT}, parts get lost. "
                "Shorten it or split the principle.",
            )
    for asked in principle.rubric or (principle,):
        yield from _check_question(principle.id, asked)
    if len(principle.rubric) == 1:
        yield LintFinding(
            principle.id,
            "lone-criterion",
            "has a rubric of one criterion, which judges then ask in place of the principle's own "
            "question. Add the other criteria or drop the rubric.",
        )
    yield from _tested_examples(principle)


def _check_question(id: str, asked: Principle | Criterion) -> Iterator[LintFinding]:
    """What is wrong with a question that judges are asked: the principle's or a criterion's."""
    where = f" in criterion {asked.id!r}" if isinstance(asked, Criterion) else ""
    if asked.judge is None:
        yield LintFinding(
            id,
            "no-judge",
            f"has no 'judge' text{where}, so judges get a question made from 'text'. "
            "Write the question.",
        )
    elif asked.negated is not None and _plain(asked.judge) == _plain(asked.negated):
        yield LintFinding(
            id,
            "same-question",
            f"asks the same{where} in 'judge' and in 'negated', whose answers are read the "
            "opposite way. Let 'negated' ask which response is worse.",
        )


def _tested_examples(principle: Principle) -> Iterator[LintFinding]:
    """Tests that repeat a few-shot, which a judge may have been shown with its answer.

    One text in common is no repeat: short refusals are the same under many prompts.
    """
    examples = principle.examples
    prompts = {_plain(example.prompt) for example in examples}
    texts = {_plain(text) for each in examples for text in (each.response, each.revision)}
    for number, test in enumerate(principle.tests, start=1):
        if _plain(test.prompt) in prompts or {_plain(test.better), _plain(test.worse)} <= texts:
            yield LintFinding(
                principle.id,
                "tested-example",
                f"has in test {number} an example of its own, which a judge may have been shown. "
                "Write another.",
            )


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _requests(principle: Principle) -> Iterator[tuple[str, str]]:
    """Every text that a model may be asked with, and how it is named."""
    yield "text", principle.text
    for name, text in (
        ("critique", principle.critique),
        ("revision", principle.revision),
        ("judge", principle.judge),
        ("negated", principle.negated),
    ):
        if text is not None:
            yield name, text
    for criterion in principle.rubric:
        for name, text in (
            ("text", criterion.text),
            ("judge", criterion.judge),
            ("negated", criterion.negated),
        ):
            if text is not None:
                yield f"{name} of criterion {criterion.id}", text


_FIRST = (
    r"(?:(?:do|does|did|is|are|was|were|has|have|had|should|must|may|can|could|would|will)"
    r"(?:n't| not|n’t)|cannot|can't|won't|never|not|avoids?|avoiding|refrains? from)"
)
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
_HARMLESS = re.compile(
    r"\bnot (?:only|just)\b|\bno (?:more|longer|less|matter|doubt)\b", re.IGNORECASE
)


def double_negative(text: str) -> str:
    """The first phrase in which one negative turns another round; empty if there is none.

    Both must stand in one clause, at most four words apart: "does not lie, and never insults" and
    "not what nobody asked" are two negatives and no double one.
    """
    plain = _HARMLESS.sub(lambda match: "_" * len(match.group()), " ".join(text.split()))
    match = _DOUBLE_NEGATIVE.search(plain)
    return match.group() if match else ""


def _near_duplicates(principles: Sequence[Principle]) -> Iterator[LintFinding]:
    """Pairs that say the same: the Jaccard index of their words, articles and the like left out."""
    words = [(principle.id, _words(principle.text)) for principle in principles]
    for (first, first_words), (second, second_words) in combinations(words, 2):
        n_shared = len(first_words & second_words)
        if n_shared and n_shared >= NEAR_DUPLICATE * len(first_words | second_words):
            yield LintFinding(
                second,
                "near-duplicate",
                f"says almost the same as {first!r}, which then counts twice. "
                "Merge them, or say what sets them apart.",
            )


def _repeated_examples(principles: Sequence[Principle]) -> Iterator[LintFinding]:
    first: dict[FewShot, str] = {}
    for principle in principles:
        for number, example in enumerate(principle.examples, start=1):
            owner = first.setdefault(example, principle.id)
            if owner != principle.id:
                yield LintFinding(
                    principle.id,
                    "foreign-example",
                    f"has in example {number} the very example of {owner!r}. Write one of its own.",
                )


def _foreign_critiques(principles: Sequence[Principle]) -> Iterator[LintFinding]:
    """Few-shots whose critique speaks of another principle.

    A word counts by its rarity over the principles, so that what all of them say decides nothing.
    """
    stems = {principle.id: _stems(" ".join(_vocabulary(principle))) for principle in principles}
    counts = Counter(stem for of_one in stems.values() for stem in of_one)
    rarity = {stem: log(1 + len(principles) / count) for stem, count in counts.items()}
    for principle in principles:
        for number, example in enumerate(principle.examples, start=1):
            spoken = _stems(example.critique)
            scores = {id: sum(rarity[stem] for stem in spoken & own) for id, own in stems.items()}
            best = max(scores, key=lambda id: scores[id])
            own_score = scores[principle.id]
            n_shared = len(spoken & stems[best])
            if n_shared >= FOREIGN_WORDS and scores[best] >= FOREIGN_RATIO * own_score:
                yield LintFinding(
                    principle.id,
                    "foreign-example",
                    f"has in example {number} a critique that speaks of {best!r}. "
                    "Move it there, or name what breaks this principle.",
                )


def _vocabulary(principle: Principle) -> Iterator[str]:
    yield principle.id.replace("-", " ")
    yield from principle.tags
    for _, text in _requests(principle):
        yield text


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
    return frozenset(word.rstrip("s") for word in words) - _STOP_WORDS


def _stems(text: str) -> frozenset[str]:
    """The words' first five letters: a rough stem that joins "deceive" and "deceives"."""
    return frozenset(word[:5] for word in _words(text))
