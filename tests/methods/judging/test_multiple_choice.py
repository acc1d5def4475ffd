"""A question in every order of its options: what is asked, and what becomes of the replies."""

import math
from collections.abc import Sequence

import pytest
from suite_rows import options_of

from cai.errors import ContextLengthError, ModelUnavailable, NoLogprobs
from cai.methods.judging.multiple_choice import ChoiceQuestion, answer
from cai.methods.roles import Judge, RoleModel
from cai.models.base import Choice, Completion, Sampling, Usage
from cai.models.scripted import ScriptedModel
from cai.templates import load_templates
from cai.types import Message, user_prompt

LAMP = ChoiceQuestion(user_prompt("What of the lamp?"), ("Wipe it", "Drop it", "Sell it"), (0,))
SAYS = ChoiceQuestion(user_prompt("Would you say this?"), ("Yes", "No"), (1,), is_lettered=False)


def likes(option: str) -> ScriptedModel:
    """A model that gives the option 0.7, wherever it stands, and the others as much each."""

    def choose(messages: Sequence[Message], options: Sequence[str]) -> list[float]:
        shown = options_of(messages[-1].content) or {each: each for each in options}
        rest = 0.2 / (len(options) - 1)
        return [math.log(0.7 if shown[each] == option else rest) for each in options]

    return ScriptedModel(choices=choose)


async def test_every_option_stands_once_at_every_letter():
    model = likes("Sell it")
    answers = await answer(Judge.of(model), LAMP, 0)
    shown = [options_of(request.text) for request in model.requests]
    assert [list(each) for each in shown] == [["A", "B", "C"]] * 3
    for letter in "ABC":
        assert {each[letter] for each in shown} == set(LAMP.options)
    assert all(request.options == ("A", "B", "C") for request in model.requests)
    assert [each.outcome for each in answers.replies] == ["answered"] * 3


async def test_probabilities_are_those_of_the_options_wherever_they_stand():
    """0.7 of 0.9 for the option liked, and 0.1 of 0.9 for each other."""
    answers = await answer(Judge.of(likes("Sell it")), LAMP, 0)
    for reply in answers.replies:
        assert reply.probabilities == pytest.approx((1 / 9, 1 / 9, 7 / 9))
        assert reply.mass == pytest.approx(0.9)


async def test_words_are_asked_for_themselves_in_both_orders():
    model = likes("No")
    answers = await answer(Judge.of(model), SAYS, 0)
    assert [request.options for request in model.requests] == [("Yes", "No"), ("No", "Yes")]
    assert model.requests[0].text == "Would you say this?\n\nAnswer with one word, Yes or No."
    assert model.requests[1].text.endswith("\n\nAnswer with one word, No or Yes.")
    assert [each.probabilities.index(max(each.probabilities)) for each in answers.replies] == [1, 1]


async def test_a_base_model_is_asked_in_a_transcript():
    def choose(messages: Sequence[Message], options: Sequence[str]) -> list[float]:
        return [0.0 for _ in options]

    model = ScriptedModel(choices=choose, is_chat=False)
    await answer(
        Judge(RoleModel(model, load_templates("transcript")), reads_logprobs=True), SAYS, 0
    )
    assert model.requests[0].text == ("Human: Would you say this?\n\nSay Yes or No.\n\nAssistant:")


async def test_a_written_answer_is_the_option_that_stands_at_its_letter():
    model = ScriptedModel(["(B)", "(B)", "(B)"])
    policy = Judge(RoleModel.of(model), reads_logprobs=False)
    answers = await answer(policy, LAMP, 0)
    chosen = [LAMP.options[each.probabilities.index(1.0)] for each in answers.replies]
    assert chosen == [options_of(request.text)["B"] for request in model.requests]
    assert sorted(chosen) == sorted(LAMP.options)


async def test_what_cannot_be_read_is_no_answer_and_says_why():
    filtered = Completion("", "filtered", Usage(5, 0))
    model = ScriptedModel(["Lamps are nice.", "I'm sorry, but I can't help with that.", filtered])
    policy = Judge(RoleModel.of(model), reads_logprobs=False)
    answers = await answer(policy, LAMP, 0)
    assert [each.outcome for each in answers.replies] == ["unparsed", "refused", "refused"]
    assert answers.answered == ()
    assert answers.replies[0].text == "Lamps are nice."
    assert answers.usage == Usage(5, 0)


async def test_a_failure_that_stays_is_kept_and_one_that_may_pass_is_raised():
    lasting = [ContextLengthError("Too long."), NoLogprobs("None there."), [0.0, -1.0, -1.0]]
    answers = await answer(Judge.of(ScriptedModel(choices=lasting)), LAMP, 0)
    assert [(each.outcome, each.error) for each in answers.replies] == [
        ("failed", "context length"),
        ("unparsed", ""),
        ("answered", ""),
    ]
    with pytest.raises(ModelUnavailable):
        passing = [ModelUnavailable("Busy."), [0.0, -1.0, -1.0], [0.0, -1.0, -1.0]]
        await answer(Judge.of(ScriptedModel(choices=passing)), LAMP, 0)


class Odd:
    """A model whose log-probabilities are none."""

    name = "odd"
    is_chat = True

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        return Completion("(A)")

    async def check(self) -> None: ...

    async def close(self) -> None: ...

    async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        return Choice((0.5, 0.5))


async def test_log_probabilities_above_0_are_a_failure():
    answers = await answer(Judge.of(Odd()), SAYS, 0)
    assert [each.outcome for each in answers.replies] == ["failed", "failed"]
    assert "odd gives (0.5, 0.5) as log-probabilities" in answers.replies[0].reason
