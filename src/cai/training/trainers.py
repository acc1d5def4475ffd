"""DPO on the judge's probabilities. Rafailov et al. 2023, arXiv:2305.18290.

SFT: the policy learns the revised answers. Bai et al. 2022, arXiv:2212.08073, §3.

The loss is on the responses alone.

KTO: the policy learns from single responses that are good or not.

Ethayarajh et al. 2024, arXiv:2402.01306.
"""

# pyright: reportUnknownMemberType=false
# TRL leaves some of its types open: what is unknown stays in this file

from typing import Any, cast

from rich.console import Console

from cai.training.data.load import TrainingData
from cai.training.data.trl_tables import evaluation_table, precomputing, sure_enough, table_of
from cai.training.plan import LabelPlan, TrainPlan
from cai.training.run import Trained, carry_out, watch_samples
from cai.training.setup import Ways, begin
from cai.training.soft_losses import SoftDPOTrainer, WithTargets, check_soft_dpo
from cai.training.trl import DPOTrainer, KTOTrainer, SFTTrainer


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


def sft_ways() -> Ways:
    """How SFT differs from other trainings."""
    return Ways(loss="cross-entropy of the responses")


def train_sft(data: TrainingData, plan: TrainPlan, console: Console | None = None) -> Trained:
    """Trains a policy on demonstrations; without a console, the steps are told on stderr.

    Raises:
        CaiError: Settings, folder or model cannot be used, or memory ran out.
    """
    begun = begin("sft", data, plan, sft_ways())
    if begun.done is not None:
        return Trained(begun.folder, begun.done, is_new=False)
    with begun.started("language", data) as start:
        trainer = SFTTrainer(
            start.model,
            begun.config,
            train_dataset=table_of(data.train, start.arguments),
            eval_dataset=evaluation_table(data, start.arguments),
            processing_class=start.tokenizer,
            peft_config=begun.lora,
        )
        return carry_out(trainer, begun, data, console, is_whole=start.is_merged)


def kto_ways() -> Ways:
    """How KTO differs from other trainings."""
    return Ways(loss="KTO")


def train_kto(data: TrainingData, plan: TrainPlan, console: Console | None = None) -> Trained:
    """Trains a policy on labelled responses; without a console, the steps are told on stderr.

    Raises:
        CaiError: Settings, folder or model cannot be used, or memory ran out.
    """
    begun = begin("kto", data, plan, kto_ways())
    if begun.done is not None:
        return Trained(begun.folder, begun.done, is_new=False)
    with begun.started("language", data) as start:
        trainer = KTOTrainer(
            start.model,
            args=begun.config,
            train_dataset=table_of(data.train, start.arguments),
            eval_dataset=evaluation_table(data, start.arguments),
            processing_class=start.tokenizer,
            peft_config=begun.lora,
        )
        watch_samples(trainer, begun, data)
        return carry_out(trainer, begun, data, console, is_whole=start.is_merged)
