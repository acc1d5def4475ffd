"""The requests a judge is sent, as conversations through the templates.

What is judged comes first and the question last: requests about the same two responses share all
but their end, which a model reads once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cai.constitution.schema import FewShot, Principle
from cai.methods.judging.verdict import Comparison
from cai.templates import TemplateSet
from cai.types import Conversation, Message, Prompt, user_prompt

LETTERS = ("A", "B")
MARKS = tuple(str(mark) for mark in range(1, 11))
YES_NO = ("Yes", "No")


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask of a comparison: a principle or a criterion of its rubric.

    `asked` has the texts that the template renders; for a criterion they are the criterion's.
    `weight` is its weight in the verdict. A negated question asks which response is worse.
    """

    asked: Principle
    principle_id: str = ""
    criterion_id: str = ""
    weight: float = 1.0
    is_negated: bool = False
    few_shots: int = 0


def questions_of(
    principle: Principle, weight: float = 1.0, *, with_negated: bool = False, few_shots: int = 0
) -> Iterator[Question]:
    """The questions that together judge a principle; their weights add up to `weight`."""
    ways = (False, True) if with_negated else (False,)
    # A rubric's criteria share the weight of their principle, and so do a question and its reverse:
    # a principle must not weigh more because more is asked about it.
    total = sum(criterion.weight for criterion in principle.rubric) or 1.0
    parts = [
        (
            principle.model_copy(
                update={
                    "text": criterion.text,
                    "judge": criterion.judge,
                    "negated": criterion.negated,
                }
            ),
            criterion.id,
            criterion.weight / total,
        )
        for criterion in principle.rubric
    ] or [(principle, "", 1.0)]
    for asked, criterion_id, share in parts:
        for is_negated in ways:
            yield Question(
                asked,
                principle.id,
                criterion_id,
                weight * share / len(ways),
                is_negated,
                few_shots,
            )


def judge_turns(
    templates: TemplateSet, question: Question, comparison: Comparison, rationale: str | None = None
) -> Conversation:
    """The conversation that ends with the request for one letter; after a rationale, when given."""
    if rationale is None:
        shots = _shots(templates, question, has_rationale=False)
        return (*shots, _turn(templates, "judge", question, comparison))
    return (
        *rationale_turns(templates, question, comparison),
        Message("assistant", rationale),
        _turn(templates, "judge", question, comparison, has_rationale=True),
    )


def rationale_turns(
    templates: TemplateSet, question: Question, comparison: Comparison
) -> Conversation:
    """The conversation that ends with the request to assess both responses."""
    shots = _shots(templates, question, has_rationale=True)
    return (*shots, _turn(templates, "rationale", question, comparison))


def score_turns(
    templates: TemplateSet, principle: Principle, prompt: Prompt, response: str
) -> Conversation:
    """The conversation that ends with the request for a number from 1 to 10."""
    return (_one_turn(templates, "score", principle, prompt, response),)


def check_turns(
    templates: TemplateSet, principle: Principle, prompt: Prompt, response: str
) -> Conversation:
    """The conversation that ends with the question whether the response keeps the principle."""
    return (_one_turn(templates, "check", principle, prompt, response),)


def usable_shots(principle: Principle, *, has_rationale: bool) -> tuple[FewShot, ...]:
    """The examples that can be shown to a judge: with a rationale, those with an assessment."""
    return tuple(each for each in principle.examples if each.assessment or not has_rationale)


def _shots(templates: TemplateSet, question: Question, *, has_rationale: bool) -> list[Message]:
    """Worked comparisons; the better response stands at A and at B in turns."""
    usable = usable_shots(question.asked, has_rationale=has_rationale)
    turns: list[Message] = []
    for number, shot in enumerate(usable[: question.few_shots]):
        # Shots that always have the better response at A would teach the position.
        comparison = Comparison(user_prompt(shot.prompt), shot.revision, shot.response)
        is_first_better = number % 2 == 0
        shown = comparison if is_first_better else comparison.swapped
        letter = LETTERS[0 if is_first_better != question.is_negated else 1]
        if has_rationale and shot.assessment:
            turns.append(_turn(templates, "rationale", question, shown))
            turns.append(Message("assistant", shot.assessment))
            turns.append(_turn(templates, "judge", question, shown, has_rationale=True))
        else:
            turns.append(_turn(templates, "judge", question, shown))
        turns.append(Message("assistant", letter))
    return turns


def _turn(
    templates: TemplateSet,
    step: Literal["judge", "rationale"],
    question: Question,
    comparison: Comparison,
    *,
    has_rationale: bool = False,
) -> Message:
    values = {
        "principle": question.asked,
        "conversation": comparison.prompt.messages,
        "response_a": comparison.response_a,
        "response_b": comparison.response_b,
        "is_negated": question.is_negated,
    }
    if step == "judge":  # the rationale's own template has no such value
        values["has_rationale"] = has_rationale
    return Message("user", templates.render(step, values))


def _one_turn(
    templates: TemplateSet,
    step: Literal["score", "check"],
    principle: Principle,
    prompt: Prompt,
    response: str,
) -> Message:
    values = {"principle": principle, "conversation": prompt.messages, "response": response}
    return Message("user", templates.render(step, values))
