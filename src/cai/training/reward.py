"""The reward model on soft labels, with principles in its input where that is asked for.

Cross-entropy of σ(r_a − r_b) against the judge's probability: Lee et al. 2023, arXiv:2309.00267,
§2.2; the preference model of Bai et al. 2022, arXiv:2212.08073, §4.1. With principles as in Sun et
al. 2023, arXiv:2310.05910, §3.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# TRL leaves some of its types open: what is unknown stays in this file

from collections.abc import Mapping
from typing import Any, cast

from rich.console import Console

from cai.training.data.load import TrainingData
from cai.training.data.trl_tables import evaluation_table, sure_enough, table_of
from cai.training.plan import LabelPlan, TrainPlan
from cai.training.reward_model.checkpoint import write_facts
from cai.training.reward_model.conditioning import ConditionPlan, condition
from cai.training.reward_model.evaluate import reward_figures
from cai.training.run import Trained, carry_out, console_of
from cai.training.setup import Begun, Ways, begin
from cai.training.soft_losses import SoftRewardTrainer, WithTargets
from cai.training.trl import RewardTrainer


def reward_ways(labels: LabelPlan, principles: ConditionPlan | None = None) -> Ways:
    """How the training of a reward model differs from others."""
    asked: dict[str, object] = {"labels": labels.describe()}
    if principles is not None:
        asked["principles"] = principles.describe()
    fixed = {"remove_unused_columns": False} if labels.needs_loss else {}
    return Ways(fixed, {}, asked, f"cross-entropy of σ(r_a − r_b), {labels.describe()}")


def train_reward(
    data: TrainingData,
    plan: TrainPlan,
    console: Console | None = None,
    labels: LabelPlan = LabelPlan(),
    principles: ConditionPlan | None = None,
) -> Trained:
    """Trains a reward model on pairs; with `principles`, one that reads principles too.

    Without a console, the steps are told on stderr.

    Raises:
        CaiError: Settings, folder or model cannot be used, no pair is left, or memory ran out.
    """
    if principles is not None:
        data = condition(data, principles, plan.seed)
    data = sure_enough(data, labels)
    console = console_of(console)
    begun = begin("reward", data, plan, reward_ways(labels, principles))
    if begun.done is not None:
        return Trained(begun.folder, begun.done, is_new=False)
    with begun.started("reward", data) as start:
        trainer = (SoftRewardTrainer if labels.needs_loss else RewardTrainer)(
            start.model,
            args=begun.config,
            train_dataset=table_of(data.train, start.arguments, labels),
            eval_dataset=evaluation_table(data, start.arguments, labels),
            processing_class=start.tokenizer,
            peft_config=begun.lora,
        )
        if labels.needs_loss:
            trainer.data_collator = WithTargets(cast(Any, trainer.data_collator), labels)

        def more() -> Mapping[str, object]:
            if principles is not None:
                write_facts(begun.folder.path, principles.facts)
            return {"held_out": _held_out(begun, data, console)}

        return carry_out(trainer, begun, data, console, more, is_whole=start.is_merged)


def _held_out(begun: Begun, data: TrainingData, console: Console) -> Mapping[str, object]:
    return reward_figures(begun.folder.path, data.evaluation, console) if data.evaluation else {}
