"""What every chain on the testbed is made with: principles, sizes and the settings of trainers."""

from collections.abc import Mapping
from dataclasses import dataclass

REVISED_UNDER = ("general", "help")
JUDGED_UNDER = ("general", "help", "tone")
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "sft": {"learning_rate": 5e-4, "per_device_train_batch_size": 32, "num_train_epochs": 3},
    "reward": {"learning_rate": 3e-4, "per_device_train_batch_size": 32, "num_train_epochs": 2},
    "dpo": {
        "learning_rate": 1e-4,
        "per_device_train_batch_size": 16,
        "num_train_epochs": 3,
        "loss_type": ["sigmoid", "sft"],
        "loss_weights": [1.0, 0.2],
    },
    "kto": {"learning_rate": 1e-4, "per_device_train_batch_size": 16, "num_train_epochs": 3},
    "rl": {
        "learning_rate": 2e-4,
        "per_device_train_batch_size": 64,
        "num_generations": 8,
        "max_completion_length": 64,
        "logging_steps": 5,
    },
}
COMMON: Mapping[str, object] = {
    "lr_scheduler_type": "cosine",
    "warmup_steps": 5,
    "save_strategy": "no",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Requests of each stage, and the updates of reinforcement learning."""

    revised: int = 800
    rounds: int = 4
    judged: int = 200
    k: int = 4
    rl_prompts: int = 800
    rl_steps: int = 20
