"""Pairs for reward models that read principles: their labels are those under what is shown."""

from collections import Counter

import pytest
from made_verdicts import share_of

from cai.constitution.schema import Constitution, Principle
from cai.errors import TrainingError
from cai.export.provenance import Provenance
from cai.export.rows import PairJudging, PreferencePair
from cai.training.data.load import TrainingData, TrainingRow
from cai.training.reward_model.conditioning import ConditionPlan, condition
from cai.types import user_prompt

CONSTITUTION = Constitution(name="one", principles=(Principle(id="be-kind", text="Be kind."),))


def row(p: float | None, number: int = 0) -> TrainingRow:
    """A pair of which the kind one is chosen with `p` under the principle; None without a judge."""
    judging = PairJudging(
        "matchup", "a", 0.2, "vote", "none", 0.1, 0.6, (share_of("be-kind", p or 0.5),),
        0, 1, 0, 1, None, None, 2,
    )  # fmt: skip
    prompt = user_prompt("Hello?", str(number))
    pair = PreferencePair(
        prompt, "kind", "cold", "one", "other", p, judging if p is not None else None
    )
    return TrainingRow(pair, "runs/judged", p or 1.0)


def data_of(*rows: TrainingRow) -> TrainingData:
    return TrainingData(
        "preference", rows, (), {"runs/judged": len(rows)}, (), Counter(), "hash", Provenance()
    )


def shown(p: float, negated_share: float) -> tuple[str, str, str, float]:
    """The side that is chosen and the other, the request, and the label."""
    plan = ConditionPlan(CONSTITUTION, negated_share=negated_share)
    (found,) = condition(data_of(row(p)), plan, seed=0).train
    assert isinstance(found.unit, PreferencePair)
    unit = found.unit
    return unit.chosen, unit.rejected, unit.prompt.request, found.confidence


def test_under_the_principle_the_pair_stays_as_the_judge_had_it():
    chosen, rejected, request, label = shown(0.8, negated_share=0)
    assert (chosen, rejected, label) == ("kind", "cold", 0.8)
    assert "Be kind." in request and request.endswith("Hello?")


def test_under_its_opposite_the_pair_is_turned_around_and_no_label_is_below_one_half():
    chosen, rejected, request, label = shown(0.8, negated_share=1)
    assert (chosen, rejected, label) == ("cold", "kind", 0.8)
    assert request != shown(0.8, negated_share=0)[2]


def test_the_models_of_a_turned_pair_are_turned_too():
    plan = ConditionPlan(CONSTITUTION, negated_share=1)
    (found,) = condition(data_of(row(0.8)), plan, seed=0).train
    assert isinstance(found.unit, PreferencePair)
    assert (found.unit.chosen_model, found.unit.rejected_model) == ("other", "one")


def test_a_pair_is_shown_several_times_with_other_principles_and_its_label_under_those():
    """The principle and its opposite: two rows of one pair that say opposite things."""
    plan = ConditionPlan(CONSTITUTION, negated_share=0.5, draws=20)
    rows = condition(data_of(row(0.8)), plan, seed=0).train
    units = [each.unit for each in rows if isinstance(each.unit, PreferencePair)]
    assert sorted((unit.chosen, unit.rejected) for unit in units) == [
        ("cold", "kind"), ("kind", "cold"),
    ]  # fmt: skip
    assert len({unit.prompt.request for unit in units}) == 2


def test_a_pair_that_was_judged_under_other_principles_is_left_out_and_counted():
    other = Constitution(name="other", principles=(Principle(id="be-brief", text="Be brief."),))
    both = Constitution(name="both", principles=(*CONSTITUTION.principles, *other.principles))
    plan = ConditionPlan(both, n_principles=1, draws=20)
    assert {each.confidence for each in condition(data_of(row(0.8)), plan, seed=0).train} == {0.8}
    with pytest.raises(TrainingError, match="probability under each principle"):
        condition(data_of(row(0.8)), ConditionPlan(other), seed=0)


def test_pairs_without_a_judge_are_left_out_and_counted():
    plan = ConditionPlan(CONSTITUTION, negated_share=0)
    found = condition(data_of(row(0.8), row(None, 1)), plan, seed=0)
    assert len(found.train) == 1
    assert found.dropped == Counter({"not judged under the principles": 1})


def test_without_any_judged_pair_it_is_said_what_to_do():
    with pytest.raises(TrainingError, match="Judge under all principles"):
        condition(data_of(row(None)), ConditionPlan(CONSTITUTION), seed=0)
