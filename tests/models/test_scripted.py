"""`ScriptedModel`: replies in order or by function, exceptions, exhaustion, requests, choices."""

import math

import pytest

from cai.errors import ModelError, ModelUnavailable, UsageError
from cai.models.base import ChoiceModel, Completion, Sampling
from cai.models.scripted import ScriptedModel, SeenRequest
from cai.types import Message

SAMPLING = Sampling(max_tokens=5)
ASKED = (Message("system", "Be brief."), Message("user", "Hello?"))


def test_it_is_a_choice_model():
    model: ChoiceModel = ScriptedModel(["a"])
    assert isinstance(model, ChoiceModel)
    assert model.is_chat and not ScriptedModel(["a"], is_chat=False).is_chat


async def test_replies_come_in_order():
    model = ScriptedModel(["one", Completion("two", "length", reasoning="hm")])
    assert (await model.complete(ASKED, SAMPLING)).text == "one"
    assert await model.complete(ASKED, SAMPLING) == Completion("two", "length", reasoning="hm")


async def test_an_exception_is_raised_in_its_turn():
    model = ScriptedModel([ModelUnavailable("busy"), "then"])
    with pytest.raises(ModelUnavailable, match="busy"):
        await model.complete(ASKED, SAMPLING)
    assert (await model.complete(ASKED, SAMPLING)).text == "then"


async def test_a_function_sees_the_request():
    model = ScriptedModel(lambda messages, sampling: f"{messages[-1].content} {sampling.seed}")
    assert (await model.complete(ASKED, Sampling(seed=4))).text == "Hello? 4"


async def test_an_exhausted_script_says_how_far_it_went():
    model = ScriptedModel(["only"], name="judge")
    await model.complete(ASKED, SAMPLING)
    with pytest.raises(ModelError, match="judge: the script has no more replies after 1 requests"):
        await model.complete(ASKED, SAMPLING)
    with pytest.raises(ModelError, match="no more choices after 2 requests"):
        await model.choose(ASKED, ("A", "B"))


async def test_every_request_is_kept():
    model = ScriptedModel(["x"], choices=[(0.0, 0.0)])
    await model.complete(ASKED, SAMPLING)
    await model.choose(ASKED[1:], ("A", "B"))
    assert model.requests == [
        SeenRequest(ASKED, SAMPLING),
        SeenRequest(ASKED[1:], None, ("A", "B")),
    ]
    assert model.requests[0].text == "Be brief.\nHello?"


async def test_choices_are_normalised():
    """Log-probabilities -1 and -1 - ln 3 stand 3 to 1, which is 0.75 and 0.25."""
    model = ScriptedModel(choices=[(-1.0, -1.0 - math.log(3))])
    choice = await model.choose(ASKED, ("A", "B"))
    assert [math.exp(value) for value in choice.logprobs] == pytest.approx([0.75, 0.25])


async def test_a_choice_has_a_mass_where_its_numbers_are_log_probabilities():
    """0.5 + 0.25 is a mass; 1 and 1 are numbers on some other scale."""
    model = ScriptedModel(choices=[(math.log(0.5), math.log(0.25)), (0.0, 0.0)])
    assert (await model.choose(ASKED, ("A", "B"))).mass == pytest.approx(0.75)
    assert (await model.choose(ASKED, ("A", "B"))).mass is None


async def test_a_choice_without_numbers_is_an_error():
    with pytest.raises(ModelError, match="nan, -1"):
        await ScriptedModel(choices=[(math.nan, -1.0)]).choose(ASKED, ("A", "B"))


async def test_choices_may_come_from_a_function_or_fail():
    model = ScriptedModel(choices=lambda messages, options: [0.0 for _ in options])
    assert (await model.choose(ASKED, "ABCD")).logprobs == pytest.approx([-math.log(4)] * 4)
    with pytest.raises(ModelUnavailable):
        await ScriptedModel(choices=[ModelUnavailable("busy")]).choose(ASKED, ("A", "B"))


async def test_a_choice_of_another_length_is_refused():
    with pytest.raises(UsageError, match="2 log-probabilities for the 3 options A, B, C"):
        await ScriptedModel(choices=[(0.0, 0.0)]).choose(ASKED, ("A", "B", "C"))


def test_a_single_text_is_no_script():
    with pytest.raises(UsageError, match="Put it in a list"):
        ScriptedModel("hello")
