"""Who meets whom, what is put before the judge, and what is decided without one."""

from pathlib import Path

import pytest
from made_evaluations import evaluated, judge_by_worth, policy, requests, shown, worths
from small_runs import quiet

from cai.errors import EvaluationError
from cai.evaluation.policies.matchups import Match, Matchups, Meeting, pairs_of
from cai.evaluation.policies.plan import EvaluationPlan
from cai.evaluation.policies.responses import ResponseCollector
from cai.evaluation.spending import Spending
from cai.runs.options import RunOptions


@pytest.mark.parametrize(
    ("meeting", "pairs"),
    [
        ("all", [("a", "b"), ("a", "c"), ("b", "c")]),
        ("anchor", [("a", "b"), ("a", "c")]),
        ("next", [("a", "b"), ("b", "c")]),
    ],
)
def test_every_two_meet_or_each_the_first_or_each_the_one_before(
    meeting: Meeting, pairs: list[tuple[str, str]]
):
    assert list(pairs_of(("a", "b", "c"), meeting)) == pairs


async def matchups(out: Path, *texts: dict[str, str], seed: int = 0, k: int = 1) -> Matchups:
    """Between the policies a, b … with these responses, every two of them."""
    policies = [policy("abc"[i], each) for i, each in enumerate(texts)]
    prompts = (requests(out, range(len(texts[0]))),)
    answers = await ResponseCollector(prompts, k, 0, out, quiet()).collect(
        policies, Spending(RunOptions())
    )
    return Matchups(answers, pairs_of(tuple(answers.by_policy), "all"), seed)


async def test_equal_and_empty_responses_are_decided_without_a_judge(tmp_path: Path):
    mine = {"0": "Same.", "1": " ", "2": "Mine."}
    other = {"0": " Same.\n", "1": "There.", "2": "Yours."}
    found = await matchups(tmp_path / "out", mine, other)
    assert {each.prompt.id: each.unjudged_outcome for each in found.all()} == {
        "0": "equal",
        "1": "empty",
        "2": None,
    }
    assert [group.prompt.id for _, group in found.items()] == ["2"]
    summary = found.check().summary
    assert (summary.n_items, dict(summary.skipped)) == (1, {"equal": 1, "empty": 1})


async def test_a_match_of_each_outcome(tmp_path: Path):
    """Equal is even; what has no verdict failed; of an empty one there is no probability."""
    found = await matchups(
        tmp_path / "out",
        {"0": "Same.", "1": "", "2": "Mine."},
        {"0": "Same.", "1": "There.", "2": "Yours."},
    )
    by_id = {each.prompt.id: each.match(None) for each in found.all()}
    units = {each.prompt.id: each.unit for each in found.all()}
    assert by_id == {
        "0": Match(units["0"], "a", "b", "equal", 0.5, 5, 5),
        "1": Match(units["1"], "a", "b", "empty", None, 0, 6),
        "2": Match(units["2"], "a", "b", "failed", None, 5, 6),
    }


async def test_ids_are_unique_over_prompts_pairs_and_responses(tmp_path: Path):
    found = await matchups(tmp_path / "out", worths(1, 2), worths(3, 4), worths(5, 6), k=2)
    ids = [each.id for each in found.all()]
    assert len(ids) == len(set(ids)) == 2 * 3 * 2
    assert {"0/a/b/1", "0/a/b/2", "1/b/c/2"} <= set(ids)


async def test_the_order_is_drawn_by_the_seed_and_a_part_is_its_beginning(tmp_path: Path):
    texts = [worths(*[value] * 9) for value in (1, 2)]
    found = await matchups(tmp_path / "out", *texts)
    ids = [each.id for each in found.all()]
    assert ids != sorted(ids)
    assert [each.id for each in found.all(4)] == ids[:4]
    other = Matchups(found.responses, found.pairs, seed=1)
    assert [each.id for each in other.all()] != ids
    assert sorted(each.id for each in other.all()) == sorted(ids)


async def test_nothing_to_judge_is_said_with_why(tmp_path: Path):
    policies = [policy("a", {"0": "Same.", "1": ""}), policy("b", {"0": "Same.", "1": "B."})]
    judge = judge_by_worth()
    with pytest.raises(EvaluationError) as found:
        await evaluated(tmp_path / "out", policies, 2, judge=judge)
    assert str(found.value).startswith(
        "There is nothing to judge between a and b: of all matchups, 1 empty, 1 equal."
    )
    assert judge.requests == []


async def test_the_judge_sees_both_responses_in_both_orders_and_no_name(tmp_path: Path):
    judge = judge_by_worth()
    policies = [policy("a", worths(1)), policy("b", worths(2))]
    await evaluated(tmp_path / "out", policies, 1, judge=judge)
    trial, *asked = judge.requests
    pairs = [tuple(shown(r.messages, f"response_{side}") for side in "ab") for r in asked]
    assert sorted(pairs) == [
        ("It is worth 1.", "It is worth 2."),
        ("It is worth 2.", "It is worth 1."),
    ]
    assert "Request 0?" in asked[0].text
    assert "worth" not in trial.text
    assert not any("model-of" in request.text for request in judge.requests)


async def test_the_first_responses_meet_and_the_second_ones(tmp_path: Path):
    """Two responses each: two matches a prompt, not four."""
    policies = [
        policy("a", {"0": ["It is worth 1.", "It is worth 4."]}),
        policy("b", {"0": ["It is worth 2.", "It is worth 3."]}),
    ]
    plan = EvaluationPlan(k=2)
    found = await evaluated(tmp_path / "out", policies, 1, plan, judge_by_worth())
    (rate,) = found.win_rates
    assert (rate.n, rate.n_prompts) == (2, 1)
