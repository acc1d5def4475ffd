"""Several responses: which pairs meet, and the strengths of Bradley and Terry that follow."""

import math
import random
import re
from collections.abc import Sequence

import pytest

from cai.constitution.schema import Constitution, Principle
from cai.errors import ModelError, ModelUnavailable
from cai.methods.judging.ranking import (
    Judged,
    JudgedMatchup,
    JudgePanel,
    Pairing,
    compose_group,
    judge_group,
    strengths,
)
from cai.methods.judging.verdict import Candidate, Group, Verdict
from cai.methods.roles import Judge
from cai.methods.settings import JudgeSettings
from cai.models.scripted import ScriptedModel
from cai.types import Message, user_prompt

PAIRINGS: tuple[Pairing, ...] = ("all", "swiss", "best-worst")
PRIOR = 0.05
CONSTITUTION = Constitution(name="made", principles=(Principle(id="loud", text="Be loud."),))


def group_of(n: int) -> Group:
    """Responses "response 0" to "response n-1"."""
    return Group(user_prompt("Hm?"), tuple(Candidate(f"response {i}") for i in range(n)))


def shown(messages: Sequence[Message]) -> tuple[int, int]:
    """The numbers of the responses at A and at B."""
    first, second = re.findall(r"^response (\d+)$", messages[-1].content, re.MULTILINE)
    return int(first), int(second)


def bench_of(worth: Sequence[float]) -> JudgePanel:
    """A judge to whom a response's probability of being better is logistic in its worth."""

    def choose(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        first, second = shown(messages)
        return (worth[first], worth[second])

    return JudgePanel((Judge.of(ScriptedModel(choices=choose)),), CONSTITUTION)


def matchup(first: int, second: int, p_a: float | None) -> JudgedMatchup:
    return JudgedMatchup(first, second, Verdict("failed" if p_a is None else "a", p_a))


async def judged(worth: Sequence[float], pairing: Pairing) -> Judged:
    panel = bench_of(worth)
    readings = await judge_group(panel, group_of(len(worth)), pairing, seed=0)
    return compose_group(readings, panel.composer)


@pytest.mark.parametrize("n", range(2, 10))
async def test_all_is_every_pair_once(n: int):
    found = await judged([0.0] * n, "all")
    pairs = {(each.first, each.second) for each in found.matchups}
    assert pairs == {(i, j) for i in range(n) for j in range(i + 1, n)}
    assert len(found.matchups) == n * (n - 1) // 2


@pytest.mark.parametrize("n", range(2, 10))
async def test_best_and_worst_take_three_contests_for_two_responses(n: int):
    """n // 2 in the first round; then who won it, or lost it, and who sat it out: each knock-out
    of m takes m - 1, and m is n - n // 2."""
    found = await judged(random.Random(n).sample(range(20), n), "best-worst")
    first = n // 2
    assert len(found.matchups) == (1 if n == 2 else first + 2 * (n - first - 1))


@pytest.mark.parametrize("n", range(3, 10))
async def test_swiss_takes_few_rounds(n: int):
    """At most n // 2 in each of the rounds, of which there are as many as bits count to n; and one
    for each part that these leave apart, which with no ties are none."""
    found = await judged(random.Random(n).sample(range(20), n), "swiss")
    assert len(found.matchups) <= n // 2 * math.ceil(math.log2(n))
    assert len(found.matchups) >= n - 1


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("n", range(2, 10))
@pytest.mark.parametrize("kind", ["by number", "reversed", "mixed", "all ties"])
async def test_no_pair_meets_twice_and_everyone_gets_a_strength(
    pairing: Pairing, n: int, kind: str
):
    worth: dict[str, list[float]] = {
        "by number": [float(i) for i in range(n)],
        "reversed": [9.0 * (n - i) for i in range(n)],
        "mixed": random.Random(n).sample([i / 3 for i in range(20)], n),
        "all ties": [0.0] * n,
    }
    found = await judged(worth[kind], pairing)
    pairs = [frozenset((each.first, each.second)) for each in found.matchups]
    assert len(set(pairs)) == len(pairs)
    assert all(each.first < each.second < n for each in found.matchups)
    assert found.strengths is not None and len(found.strengths) == n
    assert sum(found.strengths) == pytest.approx(0, abs=1e-5)
    if kind == "all ties":
        assert found.strengths == (0.0,) * n
        assert found.ranking == tuple(range(n))


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("n", range(2, 10))
async def test_the_best_and_the_worst_are_found(pairing: Pairing, n: int):
    """With a sure judge the knock-outs find both ends, and Swiss the best of up to nine."""
    worth = random.Random(10 + n).sample([9.0 * i for i in range(n)], n)
    found = await judged(worth, pairing)
    assert found.ranking is not None
    assert found.ranking[0] == worth.index(max(worth))
    if pairing != "swiss":
        assert found.ranking[-1] == worth.index(min(worth))


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.73, 1.0])
def test_two_strengths_are_the_log_odds_of_the_smoothed_share(p: float):
    """With the prior m added to both sides: s1 - s2 = ln((p + m) / (1 - p + m)), mean 0."""
    found = strengths(2, [matchup(0, 1, p)])
    assert found is not None
    expected = math.log((p + PRIOR) / (1 - p + PRIOR))
    assert found == pytest.approx((expected / 2, -expected / 2))


