"""What is checked before a training begins, and what a trainer has a use for."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from tiny import save_tiny_model

from cai.errors import TrainingError, UsageError
from cai.export.provenance import Provenance
from cai.training.data.load import TrainingData
from cai.training.plan import LabelPlan, TrainPlan
from cai.training.rewards.spec import ModelRewardSpec, RewardSpec
from cai.training.setup import Objective, configure, prepare_training
from cai.training.trainers import TRAINERS


def check(trainer: str, out: Path, labels: LabelPlan | None = None, **settings: object) -> None:
    configure(TRAINERS[trainer], TrainPlan("embedded", out, settings), labels)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_defaults_are_valid_and_nothing_is_written(trainer: str, tmp_path: Path):
    check(trainer, tmp_path / "out", learning_rate=1e-5, lora={"r": 4})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("trainer", "settings", "said"), [
    ("sft", {"max_lenght": 64}, "'max_lenght' is not a setting of sft"),
    ("sft", {"lora": {"rank": 4}}, "rank"),
    ("sft", {"seed": 1}, "'seed' is set by cai itself"),
    ("reward", {"remove_unused_columns": True}, "is set by cai itself"),
    ("dpo", {"loss_type": "ipo"}, "Soft labels are for the sigmoid loss of DPO"),
    ("kto", {"per_device_train_batch_size": 1}, "It must be at least 2"),
    ("grpo", {"reward_weights": [1.0]}, "'reward_weights' is set by cai itself"),
    ("grpo", {"per_device_train_batch_size": 4, "num_generations": 3}, "3"),
])  # fmt: skip
def test_what_a_trainer_would_refuse_later_is_refused_now(
    trainer: str, settings: dict[str, object], said: str, tmp_path: Path
):
    labels = LabelPlan() if TRAINERS[trainer].takes_labels else None
    with pytest.raises(TrainingError) as caught:
        check(trainer, tmp_path / "out", labels, **settings)
    assert said in str(caught.value)


def test_hard_labels_leave_the_loss_of_dpo_to_trl(tmp_path: Path):
    check("dpo", tmp_path, LabelPlan("hard"), loss_type="ipo")


def test_what_a_trainer_has_no_use_for_is_refused():
    rewards = RewardSpec(trained=(ModelRewardSpec("models/r"),))
    with pytest.raises(UsageError, match="The trainer sft takes no labels"):
        Objective.for_trainer(TRAINERS["sft"], labels=LabelPlan())
    with pytest.raises(UsageError, match="The trainer dpo takes no rewards"):
        Objective.for_trainer(TRAINERS["dpo"], rewards=rewards)


def test_labels_are_soft_by_default_and_a_reward_is_needed():
    assert Objective.for_trainer(TRAINERS["dpo"]).labels == LabelPlan("soft")
    assert Objective.for_trainer(TRAINERS["kto"]) == Objective()
    with pytest.raises(TrainingError, match="No reward is named"):
        Objective.for_trainer(TRAINERS["grpo"])


def test_the_loss_of_the_card_names_labels_and_rewards():
    dpo = Objective.for_trainer(TRAINERS["dpo"], labels=LabelPlan("hard"))
    assert dpo.loss_of(TRAINERS["dpo"]) == "DPO, hard labels"
    rewards = RewardSpec(trained=(ModelRewardSpec("models/r", 0.5),))
    rl = Objective.for_trainer(TRAINERS["rloo"], rewards=rewards)
    assert rl.loss_of(TRAINERS["rloo"]) == (
        "RLOO with a KL penalty; rewards: 0.5 × reward model models/r"
    )


def test_a_new_reward_head_is_that_of_the_seed(tmp_path: Path):
    model = f"hf:{save_tiny_model(tmp_path / 'tiny')}"
    data = TrainingData("preference", (), (), {}, (), Counter(), "", Provenance())
    heads: list[torch.Tensor] = []
    for number, seed in enumerate((0, 0, 1)):
        plan = TrainPlan(model, tmp_path / str(number), seed=seed)
        prepared = prepare_training(TRAINERS["reward"], data, plan, Objective())
        torch.rand(number + 1)  # whatever was drawn before
        with prepared.open_model(data) as start:
            heads.append(start.model.get_parameter("score.weight").detach().clone())
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
