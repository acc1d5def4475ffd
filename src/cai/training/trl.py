"""TRL's classes, imported without the warnings that TRL gives on being imported."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import warnings
from typing import Any, cast

from transformers import TrainingArguments

from cai.training.trainers import TrainerSpec

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import trl
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer
    from trl.trainer.reward_trainer import RewardTrainer

__all__ = ["DPOConfig", "DPOTrainer", "RewardTrainer", "config_class", "trainer_class"]


def config_class(spec: TrainerSpec) -> type[TrainingArguments]:
    """The dataclass of the trainer's settings, such as `trl.DPOConfig`."""
    return _class(f"{spec.trl}Config")


def trainer_class(spec: TrainerSpec) -> type[Any]:
    """The trainer itself, such as `trl.DPOTrainer`."""
    return _class(f"{spec.trl}Trainer")


def _class(name: str) -> type[Any]:
    # trl is a lazy module: the file of the class is imported by this access
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cast("type[Any]", getattr(trl, name))
