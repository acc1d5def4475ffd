"""Exercises of the testbed: the two sides of the hold-out, contrasted pairs, and real templates."""

import itertools
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, astuple

import pytest

from cai.constitution.loader import load_constitution
from cai.constitution.schema import Principle
from cai.methods.judging.requests import (
    Question,
    check_turns,
    judge_turns,
    rationale_turns,
    score_turns,
)
from cai.methods.judging.verdict import Comparison
from cai.methods.revision import critique_turns, direct_turns, revision_turns
from cai.methods.settings import ReviseSettings
from cai.templates import load_templates
from cai.testbed.curriculum import (
    FIRST,
    LAST,
    Exercise,
    Shares,
    curriculum_shares,
    draw_any,
    draw_exercise,
    draw_for,
    draw_helpful_only,
    draw_pair,
    draw_request,
    judge_exercise,
    respond_exercise,
    revise_exercise,
    score_exercise,
)
from cai.testbed.oracle import critique_text, finding, read_request, read_response
from cai.testbed.train import STAGES, Schedule
from cai.testbed.world import DEEDS, FRAMES, Request, Response
from cai.types import Conversation, user_prompt

TEMPLATES = load_templates("chat")
CONSTITUTION = load_constitution("testbed")
PRINCIPLES = CONSTITUTION.principles
QUESTIONS = [Question(each, is_negated=way) for each in PRINCIPLES for way in (False, True)]
NOTHING = TEMPLATES.settings.no_revision_needed


def is_broken(principle: Principle, request: Request, response: Response) -> bool:
    reading = read_response(request, response.text(request))
    return finding(principle.id, request, reading) is not None


# Draws


def combination(request: Request) -> tuple[str, str, str, str]:
    return (request.deed, request.owner, request.thing, request.setting)


def test_trained_and_held_out_requests_never_meet():
    rng = random.Random(0)
    sides = [[draw_request(rng, is_held_out=side) for _ in range(5000)] for side in (True, False)]
    held_out, trained = ({combination(request) for request in side} for side in sides)
    assert not held_out & trained
    for side in sides:
        assert {request.deed for request in side} == set(DEEDS)
        assert {request.frame for request in side} == set(range(len(FRAMES)))


def test_requests_are_harmful_six_times_in_ten_or_as_asked():
    """Of 4,000, 2,400 are expected; the standard deviation is √(4000·0.6·0.4) = 31."""
    rng = random.Random(0)
    n = sum(draw_request(rng, is_held_out=False).harm is not None for _ in range(4000))
    assert abs(n - 2400) < 4 * 31
    for is_harmful in (True, False):
        drawn = [draw_request(rng, is_held_out=True, is_harmful=is_harmful) for _ in range(300)]
        assert all((request.harm is not None) == is_harmful for request in drawn)


@pytest.mark.parametrize(("is_harmful", "share"), [(True, 0.90), (False, 0.93)])
def test_the_helpful_only_assistant_complies_with_nearly_everything(is_harmful: bool, share: float):
    """Over 4,000 draws a share strays by at most 4·√(0.9·0.1/4000) = 0.019; 15 % are rude."""
    rng = random.Random(1)
    drawn: list[Response] = []
    for _ in range(4000):
        request = draw_request(rng, is_held_out=False, is_harmful=is_harmful)
        drawn.append(draw_helpful_only(rng, request))
    assert abs(sum(each.core == "complies" for each in drawn) / 4000 - share) < 0.019
    readings = [read_response(request, each.text(request)) for each in drawn[:500]]
    assert abs(sum(bool(each.rude) for each in readings) / 500 - 0.15) < 4 * 0.016


@pytest.mark.parametrize("principle", PRINCIPLES, ids=lambda each: each.id)
def test_a_response_for_a_principle_breaks_or_keeps_it_as_asked(principle: Principle):
    rng = random.Random(2)
    n_broken = 0
    for _ in range(150):
        request = draw_request(rng, is_held_out=False)
        kept = draw_for(rng, request, principle, is_broken=False)
        assert not is_broken(principle, request, kept)
        broken = draw_for(rng, request, principle, is_broken=True)
        n_broken += is_broken(principle, request, broken)
        everything = [Response(core) for core in ("complies", "declines", "evades")]
        if any(is_broken(principle, request, each) for each in everything):
            assert is_broken(principle, request, broken)
    assert n_broken > 0


def test_of_a_contrasted_pair_exactly_one_breaks_the_principle():
    rng = random.Random(3)
    sides: Counter[str] = Counter()
    principles: set[str] = set()
    for number in range(600):
        side = number % 2 == 0
        pair = draw_pair(rng, CONSTITUTION, is_held_out=side, is_contrasted=True)
        first, second = (
            is_broken(pair.principle, pair.request, each) for each in (pair.first, pair.second)
        )
        assert first != second
        assert pair.better == ("B" if first else "A")
        assert pair.request.is_held_out == side
        sides[pair.better] += 1
        principles.add(pair.principle.id)
    assert abs(sides["A"] - 300) < 4 * 12.3  # √(600/4) = 12.2
    assert principles == {principle.id for principle in PRINCIPLES}


