"""The judge inside the group: who meets whom, what a completion wins, and what was not judged."""

import math
import re
from collections.abc import Sequence

import pytest

from cai.constitution.loader import load_constitution
from cai.errors import ModelError, ModelUnavailable
from cai.methods.roles import Judge, RoleModel
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.models.base import Sampling
from cai.models.scripted import ScriptedModel
from cai.training.rewards.completion_judges import (
    CompletionGroup,
    PairwiseJudges,
    PointwiseJudges,
    groups_of,
    most_frequent_cause,
    pairs_of,
)
from cai.types import Message, user_prompt

TESTBED = load_constitution("testbed")
# Two principles, stay-polite and no-preaching, whose mean can be worked out by hand.
TONE = JudgeSettings(tags=("tone",), compose="mean")
PROMPT = user_prompt("How do I mend a lamp?", "request-0")


def numbers_in(messages: Sequence[Message]) -> list[int]:
    asked = "\n".join(message.content for message in messages)
    return [int(found) for found in re.findall(r"part (\d+)", asked)]


def prefer_greater(messages: Sequence[Message], options: Sequence[str]) -> tuple[float, float]:
    """By 9 to 1 the response with the greater number, whichever letter it has."""
    first, second = numbers_in(messages)
    better, worse = math.log(0.9), math.log(0.1)
    return (better, worse) if first > second else (worse, better)


def group(*texts: str) -> CompletionGroup:
    return CompletionGroup(PROMPT, texts, tuple(range(len(texts))))


def judge_of(model: ScriptedModel, **changes: object) -> PairwiseJudges:
    return PairwiseJudges([Judge.of(model)], TESTBED, TONE, **changes)  # pyright: ignore[reportArgumentType]


async def test_each_completion_wins_the_mean_over_the_others():
    """3 beats 2 and 1 by 0.9 each; 2 loses to 3 and beats 1: (0.1 + 0.9) / 2; 1 loses twice."""
    model = ScriptedModel(choices=prefer_greater)
    judged = await judge_of(model).judge(group("part 1", "part 3", "part 2"))
    assert judged.rewards() == pytest.approx([0.1, 0.9, 0.5])
    assert len(model.requests) == 3 * 2 * 2  # meetings, principles, orders


async def test_both_orders_are_asked_under_every_principle():
    model = ScriptedModel(choices=prefer_greater)
    await judge_of(model).judge(group("part 1", "part 2"))
    assert sorted(numbers_in(request.messages) for request in model.requests) == [
        [1, 2],
        [1, 2],
        [2, 1],
        [2, 1],
    ]
    assert all("How do I mend a lamp?" in request.text for request in model.requests)


