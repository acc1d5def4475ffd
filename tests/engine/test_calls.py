"""Retry: what is asked again, how often, and after which pauses."""

from collections.abc import Callable, Sequence

import pytest

from cai.engine.calls import Retry, retrying
from cai.errors import CaiError, ContextLengthError, ModelError, ModelUnavailable
from cai.models.base import ChoiceModel, Sampling
from cai.models.scripted import ScriptedModel
from cai.types import Message

ASKED = (Message("user", "Which gate is mine?"),)


class Pauses(list[float]):
    """A sleep that takes no time and remembers how long it should have been."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def patient(pauses: Pauses, jitter: float = 1.0, attempts: int = 6) -> Retry:
    return Retry(attempts=attempts, sleep=pauses, jitter=lambda: jitter)


async def test_a_failure_that_passes_is_never_seen():
    inner = ScriptedModel([ModelUnavailable("Busy."), ModelUnavailable("Busy."), "Left."])
    pauses = Pauses()
    answer = await retrying(inner, patient(pauses)).complete(ASKED, Sampling())
    assert answer.text == "Left."
    assert len(inner.requests) == 3
    assert pauses == [0.5, 1.0]


async def test_pauses_double_up_to_the_longest():
    """0.5 · 2^k for k = 0 … 8 is 0.5, 1, 2, 4, 8, 16, 32, 64, 128; the last two are cut to 60."""
    inner = ScriptedModel([*[ModelUnavailable("Busy.")] * 9, "Left."])
    pauses = Pauses()
    await retrying(inner, patient(pauses, attempts=10)).complete(ASKED, Sampling())
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


async def test_jitter_takes_away_at_most_half_of_a_pause():
    inner = ScriptedModel([*[ModelUnavailable("Busy.")] * 3, "Left."])
    pauses = Pauses()
    await retrying(inner, patient(pauses, jitter=0.0)).complete(ASKED, Sampling())
    assert pauses == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("jitter", [0.0, 0.999])
async def test_the_pause_is_never_shorter_than_the_server_asks(jitter: float):
    inner = ScriptedModel([ModelUnavailable("Busy.", retry_after_s=90), "Left."])
    pauses = Pauses()
    await retrying(inner, patient(pauses, jitter)).complete(ASKED, Sampling())
    assert 90 <= pauses[0] < 90.5


async def test_a_server_that_asks_for_hours_is_given_up_at_once():
    inner = ScriptedModel([ModelUnavailable("Quota is used up.", retry_after_s=7200)])
    pauses = Pauses()
    with pytest.raises(ModelUnavailable, match=r"Quota is used up.*called once") as caught:
        await retrying(inner, patient(pauses)).complete(ASKED, Sampling())
    assert caught.value.retry_after_s == 7200
    assert pauses == []


async def test_after_the_last_attempt_the_error_says_how_often_it_was_tried():
    inner = ScriptedModel([ModelUnavailable("Busy.")] * 3)
    with pytest.raises(ModelUnavailable, match=r"Busy\..*scripted was called 3 times") as caught:
        await retrying(inner, patient(Pauses(), attempts=3)).complete(ASKED, Sampling())
    assert caught.value.retryable
    assert len(inner.requests) == 3


@pytest.mark.parametrize(
    "error", [ModelError("Wrong key."), ContextLengthError("Too long."), ZeroDivisionError("Bug.")]
)
async def test_what_will_not_pass_is_raised_at_once_as_it_is(error: Exception):
    inner = ScriptedModel([error, "Left."])
    with pytest.raises(type(error)) as caught:
        await retrying(inner, patient(Pauses())).complete(ASKED, Sampling())
    assert caught.value is error
    assert len(inner.requests) == 1


async def test_a_choice_is_asked_again_too():
    inner = ScriptedModel(choices=[ModelUnavailable("Busy."), [0.0, 0.0]])
    model = retrying(inner, patient(Pauses()))
    assert isinstance(model, ChoiceModel)
    assert len((await model.choose(ASKED, ["A", "B"])).logprobs) == 2


async def test_the_usual_patience_needs_no_setting():
    model = retrying(ScriptedModel(["Left."]))
    assert (await model.complete(ASKED, Sampling())).text == "Left."


async def failing_beside(n_answered: int, message: Callable[[int], str]) -> tuple[CaiError, int]:
    """The error of a request that always fails, and its attempts; others are answered beside it."""
    attempts = 0

    def reply(messages: Sequence[Message], _: object) -> str:
        nonlocal attempts
        if messages != ASKED:
            return "Left."
        attempts += 1
        raise ModelUnavailable(message(attempts), cause="server error")

    async def pause(_: float) -> None:
        for number in range(n_answered):
            await model.complete((Message("user", str(number)),), Sampling())

    model = retrying(ScriptedModel(reply), Retry(attempts=10, sleep=pause))
    with pytest.raises(ModelError) as caught:
        await model.complete(ASKED, Sampling())
    return caught.value, attempts


async def test_a_server_error_of_one_request_alone_is_permanent():
    """With 100 answered between: (1 / 201)³ < 10⁻⁶; with 3: (1 / 16)⁵ < 10⁻⁶ < (1 / 13)⁴..."""
    error, attempts = await failing_beside(100, lambda n: f"500: request 7f3a{n} broke.")
    assert (error.cause, error.retryable, attempts) == ("refused request", False, 3)
    error, attempts = await failing_beside(3, lambda _: "500: it broke.")
    assert (error.cause, attempts) == ("refused request", 6)


async def test_a_server_that_answers_nobody_or_says_something_else_each_time_may_recover():
    for n_answered, message in ((0, lambda _: "500"), (100, lambda n: "x" * n)):
        error, attempts = await failing_beside(n_answered, message)
        assert (error.cause, error.retryable, attempts) == ("server error", True, 10)
