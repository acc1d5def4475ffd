"""The audit catches what is wrong with a judge: places, lengths, its own responses, principles."""

import asyncio
import itertools
import json
import math
import random
import re
from collections.abc import Callable, Iterable, Sequence
from typing import get_args

import pytest
from made_verdicts import judge_recipe, judged, mean_of, principle_verdict

from cai.constitution.schema import Constitution, Principle
from cai.errors import EvaluationError
from cai.evaluation.judge.audit import AuditReport, audit
from cai.evaluation.judge.label_metrics import LABELS, OUTCOMES, READABLE
from cai.methods.judging.composition import Composer
from cai.methods.judging.ranking import (
    Judged,
    JudgedMatchup,
    JudgePanel,
    compose_group,
    judge_group,
)
from cai.methods.judging.verdict import UNREADABLE, Candidate, Group, Label, Outcome
from cai.methods.roles import Judge
from cai.methods.settings import JudgeSettings
from cai.models.scripted import ScriptedModel
from cai.runs.config import JudgeRunConfig
from cai.types import Message, user_prompt

KIND = Constitution(name="kind", principles=(Principle(id="be-kind", text="Be kind."),))
Taste = Callable[[str, str, str], float]
"""The probability of the letter A for the text at A, the text at B and the question."""


def report_on(
    items: Iterable[Judged], recipe: JudgeRunConfig, *, n_failed: int = 0, seed: int = 0
) -> AuditReport:
    """Composed by the mean, as the verdicts of these tests are."""
    composer = Composer("mean", tie_margin=recipe.settings.tie_margin)
    return audit(items, recipe, composer, n_failed=n_failed, seed=seed)


def asked(messages: Sequence[Message]) -> tuple[str, str, str]:
    content = messages[-1].content
    (a,) = re.findall(r"<response_a>\n(.*?)\n</response_a>", content, re.DOTALL)
    (b,) = re.findall(r"<response_b>\n(.*?)\n</response_b>", content, re.DOTALL)
    return a, b, content.rpartition("</response_b>")[2]


