"""Judging that stops when every pair is decided: when it does, what it decides, what it shows."""

import random
from pathlib import Path

import pytest
from made_evaluations import evaluated, judge_by_worth, policy, worths

from cai.evaluation.policies.judging import FIRST_LOOK
from cai.evaluation.policies.plan import EvaluationPlan
from cai.evaluation.policies.results import Evaluation
from cai.evaluation.stats.sequential import SequentialTest, bonferroni

STOPPING = EvaluationPlan(error_rate=0.05)
REMARK = (
    "Since judging was to stop by itself, the intervals of win rates are wider ones that hold "
    "whenever it stops; other figures of matchups have none that would, so none is given."
)


def drawn(n: int, share: float, seed: int) -> dict[str, str]:
    """Responses worth 3 in this share, else worth 1; the other policy's are all worth 2."""
    rng = random.Random(seed)
    return worths(*(3 if rng.random() < share else 1 for _ in range(n)))


async def judged(out: Path, texts: dict[str, str], plan: EvaluationPlan) -> Evaluation:
    policies = [policy("a", worths(*[2] * len(texts))), policy("b", texts)]
    return await evaluated(out, policies, len(texts), plan, judge_by_worth())


async def stopped(out: Path, texts: dict[str, str]) -> Evaluation:
    return await judged(out, texts, STOPPING)


async def test_a_clear_difference_ends_judging_at_the_first_look(tmp_path: Path):
    found = await stopped(tmp_path / "out", worths(*[3] * 80))
    (rate,) = found.win_rates
    assert (rate.n, rate.n_prompts) == (FIRST_LOOK, FIRST_LOOK)
    assert found.caveats == (
        f"Judging stopped after {FIRST_LOOK} of 80 prompts, when every pair was decided at an "
        "error rate of 0.05 for all together.",
        REMARK,
    )
    assert found.n_calls == 160 + 2 * FIRST_LOOK


async def test_equal_policies_are_judged_to_the_end_and_not_decided(tmp_path: Path):
    found = await stopped(tmp_path / "out", worths(*[3, 1] * 40))
    (rate,) = found.win_rates
    assert rate.n == 80
    assert found.caveats == (
        "After all 80 prompts it is not decided at an error rate of 0.05 between a and b: they "
        "may be equal, or more prompts are needed.",
        REMARK,
    )


async def test_only_win_rates_have_an_interval_and_it_is_that_of_the_test(tmp_path: Path):
    """60 prompts, some b's and some a's: the others are by resampling, which does not hold here."""
    texts = drawn(60, 0.7, seed=3)
    found = await stopped(tmp_path / "out", texts)
    (rate,) = found.win_rates
    assert rate.rate is not None
    assert rate.probability is not None
    assert rate.rate.low is not None
    assert rate.rate.high is not None
    assert rate.rate.low < rate.rate.value < rate.rate.high
    assert (rate.probability.low, rate.probability.high) == (None, None)
    assert [(each.low, each.high) for each in found.ratings] == [(None, None)] * 2
    fixed = await judged(tmp_path / "fixed", texts, EvaluationPlan())
    assert fixed.ratings[1].low is not None


@pytest.mark.parametrize("seed", range(3))
async def test_the_decision_is_that_of_judging_all_and_looking_as_often(tmp_path: Path, seed: int):
    """A bet once decided stays so: whoever judges all prompts in this order finds the same side."""
    texts = drawn(60, 0.8, seed)
    found = await stopped(tmp_path / "out", texts)
    fixed = await judged(tmp_path / "fixed", texts, EvaluationPlan())
    (rate,), (whole,) = found.win_rates, fixed.win_rates
    assert rate.rate is not None
    assert whole.rate is not None
    assert rate.n <= whole.n
    assert found.caveats[0].startswith("Judging stopped")
    assert (rate.rate.value > 0.5) == (whole.rate.value > 0.5)
    assert rate.rate.low is not None
    assert rate.rate.low > 0.5


async def test_three_pairs_share_the_error_and_all_must_be_decided(tmp_path: Path):
    """a and b are equal, so all is judged though c is clearly better than either."""
    n = 40
    policies = [
        policy("a", worths(*[1, 2] * (n // 2))),
        policy("b", worths(*[2, 1] * (n // 2))),
        policy("c", worths(*[3] * n)),
    ]
    found = await evaluated(tmp_path / "out", policies, n, STOPPING, judge_by_worth())
    assert [rate.n for rate in found.win_rates] == [n] * 3
    assert "between a and b: they may be equal" in found.caveats[0]
    bet = SequentialTest(bonferroni(0.05, 3))
    for _ in range(n):
        bet.add(1.0)
    low, high = bet.interval()
    against_c = next(rate.rate for rate in found.win_rates if rate.policy == "c")
    assert against_c is not None
    assert (against_c.low, against_c.high) == (low, high)


async def test_it_goes_on_where_it_was_stopped(tmp_path: Path):
    texts = worths(*[3, 1] * 20)
    whole = await stopped(tmp_path / "whole", texts)
    out = tmp_path / "out"
    first = await stopped(out, texts)
    again = await stopped(out, texts)
    assert first == again
    assert (first.win_rates, first.n_calls) == (whole.win_rates, whole.n_calls)