def test_of_any_pair_one_is_better_only_if_the_other_alone_breaks_the_principle():
    rng = random.Random(4)
    seen: set[str] = set()
    for _ in range(400):
        pair = draw_pair(rng, CONSTITUTION, is_held_out=False, is_contrasted=False)
        broken = [
            is_broken(pair.principle, pair.request, each) for each in (pair.first, pair.second)
        ]
        assert pair.better == {(False, True): "A", (True, False): "B"}.get(tuple(broken), "")
        seen.add(pair.better)
    assert seen == {"A", "B", ""}


def test_a_pair_is_compared_as_the_method_compares():
    pair = draw_pair(random.Random(5), CONSTITUTION, is_held_out=True, is_contrasted=True)
    assert pair.comparison == Comparison(
        user_prompt(pair.request.text),
        pair.first.text(pair.request),
        pair.second.text(pair.request),
    )


# Exercises

Draw = Callable[..., Exercise]
DRAWS: list[Draw] = [respond_exercise, revise_exercise, judge_exercise, score_exercise]
KINDS = {
    "respond": {"respond"},
    "revise": {"critique", "revise", "direct"},
    "judge": {"judge", "rationale"},
    "score": {"score", "check"},
}
FEW_SHOTS = {shot.prompt for principle in PRINCIPLES for shot in principle.examples}


def exercises(draw: Draw, n: int = 250, *, is_held_out: bool = False) -> list[Exercise]:
    rng = random.Random(f"{draw.__name__} {is_held_out}")
    return [draw(rng, TEMPLATES, CONSTITUTION, is_held_out=is_held_out) for _ in range(n)]


def requests_in(exercise: Exercise) -> list[Request]:
    texts = [turn.content for turn in exercise.turns if turn.role == "user"]
    texts += re.findall(r"<turn user>\n(.*)\n</turn>", "\n".join(texts))
    found = [read_request(text) for text in texts if text not in FEW_SHOTS]
    return [request for request in found if request is not None]


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("side", [True, False])
def test_every_request_of_an_exercise_is_on_the_asked_side(draw: Draw, side: bool):
    for exercise in exercises(draw, is_held_out=side):
        found = requests_in(exercise)
        assert found and all(request.is_held_out == side for request in found)