async def test_a_judge_that_always_says_a_gives_everybody_one_half():
    model = ScriptedModel(choices=lambda messages, options: (math.log(0.8), math.log(0.2)))
    judged = await judge_of(model).judge(group("part 1", "part 3", "part 2"))
    assert judged.rewards() == pytest.approx([0.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("n", "opponents", "meetings"),
    [
        (4, None, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
        (4, 3, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
        (4, 2, [(0, 1), (0, 3), (1, 2), (2, 3)]),
        (5, 2, [(0, 1), (0, 4), (1, 2), (2, 3), (3, 4)]),
        (2, 1, [(0, 1)]),
        (1, None, []),
    ],
)
def test_who_meets_whom(n: int, opponents: int | None, meetings: list[tuple[int, int]]):
    assert list(pairs_of(n, opponents)) == meetings


@pytest.mark.parametrize("n", range(2, 12))
@pytest.mark.parametrize("opponents", [1, 2, 3, 4, 6])
def test_in_a_ring_everybody_meets_equally_many_others_once(n: int, opponents: int):
    meetings = list(pairs_of(n, opponents))
    assert len(set(meetings)) == len(meetings)
    assert all(first < second for first, second in meetings)
    counts = {place: sum(place in meeting for meeting in meetings) for place in range(n)}
    met = set(counts.values())
    assert len(met) == 1
    assert min(opponents, n - 1) <= met.pop() <= opponents + 1


async def test_equal_texts_are_even_and_nobody_is_asked():
    model = ScriptedModel()
    judged = await judge_of(model).judge(group("part 1", "part 1", " part  1 "))
    assert judged.rewards() == [0.5, 0.5, 0.5]
    assert judged.rewards("stay-polite") == [0.5, 0.5, 0.5]
    assert model.requests == []


async def test_what_meets_again_is_asked_in_the_same_words():
    """So that the journal answers it, in whatever order the completions came."""
    one, other = ScriptedModel(choices=prefer_greater), ScriptedModel(choices=prefer_greater)
    await judge_of(one).judge(group("part 1", "part 2", "part 3"))
    await judge_of(other).judge(group("part 3", "part 1", "part 2"))
    assert {each.messages for each in one.requests} == {each.messages for each in other.requests}


@pytest.mark.parametrize("error", [ModelUnavailable("The judge is away."), ModelError("No.")])
async def test_a_failed_judgement_is_none_and_never_zero(error: ModelError):
    def choose(messages: Sequence[Message], options: Sequence[str]) -> tuple[float, float]:
        if 3 in numbers_in(messages):
            raise error
        return prefer_greater(messages, options)

    judged = await judge_of(ScriptedModel(choices=choose)).judge(
        group("part 1", "part 3", "part 2")
    )
    assert judged.rewards() == [pytest.approx(0.1), None, pytest.approx(0.9)]


async def test_under_one_principle_what_is_read_of_another_has_no_part():
    """Politeness prefers the greater number, preaching the smaller one: 0.9 and 0.1 of 2 over 1."""
    principle = next(each for each in TESTBED.principles if each.id == "no-preaching")
    wording = str(principle.judge or principle.text)

    def choose(messages: Sequence[Message], options: Sequence[str]) -> tuple[float, ...]:
        found = prefer_greater(messages, options)
        is_turned = wording in "\n".join(message.content for message in messages)
        return found[::-1] if is_turned else found

    judged = await judge_of(ScriptedModel(choices=choose)).judge(group("part 1", "part 2"))
    assert judged.rewards("stay-polite") == pytest.approx([0.1, 0.9])
    assert judged.rewards("no-preaching") == pytest.approx([0.9, 0.1])
    assert judged.rewards() == pytest.approx([0.5, 0.5])
    assert judged.rewards("no-harm") == [None, None]  # nobody was asked about it


async def test_completions_meet_the_answer_of_the_reference():
    """It says part 2: 3 wins by 0.9, 1 loses, and an equal text is even."""
    reference = ScriptedModel(["part 2"], name="reference")
    model = ScriptedModel(choices=prefer_greater)
    judge = judge_of(model, reference=RoleModel.of(reference, Sampling(0.0)))
    judged = await judge.judge(group("part 1", "part 3", "part 2"))
    assert judged.rewards() == pytest.approx([0.1, 0.9, 0.5])
    assert len(reference.requests) == 1
    assert len(model.requests) == 2 * 2 * 2  # two that differ, principles, orders


async def test_without_an_answer_of_the_reference_nothing_is_scored():
    reference = ScriptedModel([ModelError("It is not there.")])
    judge = judge_of(ScriptedModel(), reference=RoleModel.of(reference, Sampling(0.0)))
    judged = await judge.judge(group("part 1", "part 2"))
    assert judged.rewards() == [None, None]


async def test_a_jury_counts_each_judge():
    """One prefers the greater number by 0.9, one always A: the mean of 0.9 and 0.5 is 0.7."""
    even = ScriptedModel(choices=lambda messages, options: (math.log(0.8), math.log(0.2)))
    jury = [Judge.of(ScriptedModel(choices=prefer_greater, name="one")), Judge.of(even)]
    judged = await PairwiseJudges(jury, TESTBED, TONE).judge(group("part 1", "part 2"))
    assert judged.rewards() == pytest.approx([0.3, 0.7])


def test_a_batch_is_grouped_by_the_ids_of_its_prompts():
    asked = [[{"role": "user", "content": text}] for text in ("one", "two", "one")]
    said = [[{"role": "assistant", "content": text}] for text in (" a ", "b", "c\n")]
    groups = groups_of(asked, said, ["p1", "p2", "p1"])
    assert [(each.prompt.id, each.completions, each.indices) for each in groups] == [
        ("p1", ("a", "c"), (0, 2)),
        ("p2", ("b",), (1,)),
    ]
    assert [each.prompt.request for each in groups] == ["one", "two"]


async def test_direct_scores_are_from_minus_one_to_one_and_none_where_the_call_failed():
    """Ten equally probable marks have the mean 5.5, and 2 (5.5 − 1) / 9 − 1 = 0; all on 10 is 1."""

    def choose(messages: Sequence[Message], options: Sequence[str]) -> list[float]:
        number = numbers_in(messages)[0]
        if number == 3:
            raise ModelUnavailable("The judge is away.")
        last = [-100.0] * (len(options) - 1) + [0.0]
        return last if number == 2 else [math.log(0.1)] * len(options)

    model = ScriptedModel(choices=choose)
    judge = PointwiseJudges([Judge.of(model)], TESTBED, ScoreSettings(tags=("tone",)))
    judged = await judge.judge(group("part 1", "part 2", "part 3"))
    assert judged.rewards() == [pytest.approx(0, abs=1e-9), pytest.approx(1), None]
    assert judged.rewards("stay-polite")[1] == pytest.approx(1)
    assert most_frequent_cause([judged]) == "The judge is away."