def audited(
    taste: Taste,
    groups: Sequence[Group],
    constitution: Constitution = KIND,
    *,
    judge: str = "scripted",
    settings: JudgeSettings = JudgeSettings(),
) -> AuditReport:
    def answer(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        p = taste(*asked(messages))
        return math.log(p), math.log(1 - p)

    judges = (Judge.of(ScriptedModel(choices=answer, name=judge)),)
    panel = JudgePanel(judges, constitution, settings)

    async def judge_all() -> list[Judged]:
        return [
            compose_group(await judge_group(panel, group, "all", seed=0), panel.composer)
            for group in groups
        ]

    return report_on(asyncio.run(judge_all()), judge_recipe(judge, settings=settings))


def groups_of(
    n: int,
    *,
    models: tuple[str, str] = ("", ""),
    label: Callable[[int], Label | None] = lambda number: None,
    texts: Callable[[int], tuple[str, str]] | None = None,
) -> list[Group]:
    """Pairs of lengths drawn at random, never equal."""
    rng = random.Random(4)

    def lengths(_: int) -> tuple[str, str]:
        first, second = rng.sample(range(1, 40), 2)
        return " ".join(["word"] * first), " ".join(["word"] * second)

    drawn = texts or lengths
    return [
        Group(
            user_prompt(f"Question {i}?", str(i)),
            tuple(Candidate(*each) for each in zip(drawn(i), models, strict=True)),
            label(i),
        )
        for i in range(n)
    ]


def test_the_outcomes_are_the_verdicts_kinds_in_the_order_that_figures_rely_on():
    assert get_args(Outcome) == OUTCOMES == (*READABLE, *UNREADABLE)
    assert OUTCOMES[:3] == LABELS


# Lengths


def test_a_judge_that_loves_length_is_caught():
    """The longer always wins; the intervals of 100 % of 60 prompts begin at 0.025^(1/60) = 0.94."""
    found = audited(lambda a, b, _: 0.9 if len(a) > len(b) else 0.1, groups_of(60)).lengths
    for won in (found.by_characters, found.by_words):
        assert won.share is not None
        assert (won.share.value, won.share.n) == (1, 60)
        assert won.share.low == pytest.approx(0.025 ** (1 / 60))
        assert won.by_people is None
    assert found.spearman is not None
    assert found.spearman > 0.8
    assert found.pearson is not None
    assert found.pearson > 0.7


def test_characters_and_words_are_told_apart_and_equal_lengths_left_out():
    """One long word against two short ones; two texts of the same length."""
    groups = groups_of(
        20, texts=lambda i: ("extraordinarily", "so be") if i < 8 else ("one two", "six ten")
    )
    found = audited(lambda a, b, _: 0.9 if a < b else 0.1, groups).lengths
    assert found.by_characters.share is not None
    assert found.by_words.share is not None
    assert (found.by_characters.share.value, found.by_characters.share.n) == (1, 8)
    assert (found.by_words.share.value, found.by_words.share.n) == (0, 8)


def test_the_taste_of_people_stands_beside_the_judges():
    """The judge likes length always, people in three of four."""
    groups = groups_of(
        40, texts=lambda i: ("long " * (i + 2), "short"), label=lambda i: "b" if i % 4 == 0 else "a"
    )
    won = audited(lambda a, b, _: 0.9 if len(a) > len(b) else 0.1, groups).lengths.by_characters
    assert won.share is not None
    assert won.by_people is not None
    assert (won.share.value, won.by_people.value, won.by_people.n) == (1, 0.75, 40)


def test_an_empty_response_has_no_ratio_and_is_in_no_correlation():
    found = audited(lambda a, b, _: 0.9, groups_of(5, texts=lambda i: ("", "word")))
    assert (found.lengths.n, found.lengths.pearson, found.lengths.spearman) == (0, None, None)


# Places


def test_a_judge_that_loves_the_first_place_is_caught():
    """It says A at 0.8 always: every question flips, every time to the first; every verdict too."""
    report = audited(lambda a, b, _: 0.8, groups_of(50))
    found = report.positions
    assert found.flips is not None
    assert (found.flips.value, found.flips.n, found.n_flips) == (1, 50, 50)
    assert found.to_first_share == 1
    assert found.first_share == pytest.approx(0.8)
    assert found.verdict_flips is not None
    assert found.verdict_flips.value == 1
    assert report.outcomes["tie"] == 50


def test_a_reversed_question_of_such_a_judge_goes_to_the_first_place_too():
    """Asked which is worse it says A as well, which is a vote against the first response."""
    found = audited(lambda a, b, _: 0.8, groups_of(10), settings=JudgeSettings(negated=True))
    positions = found.positions
    assert (positions.n_flips, positions.n_to_first) == (20, 20)
    assert positions.first_share == pytest.approx(0.8)
    assert (found.negations.n, found.negations.n_contradictions) == (10, 0)


def test_flips_to_the_second_place_are_told_apart():
    found = audited(lambda a, b, _: 0.4, groups_of(10)).positions
    assert (found.n_flips, found.n_to_first, found.to_first_share) == (10, 0, 0)


def test_a_fair_judge_flips_never():
    found = audited(lambda a, b, _: 0.7 if a > b else 0.3, groups_of(30)).positions
    assert found.flips is not None
    assert (found.flips.value, found.n_flips, found.to_first_share) == (0, 0, None)
    assert found.first_share == pytest.approx(0.5)


def test_a_flip_of_one_principle_need_not_flip_the_verdict():
    """Two questions: there 0.9 and 0.6, back 0.9 and 0.45. One flips; 0.75 and 0.675 do not."""
    principle_verdicts = [
        principle_verdict(0.9, principle="one"),
        principle_verdict(0.6, 0.45, principle="two"),
    ]
    found = report_on([judged("1", principle_verdicts)], judge_recipe()).positions
    assert found.flips is not None
    assert found.verdict_flips is not None
    assert (found.flips.value, found.verdict_flips.value) == (0.5, 0)


# Its own responses


def test_a_judge_that_prefers_its_own_is_caught():
    """It gives its own responses 0.8 in 30 of 40 pairs, and people side with them in 20."""
    own, other = "openai:gpt-4o@localhost:8000/v1", "llama-3-8b"

    def taste(a: str, b: str, _: str) -> float:
        is_own_first = "mine" in a
        number = int(re.findall(r"\d+", a)[0])
        likes_own = number % 4 != 0
        return 0.8 if is_own_first == likes_own else 0.2

    groups = groups_of(
        40,
        models=(other, own),
        texts=lambda i: (f"theirs {i}", f"mine {i}"),
        label=lambda i: "ab"[i % 2],  # pyright: ignore[reportReturnType]
    )
    report = audited(taste, groups, judge=own)
    found = {each.relation: each for each in report.ownership.self_preference}
    assert set(found) == {"same", "family"}
    won = found["same"].own
    assert won.share is not None
    assert won.by_people is not None
    assert (won.share.value, won.share.n, won.by_people.value) == (0.75, 40, 0.5)
    assert won.share.low is not None
    assert won.share.low > 0.5
    wins = {each.model: each.wins.value for each in report.ownership.models if each.wins}
    assert wins == {own: 0.75, other: 0.25}
    assert report.warnings == (f"The judge is the policy: {own} judges its own responses.",)


def test_a_judge_of_the_policys_family_is_said_loudly_and_counted_apart():
    judge, policy = "hf:Qwen/Qwen3-8B@0123abcd", "hf:Qwen/Qwen3-0.6B@4567cdef"
    groups = groups_of(6, models=(policy, "claude-3-opus"), texts=lambda i: ("mine", "theirs"))
    report = audited(lambda a, b, _: 0.9 if a == "mine" else 0.1, groups, judge=judge)
    (found,) = report.ownership.self_preference
    assert (found.relation, found.own.share and found.own.share.value) == ("family", 1)
    assert report.warnings == (f"The judge is of the policy's family: {judge} judges {policy}.",)


def test_responses_of_one_model_or_of_nobody_say_nothing_of_self_preference():
    alike = groups_of(3, models=("scripted", "scripted"))
    unknown = groups_of(4, models=("scripted", ""))
    report = audited(lambda a, b, _: 0.9, [*alike, *unknown])
    ownership = report.ownership
    assert (ownership.n_alike, ownership.n_unknown) == (3, 4)
    assert (ownership.self_preference, ownership.models) == ((), ())
    assert report.warnings == ("The judge is the policy: scripted judges its own responses.",)
    assert any("4 of 7 matchups nobody knows the models" in each for each in report.caveats)


def test_each_member_of_a_jury_is_held_to_its_own_responses():
    """Each votes for its own: the verdict is a tie, and both shares are 1."""
    verdict = [principle_verdict(0.9, judge="vain"), principle_verdict(0.1, judge="humble")]
    found = report_on(
        (judged(str(i), verdict, models=("vain", "humble")) for i in range(5)),
        judge_recipe("vain", "humble"),
    )
    shares = {
        each.judge: each.own.share.value
        for each in found.ownership.self_preference
        if each.relation == "same" and each.own.share
    }
    assert shares == {"vain": 1, "humble": 1}
    assert found.outcomes["tie"] == 5
    assert [each.wins.value for each in found.ownership.models if each.wins] == [0.5, 0.5]


# Outcomes and readings


def test_every_outcome_is_counted_and_they_add_up():
    said = [0.9, 0.1, 0.5, "unparsed", "refused", "failed"]
    items = [judged(str(i), principle_verdict(each)) for i, each in enumerate(said)]
    items.append(judged("words", principle_verdict(1.0, 0.0, is_voted=True)))
    report = report_on(items, judge_recipe(), n_failed=2)
    assert report.outcomes == dict.fromkeys(OUTCOMES, 1)
    assert sum(report.outcomes.values()) == report.n == report.n_groups == 7
    assert sum(report.readings.outcomes.values()) == 14
    assert report.caveats[:2] == (
        "2 groups failed altogether and are in no figure.",
        "3 of 7 verdicts could not be read and are in no share below.",
    )


def test_letters_of_little_probability_are_counted():
    """Four readings show a mass, two of them below one half; written verdicts have none."""
    report = report_on(
        [
            judged("1", principle_verdict(0.9, mass=0.99)),
            judged("2", principle_verdict(0.9, mass=0.2)),
            judged("3", principle_verdict(1.0, is_voted=True)),
        ],
        judge_recipe(),
    )
    assert (report.readings.n_with_mass, report.readings.n_low_mass) == (4, 2)
    assert report.readings.low_mass_rate == 0.5
    assert any("In 50% of readings the letters" in each for each in report.caveats)


def test_a_run_without_a_contest_is_an_error():
    with pytest.raises(EvaluationError, match="no judged matchup to audit, and 4 groups failed"):
        report_on([], judge_recipe(), n_failed=4)


def test_all_contests_of_a_group_are_audited_and_the_label_only_of_its_first():
    texts = ("a longer text", "a text", "text")
    group = Group(user_prompt("Which?"), tuple(Candidate(text) for text in texts), "b")
    matchups = tuple(
        JudgedMatchup(i, j, mean_of([principle_verdict(0.9)]))
        for i, j in itertools.combinations(range(3), 2)
    )
    report = report_on([Judged(group, matchups, None)], judge_recipe())
    won = report.lengths.by_characters
    assert (report.n_groups, report.n) == (1, 3)
    assert won.share is not None
    assert won.by_people is not None
    assert (won.share.n, won.by_people.n, won.by_people.value) == (3, 1, 0)


# Principles


def principles(*ids: str) -> Constitution:
    return Constitution(
        name="many", principles=tuple(Principle(id=id, text=f"Be {id}.") for id in ids)
    )


def by_principle(a: str, b: str, question: str) -> float:
    """`long` likes the longer, `longer` too, `short` the shorter, `even` nothing, `early` the
    alphabet's first. Numbers first in the texts make the last independent of the others."""
    (id,) = re.findall(r"Be (\w+)\.", question)
    is_longer = len(a) > len(b)
    if id == "even":
        return 0.5
    if id == "early":
        return 0.6 if a < b else 0.4
    strength = {"long": 0.3, "longer": 0.25, "short": -0.1}[id]
    return 0.5 + (strength if is_longer else -strength)


def test_redundant_and_contradicting_principles_are_caught():
    """Two that like length outvote all others even when one of them is left out."""
    constitution = principles("long", "longer", "short", "even", "early")
    rng = random.Random(2)
    groups = groups_of(
        60,
        texts=lambda i: (
            f"{rng.random()} " + "word " * rng.randint(1, 9),
            f"{rng.random()} " + "word " * rng.randint(10, 20),
        )[:: 1 if rng.random() < 0.5 else -1],
    )
    found = audited(by_principle, groups, constitution).principles
    assert [(each.first, each.second) for each in found.related("redundant")] == [
        ("long", "longer")
    ]
    assert [(each.first, each.second) for each in found.related("contradicting")] == [
        ("long", "short"),
        ("longer", "short"),
    ]
    assert set(found.never_decide) == {"long", "longer", "short", "even", "early"}
    alike = next(each for each in found.pairs if (each.first, each.second) == ("long", "longer"))
    assert (alike.n, alike.n_sided, alike.agreement) == (60, 60, 1)
    assert alike.correlation == pytest.approx(1)
    nothing = next(each for each in found.pairs if each.second == "even")
    assert (nothing.n_sided, nothing.agreement, nothing.correlation) == (0, None, None)
    assert nothing.relation is None


def test_too_few_verdicts_say_nothing_of_two_principles():
    verdicts = [principle_verdict(0.9, principle="one"), principle_verdict(0.9, principle="two")]
    found = report_on((judged(str(i), verdicts) for i in range(29)), judge_recipe()).principles
    assert found.related("redundant") == ()
    assert found.never_decide == ()
    found = report_on((judged(str(i), verdicts) for i in range(30)), judge_recipe()).principles
    assert [each.first for each in found.related("redundant")] == ["one"]
    assert set(found.never_decide) == {"one", "two"}


def test_the_principle_that_decides_is_first():
    """Two of three verdicts turn on `strong`; `weak` is outvoted always; `mute` is never read.

    Margins 0.4 and 0.1, so `strong` has 0.4 / 0.5 of the pull.
    """
    rows = [(0.9, 0.4), (0.1, 0.6), (0.9, 0.6)]
    report = report_on(
        (
            judged(
                str(i),
                [
                    principle_verdict(strong, principle="strong"),
                    principle_verdict(weak, principle="weak"),
                    principle_verdict("unparsed", principle="mute", weight=0.5),
                ],
            )
            for i, (strong, weak) in enumerate(rows)
        ),
        judge_recipe(),
    )
    strong, weak, mute = report.principles.influences
    assert [strong.principle_id, weak.principle_id, mute.principle_id] == ["strong", "weak", "mute"]
    assert (strong.n, strong.n_shared, strong.n_changed) == (3, 3, 2)
    assert (strong.decides, strong.margin) == (pytest.approx(2 / 3), pytest.approx(0.4))
    assert strong.pull == pytest.approx(0.8)
    assert (weak.n_shared, weak.n_changed, weak.pull) == (3, 0, pytest.approx(0.2))
    assert (mute.n, mute.n_unread, mute.margin, mute.decides) == (0, 3, None, None)


def test_leaving_a_principle_out_is_judging_without_it():
    """Against `verdict_of` of the others, over verdicts of every kind."""
    rng = random.Random(8)
    said = [0.0, 0.2, 0.45, 0.5, 0.55, 0.8, 1.0, "unparsed", "refused", "failed"]
    names = ("p", "q", "r", "s")
    items: list[Judged] = []
    expected = dict.fromkeys(names, 0)
    shared = dict.fromkeys(names, 0)
    for number in range(400):
        principle_verdicts = [
            principle_verdict(
                rng.choice(said),
                rng.choice(said),
                principle=name,
                judge=judge,
                weight=rng.choice([0.1, 0.3, 1.0]),
                is_voted=rng.random() < 0.5,
            )
            for name in rng.sample(names, rng.randint(1, 4))
            for judge in ("x", "y")
        ]
        verdict = Composer("mean", tie_margin=0.05).verdict(principle_verdicts)
        items.append(judged(str(number), verdict))
        for name in names:
            own = [each for each in principle_verdicts if each.principle_id == name]
            rest = [each for each in principle_verdicts if each.principle_id != name]
            is_read = any(each.p_a is not None for each in own)
            if is_read and any(each.p_a is not None for each in rest):
                shared[name] += 1
                expected[name] += (
                    Composer("mean", tie_margin=0.05).verdict(rest).outcome != verdict.outcome
                )
    recipe = judge_recipe("x", "y", settings=JudgeSettings(tie_margin=0.05))
    found = report_on(items, recipe).principles
    assert {each.principle_id: each.n_changed for each in found.influences} == expected
    assert {each.principle_id: each.n_shared for each in found.influences} == shared
    assert min(expected.values()) > 10


def test_drawn_principles_that_never_meet_are_no_pair():
    found = report_on(
        (judged(str(i), principle_verdict(0.9, principle=f"p-{i % 2}")) for i in range(80)),
        judge_recipe(),
    ).principles
    assert found.pairs == ()
    assert [(each.principle_id, each.n, each.decides) for each in found.influences] == [
        ("p-0", 40, None),
        ("p-1", 40, None),
    ]
    assert found.never_decide == ()


def test_json_has_everything_and_no_nan():
    groups = groups_of(40)
    report = audited(
        lambda a, b, _: 0.8 if a > b else 0.2, groups, principles("one", "two", "more")
    )
    content = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert content["n"] == 40
    assert content["redundant"] == [["one", "two"], ["one", "more"], ["two", "more"]]
    assert set(content["never_decide"]) == {"one", "two", "more"}
    assert content["warnings"] == []
    assert content["lengths"]["by_words"]["by_people"] is None