@pytest.mark.parametrize("draw", DRAWS)
def test_what_is_learnt_are_the_assistant_s_turns_and_the_last_above_all(draw: Draw):
    drawn = exercises(draw)
    assert {exercise.kind for exercise in drawn} == KINDS[draw.__name__.removesuffix("_exercise")]
    for exercise in drawn:
        assert exercise.spoken[-1] == -1
        assert all(exercise.turns[index].role == "assistant" for index in exercise.spoken)
        roles = [turn.role for turn in exercise.turns]
        assert roles == ["user", "assistant"] * (len(roles) // 2)


def plans(few_shots: int) -> list[ReviseSettings]:
    return [ReviseSettings(few_shots=few_shots, minimal=each) for each in (False, True)]


def revision_forms(exercise: Exercise) -> list[Conversation]:
    """All that the method could have asked to get to an exercise's last turn: of every principle
    and plan, around the exchange that the exercise has."""
    turns, asked = exercise.turns, []
    n_shots = {"critique": 4, "direct": 4, "revise": 6}[exercise.kind]
    for principle, few_shots in itertools.product(PRINCIPLES, (0, 1)):
        start = few_shots * n_shots
        for plan in plans(few_shots):
            if exercise.kind == "critique":
                asked.append(critique_turns(TEMPLATES, principle, turns[start:-2], plan))
            elif exercise.kind == "direct":
                asked.append(direct_turns(TEMPLATES, principle, turns[start:-2], plan))
            else:
                critique = turns[-3].content
                exchange = turns[start:-4]
                asked.append(revision_turns(TEMPLATES, principle, exchange, critique, plan))
    return asked


def test_a_revision_exercise_is_asked_exactly_as_the_method_asks():
    for exercise in exercises(revise_exercise):
        assert exercise.turns[:-1] in revision_forms(exercise), exercise


def test_a_revision_exercise_has_the_right_critique_and_a_mended_response():
    """The critique is that of some principle, and after the revision that principle is kept."""
    for exercise in exercises(revise_exercise):
        if exercise.kind != "revise":
            continue
        request = requests_in(exercise)[-1]
        before, critique, after = (exercise.turns[index].content for index in (-5, -3, -1))
        found = {
            principle.id: finding(principle.id, request, read_response(request, before))
            for principle in PRINCIPLES
        }
        right = [
            id for id, each in found.items() if critique_text(request, each, NOTHING) == critique
        ]
        assert right
        if critique == NOTHING:
            assert after == before
        else:
            reading = read_response(request, after)
            assert all(finding(id, request, reading) is None for id in right)
            assert reading.is_readable


def test_a_judging_exercise_is_asked_exactly_as_the_method_asks():
    for exercise in exercises(judge_exercise):
        shown = exercise.turns[0].content
        asked = re.search(r"<turn user>\n(.*)\n</turn>", shown)
        responses = re.findall(r"<response_[ab]>\n(.*)\n</response_[ab]>", shown)
        assert asked and len(responses) == 2
        comparison = Comparison(user_prompt(asked[1]), responses[0], responses[1])
        rationale = exercise.turns[1].content if exercise.kind == "rationale" else None
        forms = [judge_turns(TEMPLATES, each, comparison, rationale) for each in QUESTIONS]
        assert exercise.turns[:-1] in forms
        if rationale is not None:
            assert exercise.spoken == (-3, -1)
            assert exercise.turns[:1] in [
                rationale_turns(TEMPLATES, each, comparison) for each in QUESTIONS
            ]
        assert exercise.turns[-1].content in ("A", "B")


def test_a_reversed_question_is_answered_by_the_worse_response():
    """One question in eight is reversed; its letter is that of the response that breaks."""
    n_reversed = 0
    for exercise in exercises(judge_exercise, 400):
        shown = exercise.turns[0].content
        if "Which response breaks this principle more?" not in shown:
            continue
        n_reversed += 1
        request = requests_in(exercise)[-1]
        principle = next(each for each in PRINCIPLES if each.text in shown)
        broken = [
            finding(principle.id, request, read_response(request, response)) is not None
            for response in re.findall(r"<response_[ab]>\n(.*)\n</response_[ab]>", shown)
        ]
        if broken[0] != broken[1]:
            assert exercise.turns[-1].content == ("A" if broken[0] else "B")
    assert 20 < n_reversed < 80  # 48 expected, standard deviation 6.5


def test_a_scoring_exercise_is_asked_exactly_as_the_method_asks():
    for exercise in exercises(score_exercise):
        (request,) = requests_in(exercise)
        response = re.findall(r"<response>\n(.*)\n</response>", exercise.turns[0].content)[0]
        turns_of = score_turns if exercise.kind == "score" else check_turns
        asked = {
            turns_of(TEMPLATES, each, user_prompt(request.text), response): finding(
                each.id, request, read_response(request, response)
            )
            for each in PRINCIPLES
        }
        found = asked[exercise.turns[:-1]]
        right = {"score": (("8", "9", "10"), ("1", "2", "3")), "check": (("Yes",), ("No",))}
        assert exercise.turns[-1].content in right[exercise.kind][found is not None]


def test_a_response_exercise_is_a_helpful_only_answer_now_and_then_after_an_earlier_exchange():
    """One in twelve: of 1,200, 100 are expected, and the standard deviation is 9.6."""
    drawn = exercises(respond_exercise, 1200)
    assert {len(exercise.turns) for exercise in drawn} == {2, 4}
    assert abs(sum(len(exercise.turns) == 4 for exercise in drawn) - 100) < 4 * 10
    for exercise in drawn:
        request = requests_in(exercise)[-1]
        assert exercise.turns[-2].content == request.text
        assert read_response(request, exercise.turns[-1].content).is_readable
        assert exercise.spoken == (-1,)


def test_every_principle_is_practised():
    texts = [exercise.turns for exercise in exercises(revise_exercise, 400)]
    for principle in PRINCIPLES:
        assert any(principle.text in turn.content for turns in texts for turn in turns)


@pytest.mark.parametrize(("progress", "shares"), [(0.0, FIRST), (1.0, LAST), (1.7, LAST)])
def test_the_shares_of_the_curriculum_move_from_first_to_last(progress: float, shares: Shares):
    """Of 1,500 exercises; the standard deviation of a share is at most √(½·½/1500) = 0.013."""
    rng = random.Random(6)
    assert astuple(curriculum_shares(progress)) == pytest.approx(astuple(shares))
    kinds = Counter(
        draw_exercise(rng, TEMPLATES, CONSTITUTION, curriculum_shares(progress)).kind
        for _ in range(1500)
    )
    assert sum(astuple(shares)) == pytest.approx(1)
    for name, share in asdict(shares).items():
        assert abs(sum(kinds[kind] for kind in KINDS[name]) / 1500 - share) < 4 * 0.013


@pytest.mark.parametrize("stage", STAGES[1:])
def test_the_shares_of_each_stage_add_up(stage: Schedule):
    assert stage.shares is not None and sum(astuple(stage.shares)) == pytest.approx(1)


def test_the_same_seed_draws_the_same_exercises():
    def drawn(seed: int) -> list[Exercise]:
        rng = random.Random(seed)
        return [
            draw_exercise(rng, TEMPLATES, CONSTITUTION, curriculum_shares(0.5)) for _ in range(40)
        ]

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_drawn_response_of_any_kind_can_be_read():
    rng = random.Random(7)
    for _ in range(400):
        request = draw_request(rng, is_held_out=False)
        reading = read_response(request, draw_any(rng, request).text(request))
        assert reading.is_readable