def test_a_contest_counts_from_both_sides():
    assert strengths(2, [matchup(1, 0, 0.3)]) == pytest.approx(strengths(2, [matchup(0, 1, 0.7)]))


def test_of_three_the_library_agrees_with_what_is_worked_out():
    """0 beats 1, and 1 beats 2, each with 0.8, and 0 and 2 never meet. A chain splits into pairs:
    each step is ln(0.85 / 0.25), so the strengths are that, 0, and that below."""
    found = strengths(3, [matchup(0, 1, 0.8), matchup(1, 2, 0.8)])
    step = math.log(0.85 / 0.25)
    assert found == pytest.approx((step, 0.0, -step), abs=1e-5)


def test_known_strengths_are_recovered():
    """Matchups with the very probabilities of five strengths; the prior draws them in a little:
    the shares (p + 0.05) / 1.1 are those of strengths 9 to 15 % nearer to each other."""
    known = (1.0, 0.5, 0.0, -0.5, -1.0)
    found = strengths(5, [
        matchup(i, j, 1 / (1 + math.exp(known[j] - known[i]))) for i in range(5) for j in range(i)
    ])  # fmt: skip
    assert found is not None
    for value, true in zip(found, known, strict=True):
        assert value == pytest.approx(true, rel=0.2, abs=1e-6)
        assert abs(value) <= abs(true) + 1e-6


@pytest.mark.parametrize("matchups", [
    [], [matchup(0, 1, 0.9)], [matchup(0, 1, 0.9), matchup(2, 3, 0.9)],
    [matchup(0, 1, 0.9), matchup(1, 2, None), matchup(2, 3, 0.9)],
])  # fmt: skip
def test_what_nothing_connects_has_no_strengths(matchups: list[JudgedMatchup]):
    assert strengths(4, matchups) is None
    found = Judged(group_of(4), tuple(matchups), strengths(4, matchups))
    assert found.ranking is None


def test_equal_strengths_keep_their_order():
    found = Judged(group_of(3), (), (0.5, -1.0, 0.5))
    assert found.ranking == (0, 2, 1)


async def test_an_unreadable_contest_is_kept_and_gives_no_strength():
    def choose(messages: Sequence[Message], options: Sequence[str]) -> Sequence[float]:
        if 2 in shown(messages):
            raise ModelError("It has gone.")
        return (0.0, -1.0)

    panel = JudgePanel((Judge.of(ScriptedModel(choices=choose)),), CONSTITUTION)
    readings = await judge_group(panel, group_of(3), "all", seed=0)
    found = compose_group(readings, panel.composer)
    assert [each.verdict.outcome for each in found.matchups] == ["tie", "failed", "failed"]
    assert found.strengths is None


async def test_a_failure_that_may_pass_is_raised_when_the_others_are_done():
    model = ScriptedModel(choices=[ModelUnavailable("busy"), *[(0.0, 0.0)] * 5])
    panel = JudgePanel((Judge.of(model),), CONSTITUTION)
    with pytest.raises(ModelUnavailable):
        await judge_group(panel, group_of(3), "all", seed=0)
    assert len(model.requests) == 6


async def test_every_pair_draws_its_own_principles():
    """The seed of a matchup is made of the run's, the prompt's id and the pair."""
    principles = tuple(Principle(id=f"p-{i}", text=f"Be {i}.") for i in range(20))
    panel = bench_of([0.0] * 4)
    plan = JudgeSettings(principles=1)
    several = JudgePanel(panel.judges, Constitution(name="many", principles=principles), plan)
    found = await judge_group(several, group_of(4), "all", seed=0)
    again = await judge_group(several, group_of(4), "all", seed=0)
    other = await judge_group(several, group_of(4), "all", seed=1)
    drawn, drawn_again, drawn_otherwise = (
        [each.principle_verdicts[0].principle_id for each in readings.matchups]
        for readings in (found, again, other)
    )
    assert drawn == drawn_again
    assert drawn != drawn_otherwise
    assert len(set(drawn)) > 1


async def test_usage_adds_up_over_contests():
    panel = bench_of([0.0, 1.0, 2.0])
    readings = await judge_group(panel, group_of(3), "all", seed=0)
    used = [call.usage.prompt_tokens for call in readings.calls]
    assert len(used) == 3 * 2 and readings.usage.prompt_tokens == sum(used)
