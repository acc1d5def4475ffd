"""SFT: the policy learns the revised answers. Bai et al. 2022, arXiv:2212.08073, §3.

The loss is on the responses alone.
"""

# pyright: reportUnknownMemberType=false
# TRL leaves some of its types open: what is unknown stays in this file

from rich.console import Console

from cai.training.beginning import Ways, begin
from cai.training.carrying_out import Trained, carry_out
from cai.training.data.loading import TrainingData
from cai.training.plan import TrainPlan
from cai.training.tables import evaluation_table, table_of
from cai.training.trl_quietly import SFTTrainer


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
