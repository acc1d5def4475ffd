"""Several principles composed into one verdict: against enumeration, and at the edges."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from made_verdicts import principle_verdict

from cai.methods.judging.composition import ASSUMED_ACCURACY, Composer, PassCount, Question, vote
from cai.methods.judging.mixture import Mixture
from cai.methods.judging.verdict import Outcome, PrincipleVerdict, Vote

# Silent up to log-odds of about 1.5, and then sure.
MIXTURE = Mixture(500, silent=0.6, silent_width=0.5, centre=4.0, speaking_width=1.0)


def votes(*parts: tuple[float, float, float], tiers: Sequence[int] = ()) -> list[Vote]:
    """Each with its weight, and for A and for B."""
    return [
        Vote("judge", f"p{number}", weight, tier, for_a, for_b)
        for number, ((weight, for_a, for_b), tier) in enumerate(
            zip(parts, tiers or (0,) * len(parts), strict=True)
        )
    ]


def by_enumeration(parts: Sequence[Vote]) -> tuple[float, float]:
    """P(A is better) and P(nothing decides) over every combination of votes, tier after tier."""
    ahead = tied = 0.0
    for signs in itertools.product((1, 0, -1), repeat=len(parts)):
        probability = math.prod(
            {1: each.for_a, 0: each.silent, -1: each.for_b}[sign]
            for each, sign in zip(parts, signs, strict=True)
        )
        sums = dict.fromkeys(sorted({each.tier for each in parts}, reverse=True), 0.0)
        for each, sign in zip(parts, signs, strict=True):
            sums[each.tier] += each.weight * sign
        decided = next((each for each in sums.values() if abs(each) > 1e-9), 0.0)
        ahead += probability * (decided > 0)
        tied += probability * (decided == 0)
    return ahead + tied / 2, tied


@pytest.mark.parametrize("tiers", [(0, 0, 0, 0), (1, 0, 0, 0), (2, 1, 1, 0), (-1, 5, 5, 5)])
@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 2, 3, 1), (0.5, 0.25, 1, 1.25)])
def test_a_vote_is_that_of_all_combinations(weights: tuple[float, ...], tiers: tuple[int, ...]):
    rng = random.Random(str((weights, tiers)))
    for _ in range(20):
        shares = [sorted((rng.random(), rng.random())) for _ in weights]
        parts = votes(
            *((w, low, high - low) for w, (low, high) in zip(weights, shares, strict=True)),
            tiers=tiers,
        )
        assert vote(parts) == pytest.approx(by_enumeration(parts))


def test_weights_without_a_common_measure_are_put_on_a_grid():
    parts = votes((math.pi, 0.6, 0.1), (math.e, 0.2, 0.7), (math.sqrt(2), 0.3, 0.3))
    assert vote(parts) == pytest.approx(by_enumeration(parts), abs=1e-9)


def test_a_higher_tier_decides_alone():
    """Nine votes for B of the lower tier against one for A of the higher one."""
    parts = votes((0.1, 1, 0), *[(5, 0, 1)] * 9, tiers=(1, *[0] * 9))
    assert vote(parts) == (1, 0)


def test_where_the_higher_tier_is_silent_or_torn_the_lower_one_decides():
    torn = votes((1, 1, 0), (1, 0, 1), (1, 0, 1), tiers=(1, 1, 0))
    silent = votes((1, 0, 0), (1, 0, 1), tiers=(1, 0))
    assert vote(torn) == vote(silent) == (0, 0)


def test_no_votes_are_a_tie():
    assert vote([]) == (0.5, 1)
    assert vote(votes((0, 1, 0))) == (0.5, 1)


def composed(*said: tuple[float, float], composer: Composer | None = None) -> float:
    p_a = verdict(said, composer).p_a
    assert p_a is not None
    return p_a


def verdict(said: Sequence[tuple[float, float]], composer: Composer | None = None):
    parts = [principle_verdict(*both, principle=f"p{n}") for n, both in enumerate(said)]
    return (composer or Composer()).verdict(parts)


def with_mixtures(n: int) -> Composer:
    return Composer(mixtures={Question("scripted", f"p{k}"): MIXTURE for k in range(n)})


def test_silent_principles_do_not_pull_towards_one_half():
    said = [(0.999, 0.999)] + [(0.55, 0.5)] * 7
    fitted = verdict(said, with_mixtures(8))
    assert fitted.p_a is not None and fitted.p_a > 0.98
    assert fitted.speaking == pytest.approx(1 / 8, abs=0.02)
    assert composed(*said, composer=Composer("mean")) < 0.6


def test_silence_and_disagreement_are_told_apart():
    silent = verdict([(0.5, 0.5)] * 2, with_mixtures(2))
    torn = verdict([(0.999, 0.999), (0.001, 0.001)], with_mixtures(2))
    assert silent.p_a == pytest.approx(0.5) and torn.p_a == pytest.approx(0.5)
    assert silent.p_tie is not None and torn.p_tie is not None
    assert silent.p_tie > 0.9 and torn.p_tie > 0.9
    assert silent.speaking == pytest.approx(0, abs=0.05) and torn.speaking == pytest.approx(1)


@pytest.mark.parametrize(("said", "p_a"), [
    ((0.9, 0.8), 0.8), ((0.2, 0.1), 0.2), ((0.9, 0.3), 0.5), ((0.9, 0.5), 0.5), ((0.5, 0.5), 0.5),
])  # fmt: skip
def test_without_a_fit_the_weaker_order_counts(said: tuple[float, float], p_a: float):
    assert composed(said) == pytest.approx(p_a)


def test_swapping_the_responses_turns_the_verdict():
    rng = random.Random(3)
    said = [(rng.random(), rng.random()) for _ in range(5)]
    turned = [(1 - first, 1 - second) for first, second in said]
    for composer in (Composer(), Composer("mean"), Composer("product"), with_mixtures(5)):
        assert composed(*turned, composer=composer) == pytest.approx(
            1 - composed(*said, composer=composer)
        )


def test_a_product_adds_log_odds_of_principles_by_weight():
    parts = [
        principle_verdict(0.8, principle="p0", weight=2.0),
        principle_verdict(0.4, principle="p1"),
    ]
    log_odds = 2 * math.log(0.8 / 0.2) + math.log(0.4 / 0.6)
    found = Composer("product").verdict(parts)
    assert found.p_a == pytest.approx(1 / (1 + math.exp(-log_odds))) and found.p_tie is None


def test_certainties_have_no_infinite_log_odds():
    for said in ((1.0, 1.0), (0.0, 0.0), (1.0, 0.0)):
        for rule in (Composer(), Composer("product"), with_mixtures(1)):
            assert 0 <= composed(said, composer=rule) <= 1


def test_a_reversed_question_checks_the_judge_and_has_no_vote():
    plain = principle_verdict(0.9, principle="p0")
    turned = principle_verdict(0.1, principle="p0", is_negated=True)
    assert Composer().verdict([plain, turned]).p_a == pytest.approx(0.9)
    assert Composer("mean").verdict([plain, turned]).p_a == pytest.approx(0.5)
    assert Composer().verdict([turned]).p_a == pytest.approx(0.1)


def in_words(order_ab: float, order_ba: float, principle: str = "p0") -> PrincipleVerdict:
    found = principle_verdict(order_ab, order_ba, principle=principle, is_voted=True)
    return replace(
        found,
        order_ab=replace(found.order_ab, answers=("Verdict",)),
        order_ba=replace(found.order_ba, answers=("Verdict",)),
    )


@pytest.mark.parametrize(("said", "p_a"), [
    ((1.0, 1.0), ASSUMED_ACCURACY), ((0.0, 0.0), 1 - ASSUMED_ACCURACY), ((1.0, 0.0), 0.5),
    ((1.0, 0.5), 0.5),
])  # fmt: skip
def test_written_verdicts_vote_where_the_orders_agree(said: tuple[float, float], p_a: float):
    assert Composer().verdict([in_words(*said)]).p_a == pytest.approx(p_a)


def test_the_tests_of_a_principle_weigh_its_vote():
    tests = {("scripted", "p0"): PassCount(4, 4), ("scripted", "p1"): PassCount(0, 4)}
    composer = Composer(mixtures=with_mixtures(2).mixtures, tests=tests)
    # The mean of all tests is (4 + 1) / (8 + 2), and counts as four tests of the principle.
    right, wrong = (4 + 4 * 0.5) / 8, (0 + 4 * 0.5) / 8
    sure = (0.9999, 0.9999)
    assert composed(sure, composer=composer) == pytest.approx(right, abs=1e-3)
    reversed_judge = principle_verdict(*sure, principle="p1")
    assert composer.verdict([reversed_judge]).p_a == pytest.approx(wrong, abs=1e-3)
    assert Composer(tests=tests).verdict([in_words(1.0, 1.0)]).p_a == pytest.approx(right)


@pytest.mark.parametrize(("parts", "outcome"), [
    ([(1.0, 0.8), (1.0, "failed")], "a"),
    ([(1.0, 0.8), (1.1, "failed")], "failed"),
    ([(1.0, "refused"), (2.0, "unparsed")], "unparsed"),
])  # fmt: skip
def test_what_cannot_be_read_is_silent_up_to_half_of_the_weight(
    parts: list[tuple[float, float | Outcome]], outcome: Outcome
):
    verdicts = [
        principle_verdict(said, principle=f"p{n}", weight=weight)
        for n, (weight, said) in enumerate(parts)
    ]
    assert Composer().verdict(verdicts).outcome == outcome


def test_a_fit_finds_the_questions_with_enough_pairs():
    rng = random.Random(5)

    def pair(number: int) -> list[PrincipleVerdict]:
        every = principle_verdict(rng.random(), rng.random(), principle="every")
        rare = principle_verdict(rng.random(), rng.random(), principle="rare")
        written = in_words(1.0, 1.0, "written")
        unread = principle_verdict("failed", principle="unread")
        return [every, written, unread, *([rare] if number < 10 else [])]

    composer = Composer.fitted([pair(number) for number in range(60)])
    assert set(composer.mixtures) == {Question("scripted", "every")}
