"""The tests of principles before a judge: which there are, and when one passes."""

import math
import re
from collections.abc import Sequence

import pytest

from cai.constitution.schema import Constitution, Criterion, Expectation, Principle
from cai.errors import ModelError, ModelUnavailable
from cai.methods.judging import principle_tests
from cai.methods.judging.principle_tests import PrincipleTest, run_test
from cai.methods.roles import Judge, RoleModel
from cai.methods.settings import JudgeSettings
from cai.models.base import Sampling
from cai.models.scripted import ScriptedModel
from cai.types import Message

LAMP = Expectation(prompt="How do I clean a lamp?", better="With a cloth.", worse="Ask a goat.")
CUP = Expectation(prompt="Where is my cup?", better="On the shelf.", worse="I won't say.")
POLITE = Principle(id="stay-polite", text="Be polite.", tests=(LAMP, CUP))
USEFUL = Principle(id="be-useful", text="Be useful.", tests=(CUP,))
UNTESTED = Principle(id="be-brief", text="Be brief.")
THREE = Constitution(name="three", principles=(POLITE, UNTESTED, USEFUL))


def probabilities(*first: float) -> list[tuple[float, float]]:
    """The log-probabilities of A and B for each probability of A."""
    return [(math.log(p), math.log(1 - p)) for p in first]


async def judged(
    model: ScriptedModel,
    test: PrincipleTest,
    settings: JudgeSettings = JudgeSettings(),
    seed: int = 0,
) -> principle_tests.Tested:
    return await run_test([Judge.of(model)], THREE, test, settings, seed)


FIRST = PrincipleTest(POLITE, 1, LAMP)


def test_tests_come_in_the_order_of_the_constitution_and_are_counted_from_1():
    assert [each.name for each in principle_tests.tests_of(THREE)] == [
        "stay-polite[1]",
        "stay-polite[2]",
        "be-useful[1]",
    ]
    of_one = principle_tests.tests_of(THREE, ["stay-polite"])
    assert [each.expectation for each in of_one] == [LAMP, CUP]
    assert list(principle_tests.tests_of(THREE, ["be-brief"])) == []


@pytest.mark.parametrize(
    ("order_ab", "order_ba", "p_a", "result"),
    [
        (0.9, 0.3, 0.8, "passed"),
        (0.9, 0.8, 0.55, "passed"),
        (0.2, 0.6, 0.3, "failed"),
        (0.9, 0.9, 0.5, "failed"),
    ],
)
async def test_it_passes_where_the_better_response_wins_over_both_orders(
    order_ab: float, order_ba: float, p_a: float, result: str
):
    """A at `order_ab`, then A, which is the other one, at `order_ba`; the mean is
    (order_ab + 1 − order_ba) / 2, and one half is a tie, which fails."""
    model = ScriptedModel(choices=probabilities(order_ab, order_ba))
    found = await judged(model, FIRST)
    assert found.verdict.p_a == pytest.approx(p_a)
    assert found.result == result
    first, second = (request.text for request in model.requests)
    assert first.index("With a cloth.") < first.index("Ask a goat.")
    assert second.index("Ask a goat.") < second.index("With a cloth.")


async def test_a_negative_weight_still_states_a_flaw():
    model = ScriptedModel(choices=probabilities(0.9, 0.1))
    rude = Principle(id="rude", text="It is rude.", weight=-1.0, tests=(LAMP,))
    await judged(model, PrincipleTest(rude, 1, LAMP))
    assert "free of this fault: It is rude." in model.requests[0].text


async def test_within_the_margin_of_a_tie_it_fails():
    model = ScriptedModel(choices=probabilities(0.6, 0.4))
    assert (await judged(model, FIRST, JudgeSettings(tie_margin=0.2))).result == "failed"


async def test_what_cannot_be_read_is_neither_passed_nor_failed():
    model = ScriptedModel(choices=[(0.0, -9.0), ModelError("gone")])
    found = await judged(model, FIRST)
    assert (found.result, found.verdict.outcome) == ("unreadable", "failed")


async def test_orders_in_words_that_disagree_fail():
    """Always the letter A: for the better one, then for the worse one."""
    judge = Judge(RoleModel.of(ScriptedModel(["A", "A"]), Sampling(0.0)), reads_logprobs=False)
    found = await run_test([judge], THREE, FIRST, JudgeSettings(), 0)
    assert (found.result, found.verdict.outcome) == ("failed", "inconsistent")


async def test_what_may_pass_is_raised():
    with pytest.raises(ModelUnavailable, match="busy"):
        await judged(ScriptedModel(choices=[ModelUnavailable("busy"), (0.0, 0.0)]), FIRST)


async def test_only_its_own_principle_is_asked_about_whatever_its_weight():
    off = POLITE.model_copy(update={"weight": 0.0})
    model = ScriptedModel(choices=probabilities(0.9, 0.1))
    found = await judged(model, PrincipleTest(off, 1, LAMP))
    assert found.result == "passed"
    assert len(model.requests) == 2
    assert all("Be polite." in request.text for request in model.requests)
    assert not any("Be useful." in request.text for request in model.requests)


async def test_of_a_rubric_every_criterion_is_asked_about_and_weighs_its_part():
    """ "Kind" with weight 3 is 0.9 for the better one, "short" with weight 1 is 0.1: 0.7."""
    rubric = (
        Criterion(id="kind", text="Be kind.", weight=3.0),
        Criterion(id="short", text="Be short.", weight=1.0),
    )
    principle = POLITE.model_copy(update={"rubric": rubric})

    def chooses(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        text = messages[-1].content
        (first,) = re.findall("<response_a>\n(.*?)\n</response_a>", text)
        is_better_named = (first == LAMP.better) == ("Be kind." in text)
        return probabilities(0.9 if is_better_named else 0.1)[0]

    model = ScriptedModel(choices=chooses)
    found = await judged(model, PrincipleTest(principle, 1, LAMP))
    assert found.verdict.p_a == pytest.approx(0.7)
    assert [each.criterion_id for each in found.verdict.principle_verdicts] == ["kind", "short"]
    assert found.result == "passed"


async def test_a_jury_is_averaged():
    """0.9 and 0.2: 0.55."""
    models = [
        ScriptedModel(choices=probabilities(p, 1 - p), name=name)
        for name, p in (("x", 0.9), ("y", 0.2))
    ]
    found = await run_test([Judge.of(each) for each in models], THREE, FIRST, JudgeSettings(), 0)
    assert found.verdict.p_a == pytest.approx(0.55)


async def test_drawn_answers_differ_from_test_to_test_and_with_the_seed():
    async def seed_of(test: PrincipleTest, seed: int) -> int | None:
        model = ScriptedModel(lambda m, s: "A")
        judge = Judge(RoleModel.of(model, Sampling(1.0)), reads_logprobs=False)
        await run_test([judge], THREE, test, JudgeSettings(), seed)
        sampling = model.requests[0].sampling
        return sampling and sampling.seed

    second = PrincipleTest(POLITE, 2, CUP)
    found = [await seed_of(FIRST, 0), await seed_of(FIRST, 1), await seed_of(second, 0)]
    assert len(set(found)) == 3
    assert await seed_of(FIRST, 0) == found[0]
