"""Pairs with principles in front of their prompts, and the label under exactly those."""

from collections import Counter

import pytest
from made_verdicts import share_of

from cai.constitution.loader import load_constitution
from cai.errors import TrainingError
from cai.export.provenance import Provenance
from cai.export.rows import PairJudging, PreferencePair
from cai.training.data.load import TrainingData, TrainingRow
from cai.training.reward_model.conditioning import ConditionPlan, condition
from cai.types import user_prompt

TESTBED = load_constitution("testbed")
TONE = {"stay-polite": 0.8, "no-preaching": 0.6}


def row(n: int, found: dict[str, float] | None) -> TrainingRow:
    judging = None
    if found is not None:
        shares = tuple(share_of(*each) for each in found.items())
        judging = PairJudging(
            "matchup", "a", 0.2, "vote", "none", 0.1, 0.6, shares, 0, 2, 0, 1, 1, 2, 2
        )
    pair = PreferencePair(user_prompt(f"How {n}?", f"p{n}"), "So.", "No.", "", "", 0.7, judging)
    return TrainingRow(pair, "run", 0.7)


def data_of(*rows: TrainingRow) -> TrainingData:
    return TrainingData("preference", rows, (), {}, (), Counter(), "", Provenance())


def test_the_label_is_the_mean_under_the_principles_that_are_shown():
    """Both of the tone, not negated: (0.8 + 0.6) / 2."""
    plan = ConditionPlan(TESTBED, n_principles=2, tags=("tone",), negated_share=0.0)
    (found,) = condition(data_of(row(0, TONE)), plan, 0).train
    assert isinstance(found.unit, PreferencePair)
    assert found.confidence == pytest.approx(0.7)
    for principle in TESTBED.select(("tone",)):
        assert principle.text in found.unit.prompt.request
    assert "How 0?" in found.unit.prompt.request
    assert (found.unit.chosen, found.unit.rejected) == ("So.", "No.")


def test_under_the_opposites_the_other_side_is_better():
    plan = ConditionPlan(TESTBED, n_principles=2, tags=("tone",), negated_share=1.0)
    (found,) = condition(data_of(row(0, TONE)), plan, 0).train
    assert isinstance(found.unit, PreferencePair)
    assert (found.unit.chosen, found.unit.rejected) == ("No.", "So.")
    assert found.confidence == pytest.approx(0.7)


def test_pairs_are_shown_different_principles_and_the_seed_decides_which():
    plan = ConditionPlan(TESTBED, n_principles=1, tags=("tone",), negated_share=0.0)
    data = data_of(*(row(n, TONE) for n in range(20)))
    labels = [each.confidence for each in condition(data, plan, 0).train]
    assert set(labels) == {0.8, 0.6}
    assert labels == [each.confidence for each in condition(data, plan, 0).train]
    assert labels != [each.confidence for each in condition(data, plan, 1).train]


def test_pairs_that_were_not_judged_under_them_are_counted():
    plan = ConditionPlan(TESTBED, n_principles=2, tags=("tone",), draws=1)
    found = condition(data_of(row(0, TONE), row(1, None), row(2, {"no-harm": 0.9})), plan, 0)
    assert len(found.train) == 1
    assert found.dropped == Counter({"not judged under the principles": 2})


def test_no_pair_that_was_judged_under_them_is_an_error():
    plan = ConditionPlan(TESTBED, tags=("tone",))
    with pytest.raises(TrainingError, match="Judge under all principles"):
        condition(data_of(row(0, None)), plan, 0)


def test_the_facts_name_the_principles_and_the_template():
    plan = ConditionPlan(TESTBED, tags=("tone",))
    facts = plan.facts
    assert facts.is_conditioned
    assert facts.constitution is not None
    assert set(facts.constitution.principles) == set(TONE)
    assert facts.template_hash == plan.template.hash
    assert plan.describe()["negated_share"] == 0.25
