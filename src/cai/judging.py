"""Which of two responses keeps a principle better, as a probability.

The comparison is asked twice, with the responses swapped, and the two probabilities are averaged:
a judge that always favours one side ends at one half. Lee et al. 2023, arXiv:2309.00267, §2.1.
"""

import math
from dataclasses import dataclass
from typing import Literal

from cai.constitution.schema import Principle
from cai.models.protocol import ChoiceModel, Usage
from cai.prompts import TemplateSet
from cai.types import Conversation, Message, Prompt

LETTERS = ("A", "B")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two responses to one prompt, before judging."""

    prompt: Prompt
    response_a: str
    response_b: str

    @property
    def swapped(self) -> "Comparison":
        return Comparison(self.prompt, self.response_b, self.response_a)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`p_a` is the probability in [0, 1] that response A is better; `by_order` that of each order.

    The second order is already turned back: both numbers are about the same response A.
    """

    p_a: float
    by_order: tuple[float, float]
    usage: Usage = Usage()


async def compare(
    judge: ChoiceModel, templates: TemplateSet, principle: Principle, comparison: Comparison
) -> Verdict:
    """The judge's verdict under one principle, both orders averaged in probability.

    Raises:
        ModelError: A call failed, or the model gives no log-probabilities.
    """
    there = await judge.choose(
        templates.request(judge_turns(templates, principle, comparison)), LETTERS
    )
    back = await judge.choose(
        templates.request(judge_turns(templates, principle, comparison.swapped)), LETTERS
    )
    by_order = (math.exp(there.logprobs[0]), math.exp(back.logprobs[1]))
    return Verdict(sum(by_order) / 2, by_order, there.usage + back.usage)


def judge_turns(
    templates: TemplateSet,
    principle: Principle,
    comparison: Comparison,
    rationale: str | None = None,
) -> Conversation:
    """The conversation that ends with the request for one letter; after a rationale, when given."""
    if rationale is None:
        return (_turn(templates, "judge", principle, comparison, has_rationale=False),)
    return (
        *rationale_turns(templates, principle, comparison),
        Message("assistant", rationale),
        _turn(templates, "judge", principle, comparison, has_rationale=True),
    )


def rationale_turns(
    templates: TemplateSet, principle: Principle, comparison: Comparison
) -> Conversation:
    """The conversation that ends with the request to assess both responses."""
    return (_turn(templates, "rationale", principle, comparison, has_rationale=False),)


def score_turns(
    templates: TemplateSet, principle: Principle, prompt: Prompt, response: str
) -> Conversation:
    """The conversation that ends with the request for a number from 1 to 10."""
    text = templates.render(
        "score", {"principle": principle, "conversation": prompt.messages, "response": response}
    )
    return (Message("user", text),)


def _turn(
    templates: TemplateSet,
    step: Literal["judge", "rationale"],
    principle: Principle,
    comparison: Comparison,
    *,
    has_rationale: bool,
) -> Message:
    values = {
        "principle": principle,
        "conversation": comparison.prompt.messages,
        "response_a": comparison.response_a,
        "response_b": comparison.response_b,
        "has_rationale": has_rationale,
    }
    return Message("user", templates.render(step, values))
