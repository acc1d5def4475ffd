"""DPO on the judge's probabilities. Rafailov et al. 2023, arXiv:2305.18290."""

# pyright: reportUnknownMemberType=false
# TRL leaves some of its types open: what is unknown stays in this file

from typing import Any, cast

from rich.console import Console

from cai.training.beginning import Ways, begin
from cai.training.carrying_out import Trained, carry_out
from cai.training.data.loading import TrainingData
from cai.training.labels import LabelPlan
from cai.training.lengths import precomputing
from cai.training.plan import TrainPlan
from cai.training.soft_losses import SoftDPOTrainer, WithTargets, check_soft_dpo
from cai.training.tables import evaluation_table, sure_enough, table_of
from cai.training.trl_quietly import DPOTrainer
from cai.training.watched import watch_samples


def dpo_ways(labels: LabelPlan) -> Ways:
    """How DPO differs from other trainings."""
    return Ways(
        {"remove_unused_columns": False} if labels.needs_loss else {},
        {"precompute_ref_log_probs": True},
        {"labels": labels.describe()},
        f"DPO, {labels.describe()}",
    )


def train_dpo(
    data: TrainingData,
    plan: TrainPlan,
    console: Console | None = None,
    labels: LabelPlan = LabelPlan(),
) -> Trained:
    """Trains a policy on pairs; without a console, the steps are told on stderr.

    Raises:
        CaiError: Settings, folder or model cannot be used, no pair is sure enough, or memory ran
            out.
    """
    data = sure_enough(data, labels)
    begun = begin("dpo", data, plan, dpo_ways(labels))
    if labels.needs_loss:
        check_soft_dpo(begun.config)
    if begun.done is not None:
        return Trained(begun.folder, begun.done, is_new=False)
    with begun.started("language", data) as start:
        with precomputing(begun.config.max_length):
            trainer = (SoftDPOTrainer if labels.needs_loss else DPOTrainer)(
                start.model,
                args=begun.config,
                train_dataset=table_of(data.train, start.arguments, labels),
                eval_dataset=evaluation_table(data, start.arguments, labels),
                processing_class=start.tokenizer,
                peft_config=begun.lora,
            )
        if labels.needs_loss:
            trainer.data_collator = WithTargets(cast(Any, trainer.data_collator), labels)
        watch_samples(trainer, begun, data)
        return carry_out(trainer, begun, data, console, is_whole=start.is_merged)
