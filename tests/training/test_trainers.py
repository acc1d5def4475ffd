"""The table of trainers: each row fits TRL's own classes, and derived names and help follow it."""

import dataclasses

import pytest

from cai.errors import UsageError
from cai.pipeline.schema import PARTS, TrainStep
from cai.training.soft_losses import SOFT_TRAINERS
from cai.training.trainers import TRAINERS, TrainerSpec, shown_metrics, trainer_spec
from cai.training.trl import config_class, trainer_class

SPECS = list(TRAINERS.values())


@pytest.mark.parametrize("spec", SPECS, ids=TRAINERS)
def test_trl_has_the_classes_and_the_fields(spec: TrainerSpec):
    fields = {field.name for field in dataclasses.fields(config_class(spec))}
    assert {*spec.defaults, *spec.choices} <= fields
    assert trainer_class(spec).__name__ == f"{spec.trl}Trainer"


@pytest.mark.parametrize("spec", SPECS, ids=TRAINERS)
def test_choices_are_those_that_trls_help_names(spec: TrainerSpec):
    """A release of TRL that changes them is noticed here."""
    fields = config_class(spec).__dataclass_fields__
    for name, choices in spec.choices.items():
        assert [each for each in choices if each not in fields[name].metadata["help"]] == []


def test_trainers_that_take_labels_have_a_soft_loss():
    assert {spec.name for spec in SPECS if spec.takes_labels} == set(SOFT_TRAINERS)


@pytest.mark.parametrize("spec", SPECS, ids=TRAINERS)
def test_a_recipe_has_a_step_for_each(spec: TrainerSpec):
    step = TrainStep.model_validate({spec.name: {"name": "mine"}})
    assert step.spec is spec
    assert type(step.part) is PARTS[spec.rows]
    assert step.with_part(name="other").name == "other"


def test_an_unknown_trainer_is_told_the_names():
    with pytest.raises(UsageError, match=r"Did you mean 'grpo'\?"):
        trainer_spec("grop")


def test_metrics_are_shown_by_label_in_one_order_and_others_left_out():
    logs = {"reward": 0.25, "loss": 0.5, "grad_norm": 3.0, "watch/length": 12.0}
    assert shown_metrics(logs) == ["loss 0.5000", "reward 0.250"]
    assert shown_metrics(logs, is_result=False)[-1] == "words 12.0"
