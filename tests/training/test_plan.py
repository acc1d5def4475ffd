"""What becomes of a judge's probability before a trainer is told of it."""

import math
from collections import Counter

import pytest

from cai.errors import TrainingError
from cai.export.provenance import Provenance
from cai.export.rows import PreferencePair
from cai.training.data.load import TrainingData, TrainingRow
from cai.training.data.trl_tables import confident_pairs, table_of
from cai.training.plan import LabelPlan, apply_temperature
from cai.training.soft_losses import TARGET
from cai.types import user_prompt


def data_of(*confidences: float, held_out: tuple[float, ...] = ()) -> TrainingData:
    return TrainingData(
        "preference", rows_of(confidences), rows_of(held_out), {}, (), Counter(), "", Provenance()
    )


def rows_of(confidences: tuple[float, ...]) -> tuple[TrainingRow, ...]:
    return tuple(
        TrainingRow(
            PreferencePair(user_prompt(f"How {n}?", f"p{n}"), "So.", "No.", "", "", p), "file", p
        )
        for n, p in enumerate(confidences)
    )


def test_at_temperature_one_a_probability_stays_what_it_is():
    assert [apply_temperature(p, 1) for p in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]


def test_a_temperature_divides_the_logit():
    """The logit of 0.75 is log 3: at T = ½ it is log 9, and σ of that 0.9; at 2, √3 / (1 + √3)."""
    assert apply_temperature(0.75, 0.5) == pytest.approx(0.9)
    assert apply_temperature(0.75, 2) == pytest.approx(math.sqrt(3) / (1 + math.sqrt(3)))


@pytest.mark.parametrize("temperature", [0.25, 0.5, 3.0])
def test_temperatures_keep_certainties_halves_and_sides(temperature: float):
    assert apply_temperature(0.0, temperature) == 0
    assert apply_temperature(1.0, temperature) == 1
    assert apply_temperature(0.5, temperature) == 0.5
    for p in (0.1, 0.7, 0.95):
        assert apply_temperature(1 - p, temperature) == pytest.approx(
            1 - apply_temperature(p, temperature)
        )
        assert apply_temperature(
            apply_temperature(p, temperature), 1 / temperature
        ) == pytest.approx(p)


def test_targets_of_each_kind():
    assert LabelPlan("soft").target(0.7) == 0.7
    assert LabelPlan("drawn").target(0.7) == 0.7
    assert LabelPlan("hard").target(0.7) == 1
    assert LabelPlan("soft", temperature=0.5).target(0.75) == pytest.approx(0.9)


def test_hard_labels_need_no_loss_of_ours_unless_they_are_smoothed():
    assert not LabelPlan("hard").needs_loss
    assert LabelPlan("hard", smoothing=0.1).needs_loss
    assert LabelPlan("soft").needs_loss
    assert LabelPlan("drawn").needs_loss


def test_pairs_at_the_margin_are_kept_on_either_side():
    plan = LabelPlan(min_margin=0.1)
    assert [plan.is_confident(p) for p in (0.6, 0.4, 0.59, 0.5, 1.0)] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_pairs_that_are_not_sure_enough_are_counted():
    found = confident_pairs(
        data_of(0.9, 0.55, 0.6, held_out=(0.51, 0.8)), LabelPlan(min_margin=0.1)
    )
    assert [row.confidence for row in found.train] == [0.9, 0.6]
    assert [row.confidence for row in found.evaluation] == [0.8]
    assert found.dropped == Counter({"unsure": 2})


def test_no_pair_that_is_sure_enough_is_an_error():
    with pytest.raises(TrainingError, match=r"No pair is at least 0\.3 from one half"):
        confident_pairs(data_of(0.6, 0.7), LabelPlan(min_margin=0.3))


def test_a_table_has_targets_where_labels_are_given_alone():
    data = data_of(0.9, 0.75)
    assert TARGET not in table_of(data.train, {}).column_names
    assert table_of(data.train, {}, LabelPlan())[TARGET] == [0.9, 0.75]
    assert table_of(data.train, {}, LabelPlan("hard"))[TARGET] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"min_margin": 0.5}, "least margin is 0.5"),
        ({"min_margin": -0.1}, "least margin is -0.1"),
        ({"smoothing": 0.5}, "smoothing is 0.5"),
        ({"temperature": 0.0}, "temperature of the labels is 0"),
        ({"temperature": math.nan}, "temperature of the labels is nan"),
        ({"kind": "hard", "temperature": 0.5}, "Hard labels are 1 at any temperature"),
    ],
)
def test_plans_that_cannot_be(wrong: dict[str, object], said: str):
    with pytest.raises(TrainingError, match=said):
        LabelPlan(**wrong)  # pyright: ignore[reportArgumentType]


def test_a_plan_is_told_in_a_few_words():
    assert LabelPlan().describe() == "soft labels"
    plan = LabelPlan("drawn", 0.1, 0.05, 0.5)
    said = "drawn labels, |p − ½| at least 0.1, temperature 0.5, smoothing 0.05"
    assert plan.describe() == said
