"""Settings that are checked before a training begins, as each trainer takes them."""

from pathlib import Path

import pytest

from cai.errors import TrainingError
from cai.pipeline.checks import check_settings
from cai.training.plan import LabelPlan, TrainPlan
from cai.training.settings import Trainer

TRAINERS: tuple[Trainer, ...] = ("sft", "reward", "dpo", "kto", "grpo", "rloo")


def plan(out: Path, **settings: object) -> TrainPlan:
    return TrainPlan("embedded", out, settings)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_defaults_can_be_followed_and_nothing_is_written(trainer: Trainer, tmp_path: Path):
    check_settings(trainer, plan(tmp_path / "out", learning_rate=1e-5, lora={"r": 4}))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("trainer", "settings", "labels", "said"), [
    ("sft", {"max_lenght": 64}, LabelPlan(), "'max_lenght' is no setting of sft"),
    ("sft", {"lora": {"rank": 4}}, LabelPlan(), "rank"),
    ("sft", {"seed": 1}, LabelPlan(), "'seed' is set by cai itself"),
    ("reward", {"remove_unused_columns": True}, LabelPlan(), "is set by cai itself"),
    ("dpo", {"loss_type": "ipo"}, LabelPlan(), "Soft labels are for the sigmoid loss of DPO"),
    ("kto", {"per_device_train_batch_size": 1}, LabelPlan(), "It is 2 at the least"),
    ("grpo", {"reward_weights": [1.0]}, LabelPlan(), "'reward_weights' is set by cai itself"),
    ("grpo", {"per_device_train_batch_size": 4, "num_generations": 3}, LabelPlan(), "3"),
])  # fmt: skip
def test_what_a_trainer_would_refuse_later_is_refused_now(
    trainer: Trainer, settings: dict[str, object], labels: LabelPlan, said: str, tmp_path: Path
):
    with pytest.raises(TrainingError) as caught:
        check_settings(trainer, plan(tmp_path / "out", **settings), labels)
    assert said in str(caught.value)


def test_hard_labels_leave_the_loss_of_dpo_to_trl(tmp_path: Path):
    check_settings("dpo", plan(tmp_path, loss_type="ipo"), LabelPlan("hard"))
