"""Marks and checks: values worked out by hand, answers in words, and failures."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from slow_servers import WordsOnly

from cai.constitution.schema import Constitution, Principle
from cai.errors import ContextLengthError, ModelError, ModelUnavailable, NoLogprobs, UsageError
from cai.methods.judging.pointwise import Score, Scored, ScoreOutcome, score, score_response
from cai.methods.judging.requests import MARKS, YES_NO
from cai.methods.roles import Judge, RoleModel
from cai.methods.settings import ScoreSettings
from cai.models.base import Choice, Completion, Sampling
from cai.models.scripted import ScriptedModel
from cai.templates import load_templates
from cai.types import Message, user_prompt

CHAT = load_templates("chat")
POLITE = Principle(id="stay-polite", text="Be polite.")
USEFUL = Principle(id="be-useful", text="Be useful.", weight=3.0)
CHECK = ScoreSettings(kind="check")


def under(*principles: Principle) -> Constitution:
    return Constitution(name="made", principles=principles or (POLITE,))


def shares(**of: float) -> list[float]:
    """Log-probabilities of the ten marks, of those shares and zero for the others."""
    named = {name.removeprefix("m"): share for name, share in of.items()}
    return [math.log(named[mark]) if mark in named else -math.inf for mark in MARKS]


async def scored(
    model: ScriptedModel,
    constitution: Constitution,
    settings: ScoreSettings,
    *,
    reads_logprobs: bool = True,
    temperature: float = 0.0,
) -> Scored:
    judge = Judge(RoleModel(model, CHAT, Sampling(temperature)), reads_logprobs)
    prompt = user_prompt("How do I clean a lamp?")
    found = await score_response([judge], constitution, prompt, "Ask a goat.", settings, seed=0)
    return Scored(prompt, "Ask a goat.", "goat", found)


@pytest.mark.parametrize(("logprobs", "value"), [
    (shares(m1=1.0), -1.0), (shares(m10=1.0), 1.0), (shares(m1=0.5, m10=0.5), 0.0),
    (shares(m8=0.5, m9=0.25, m10=0.25), 2 * (8.75 - 1) / 9 - 1), ([0.0] * 10, 0.0),
])  # fmt: skip
async def test_a_mark_is_the_expectation_brought_to_minus_1_to_1(
    logprobs: Sequence[float], value: float
):
    """8, 9 and 10 with 0.5, 0.25 and 0.25 expect 8.75: 2 · 7.75 / 9 − 1 = 0.7222."""
    model = ScriptedModel(choices=[logprobs])
    (found,) = (await scored(model, under(), ScoreSettings())).scores
    assert (found.outcome, found.value) == ("scored", pytest.approx(value))
    assert len(found.probabilities) == 10 and sum(found.probabilities) == pytest.approx(1)
    assert model.requests[0].options == MARKS
    assert model.requests[0].text.endswith(
        "How well does the response keep this principle? Be polite.\n"
        "Answer with one number from 1 (breaks it) to 10 (keeps it fully)."
    )


async def test_a_check_is_the_probability_of_yes():
    """Yes with 0.6 and No with 0.2 are 0.75 of what is given: 2 · 0.75 − 1 = 0.5."""
    model = ScriptedModel(choices=[(math.log(0.6), math.log(0.2))])
    (found,) = (await scored(model, under(), CHECK)).scores
    assert (found.kind, found.value) == ("check", pytest.approx(0.5))
    assert found.probabilities == pytest.approx((0.75, 0.25))
    assert found.mass == pytest.approx(0.8)
    assert model.requests[0].options == YES_NO
    assert "Does the response keep this principle? Be polite." in model.requests[0].text


@pytest.mark.parametrize("problem", [
    [-9.0] * 10, NoLogprobs("the first token '1' may also begin the option 10"),
], ids=["little mass", "10 is two tokens"])  # fmt: skip
async def test_marks_that_cannot_be_read_by_log_probabilities_are_read_from_words(problem: Any):
    """10 written: (10 − 1) · 2 / 9 − 1 = 1."""
    model = ScriptedModel(['{"score": 10}'], choices=[problem])
    judge = Judge(RoleModel(model, CHAT), reads_logprobs=True, has_fallback=True)
    (found,) = await score_response(
        [judge], under(), user_prompt("Hm?"), "Ask a goat.", ScoreSettings(), seed=0
    )
    assert (found.outcome, found.value, found.is_fallback) == ("scored", 1.0, True)
    assert (found.answers, found.reason) == (('{"score": 10}',), "")


async def test_written_marks_are_averaged():
    """7, nothing, and 9: the mean of the two is 8, and 2 · 7 / 9 − 1 = 0.5556."""
    model = ScriptedModel(["Score: 7", "It depends.", "9/10"])
    found = await scored(
        model, under(), ScoreSettings(samples=3), reads_logprobs=False, temperature=0.7
    )
    (one,) = found.scores
    assert one.value == pytest.approx(2 * 7 / 9 - 1)
    assert one.answers == ("Score: 7", "It depends.", "9/10")
    assert one.probabilities[6] == one.probabilities[8] == 0.5
    assert len({request.sampling.seed for request in model.requests if request.sampling}) == 3
    assert all(request.sampling and request.sampling.json_schema for request in model.requests)


async def test_written_checks_are_shares():
    """Yes, No, Yes: two thirds; 2 · 2/3 − 1 = 1/3."""
    model = ScriptedModel(["Yes.", "No", '{"answer": "Yes"}'])
    found = await scored(
        model,
        under(),
        ScoreSettings(kind="check", samples=3),
        reads_logprobs=False,
        temperature=0.7,
    )
    assert found.scores[0].value == pytest.approx(1 / 3)


BAD: list[tuple[str, dict[str, Any], ScoreSettings, ScoreOutcome]] = [
    ("nothing", {"replies": [""]}, ScoreSettings(), "unparsed"),
    ("eleven", {"replies": ["11"]}, ScoreSettings(), "unparsed"),
    ("two marks", {"replies": ["3 or 8"]}, ScoreSettings(), "unparsed"),
    ("yes and no", {"replies": ["Yes and no."]}, CHECK, "unparsed"),
    ("filtered", {"replies": [Completion("", "filtered")]}, ScoreSettings(), "refused"),
    ("no letters", {"choices": [NoLogprobs("none")]}, ScoreSettings(), "unparsed"),
    ("not a number", {"choices": [(math.nan, 0.0)]}, CHECK, "failed"),
    ("too long", {"choices": [ContextLengthError("too long")]}, CHECK, "failed"),
    ("a wrong key", {"choices": [ModelError("wrong key")]}, CHECK, "failed"),
]


@pytest.mark.parametrize(("script", "settings", "outcome"), [each[1:] for each in BAD],
                         ids=[each[0] for each in BAD])  # fmt: skip
async def test_a_bad_answer_is_an_outcome_and_no_number(
    script: dict[str, Any], settings: ScoreSettings, outcome: ScoreOutcome
):
    model = ScriptedModel(**script)
    found = await scored(model, under(), settings, reads_logprobs="choices" in script)
    (one,) = found.scores
    assert (one.outcome, one.value, one.probabilities) == (outcome, None, ())
    assert found.value is None


async def test_a_refusal_in_words_is_a_refusal():
    model = ScriptedModel(["I'm sorry, but I cannot rate this."])
    found = await scored(model, under(), ScoreSettings(), reads_logprobs=False)
    assert found.scores[0].outcome == "refused"


async def test_numbers_that_are_no_probabilities_are_a_failure():
    class BrokenModel(ScriptedModel):
        async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
            return Choice((0.5, math.nan))

    (one,) = (await scored(BrokenModel(), under(), CHECK)).scores
    assert (one.outcome, one.value, one.error) == ("failed", None, "refused request")


async def test_a_model_without_log_probabilities_that_is_read_by_them_is_unparsed():
    judge = Judge(RoleModel.of(WordsOnly()), reads_logprobs=True)
    (one,) = await score_response([judge], under(), user_prompt("Hm?"), "Hm.", ScoreSettings(), 0)
    assert (one.outcome, one.value) == ("unparsed", None)
    assert "gives no log-probabilities" in one.reason


async def test_a_written_answer_that_fails_is_a_failure():
    model = ScriptedModel([ModelError("gone"), "9"])
    found = await scored(
        model, under(), ScoreSettings(samples=2), reads_logprobs=False, temperature=1.0
    )
    assert (found.scores[0].outcome, found.scores[0].reason) == ("failed", "gone")
    assert len(model.requests) == 2


async def test_the_kind_of_a_failure_is_kept():
    model = ScriptedModel(choices=[ContextLengthError("too long")])
    (one,) = (await scored(model, under(), CHECK)).scores
    assert (one.error, one.reason) == ("context length", "too long")


async def test_what_may_pass_is_raised():
    model = ScriptedModel(choices=[ModelUnavailable("busy"), (0.0, 0.0)])
    with pytest.raises(ModelUnavailable, match="busy"):
        await scored(model, under(POLITE, USEFUL), CHECK)
    assert len(model.requests) == 2


async def test_the_value_of_a_response_is_the_weighted_mean_of_what_was_scored():
    """1 with weight 1 and −1 with weight 3: −0.5; where the first fails, −1."""
    certain = [(0.0, -math.inf), (-math.inf, 0.0)]
    found = await scored(ScriptedModel(choices=certain), under(POLITE, USEFUL), CHECK)
    assert found.value == pytest.approx(-0.5)
    failing = ScriptedModel(choices=[ModelError("gone"), (-math.inf, 0.0)])
    found = await scored(failing, under(POLITE, USEFUL), CHECK)
    assert found.value == pytest.approx(-1.0)
    assert [each.outcome for each in found.scores] == ["failed", "scored"]


async def test_only_principles_with_the_tag_are_scored():
    tagged = USEFUL.model_copy(update={"tags": ("use",)})
    model = ScriptedModel(choices=lambda m, o: [0.0] * len(o))
    found = await scored(model, under(POLITE, tagged), ScoreSettings(tags=("use",)))
    assert [each.principle_id for each in found.scores] == ["be-useful"]
    with pytest.raises(UsageError, match="Its tags: use"):
        await scored(model, under(POLITE, tagged), ScoreSettings(tags=("nothing",)))


async def test_several_samples_at_temperature_0_are_refused():
    model = ScriptedModel(lambda m, s: "7")
    with pytest.raises(UsageError, match="temperature 0 are all the same"):
        await scored(model, under(), ScoreSettings(samples=3), reads_logprobs=False)
    assert model.requests == []


async def test_one_model_and_a_text_are_enough():
    def choose(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        return [0.0 if option == "10" else -50.0 for option in options]

    found = await score(ScriptedModel(choices=choose), under(), "Hello?", "Good day.")
    assert found.value == pytest.approx(1)
    assert (found.prompt.request, found.response, found.model) == ("Hello?", "Good day.", "")


def test_scores_of_weight_nothing_have_no_mean():
    failed = Score("mark", "judge", "stay-polite", 1.0, "failed")
    assert Scored(user_prompt("Hm?"), "Hm.", "", (failed,)).value is None
    assert Scored(user_prompt("Hm?"), "Hm.", "", ()).value is None


@pytest.mark.parametrize(
    ("weights", "value"),
    [((1.0, 1.0), 0.5), ((2.0, 1.0), 0.5), ((1.0, 1.5), None), ((1.0, 3.0), None)],
)
def test_less_than_half_of_the_weight_makes_no_value(
    weights: tuple[float, float], value: float | None
):
    """The first weighs `weights[0]` and has 0.5, the second failed: 1 of 2 is half."""
    first = Score("mark", "judge", "stay-polite", weights[0], "scored", 0.5)
    failed = Score("mark", "judge", "be-useful", weights[1], "failed")
    found = Scored(user_prompt("Hm?"), "Hm.", "", (first, failed))
    assert found.value == value
