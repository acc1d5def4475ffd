"""KTO: the policy learns from single responses that are good or not.

Ethayarajh et al. 2024, arXiv:2402.01306.
"""

# pyright: reportUnknownMemberType=false
# TRL leaves some of its types open: what is unknown stays in this file

from rich.console import Console

from cai.training.beginning import Ways, begin
from cai.training.carrying_out import Trained, carry_out
from cai.training.data.loading import TrainingData
from cai.training.plan import TrainPlan
from cai.training.tables import evaluation_table, table_of
from cai.training.trl_quietly import KTOTrainer
from cai.training.watched import watch_samples


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
