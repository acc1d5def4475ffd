"""Whether the settings of a training can be followed, found out long before it begins."""

from cai.training.beginning import Ways, configure
from cai.training.dpo import dpo_ways
from cai.training.kto import kto_ways
from cai.training.labels import LabelPlan
from cai.training.plan import TrainPlan
from cai.training.reward import reward_ways
from cai.training.rewards.choice import RewardChoice
from cai.training.rl import check_groups, rl_ways
from cai.training.settings import Trainer
from cai.training.sft import sft_ways
from cai.training.soft_losses import check_soft_dpo


def check_settings(trainer: Trainer, plan: TrainPlan, labels: LabelPlan = LabelPlan()) -> None:
    """Finds out whether the training could begin with these settings and labels.

    Raises:
        TrainingError: Settings that there are not or that do not go together.
    """
    config = configure(trainer, plan, _ways(trainer, labels)).config
    if trainer == "dpo" and labels.needs_loss:
        check_soft_dpo(config)  # pyright: ignore[reportArgumentType]: it is TRL's for DPO
    elif trainer in ("grpo", "rloo"):
        check_groups(config)


def _ways(trainer: Trainer, labels: LabelPlan) -> Ways:
    match trainer:
        case "sft":
            return sft_ways()
        case "reward":
            return reward_ways(labels)
        case "dpo":
            return dpo_ways(labels)
        case "kto":
            return kto_ways()
        case "grpo" | "rloo":
            return rl_ways(trainer, RewardChoice())
