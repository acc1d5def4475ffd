"""Finding out whether judges give log-probabilities, before a run."""

import io
import math
from collections.abc import Sequence

import pytest
from openai_server import LocalServer, chat, chat_logprobs, refusal
from reward_server import spec
from rich.console import Console
from slow_servers import WordsOnly

from cai.constitution.schema import Constitution, Principle
from cai.errors import ModelError, ModelUnavailable, NoLogprobs, UsageError
from cai.methods.roles import Judge
from cai.methods.settings import JudgeSettings, ScoreSettings, VerdictSource
from cai.models.base import Model
from cai.models.registry import open_model
from cai.models.scripted import ScriptedModel
from cai.runs.judge_preparation import prepare_judges
from cai.types import Message

CONSTITUTION = Constitution(
    name="one", principles=(Principle(id="stay-polite", text="Be polite."),)
)


async def probed(*models: Model, verdicts: VerdictSource = "auto") -> tuple[tuple[Judge, ...], str]:
    """The judges, and what was printed."""
    printed = io.StringIO()
    settings = JudgeSettings(verdicts=verdicts)
    roles = [settings.role_model(model) for model in models]
    judges = await prepare_judges(roles, CONSTITUTION, settings, Console(file=printed))
    return judges, printed.getvalue()


async def test_a_model_with_log_probabilities_is_read_by_them_without_a_word():
    model = ScriptedModel(choices=[(0.0, -1.0)])
    (judge,), said = await probed(model)
    assert (judge.reads_logprobs, said) == (True, "")
    (request,) = model.requests
    assert request.options == ("A", "B")
    assert "Be polite." in request.text and "Answer with one letter, A or B." in request.text


async def test_a_model_without_is_read_by_its_words_and_that_is_said():
    model = ScriptedModel(choices=[NoLogprobs("It drops them.")])
    (judge,), said = await probed(model)
    assert not judge.reads_logprobs
    assert said.startswith(
        "WARNING: scripted gives no usable log-probabilities; its verdicts are read"
    )
    assert "It drops them." in said


async def test_letters_of_little_probability_are_none():
    choices = [(math.log(0.009), math.log(0.001))]
    (judge,), said = await probed(ScriptedModel(choices=choices))
    assert not judge.reads_logprobs
    assert "gives no usable log-probabilities" in said and "1.00% of the probability" in said
    with pytest.raises(NoLogprobs, match=r"1\.00% of the probability"):
        await probed(ScriptedModel(choices=choices), verdicts="logprobs")


async def test_marks_are_probed_where_the_answer_is_ten():
    """A judge that spells 10 as 1 and 0 shows it only where it wants to say so."""
    settings = ScoreSettings()

    def choose(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        if any(message.content == "10" for message in messages):
            raise NoLogprobs("The token '1' may also begin the option 10.")
        return [-math.inf] * 6 + [math.log(0.9), math.log(0.1), -math.inf, -math.inf]

    printed = Console(file=io.StringIO())
    roles = [settings.role_model(ScriptedModel(choices=choose))]
    (judge,) = await prepare_judges(roles, CONSTITUTION, settings, printed)
    assert not judge.reads_logprobs


async def test_parsed_verdicts_need_no_question():
    model = ScriptedModel()
    (judge,), said = await probed(model, verdicts="parsed")
    assert (judge.reads_logprobs, said, model.requests) == (False, "", [])


async def test_log_probabilities_that_are_asked_for_and_missing_are_an_error():
    with pytest.raises(NoLogprobs, match=r"It drops them\. Log-probabilities were asked for"):
        await probed(ScriptedModel(choices=[NoLogprobs("It drops them.")]), verdicts="logprobs")


async def test_each_judge_of_a_jury_is_read_in_its_own_way():
    first = ScriptedModel(choices=[(0.0, -1.0)], name="first")
    second = ScriptedModel(choices=[NoLogprobs("none")], name="second")
    judges, said = await probed(first, second)
    assert [judge.reads_logprobs for judge in judges] == [True, False]
    assert "second gives no" in said and "first" not in said


async def test_a_kind_of_model_that_has_none_is_read_by_its_words():
    (judge,), said = await probed(WordsOnly())
    assert not judge.reads_logprobs
    assert "words is of a kind that has none" in said
    with pytest.raises(NoLogprobs):
        await probed(WordsOnly(), verdicts="logprobs")


async def test_another_failure_is_that_failure():
    with pytest.raises(ModelError, match="wrong key"):
        await probed(ScriptedModel(choices=[ModelError("wrong key")]))


async def test_a_failure_that_passes_is_asked_again():
    model = ScriptedModel(choices=[ModelUnavailable("busy", 0.001), (0.0, -1.0)])
    (judge,), _ = await probed(model)
    assert judge.reads_logprobs
    assert len(model.requests) == 2


@pytest.mark.parametrize("names", [[], ["one", "one"], ["one", "two", "one"]])
async def test_judges_are_named_once_and_at_least_one(names: list[str]):
    with pytest.raises(UsageError, match="at least one, and each once"):
        await probed(*(ScriptedModel(name=name) for name in names))


@pytest.mark.parametrize(("reply", "said"), [
    (chat_logprobs(A=-0.1, B=-2.4), ""),
    (chat("A"), "gives no usable log-probabilities"),
    (refusal(400, "logprobs is not supported"), "gives no usable log-probabilities"),
    (chat_logprobs(Well=-0.1, So=-2.4), "none of the options A, B is among"),
])  # fmt: skip
async def test_servers_are_told_apart(local_server: LocalServer, reply: object, said: str):
    """With log-probabilities; dropping them without a word; refusing them; and thinking first."""
    local_server.reply = reply  # pyright: ignore[reportAttributeAccessIssue]
    model = open_model(spec(local_server))
    (judge,), heard = await probed(model)
    await model.close()
    assert judge.reads_logprobs == (not said)
    assert said in heard
