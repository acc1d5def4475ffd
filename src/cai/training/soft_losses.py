"""Reward model and DPO on soft labels: cross-entropy of σ(z) against p in place of −log σ(z).

With the margin z (r_chosen − r_rejected of a reward model, β times the difference of the log-ratios
in DPO),

    −p log σ(z) − (1 − p) log σ(−z)  =  −log σ(z) + (1 − p) z,

since log σ(−z) = log σ(z) − z. So TRL computes its own loss, and (1 − p) z is added to it: at p = 1
the loss is TRL's to the last bit, at p = 0 that of the flipped pair. The reward loss is that of Lee
et al. 2023, arXiv:2309.00267, §2.2; that of DPO is (3) of Mitchell 2023, "A note on DPO with noisy
preferences" (cDPO), with a p for each pair.

Example:
    trainer = SOFT_TRAINERS["dpo"](model=model, args=config, train_dataset=table)
    trainer.data_collator = WithTargets(trainer.data_collator, LabelPlan("soft"))
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# TRL leaves some of its types open: what is unknown stays in this file

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from cai.errors import TrainingError
from cai.training.plan import LabelPlan
from cai.training.trl import DPOConfig, DPOTrainer, RewardTrainer

TARGET = "chosen_probability"  # the column of the target, and its name in a batch

Inputs = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WithTargets:
    """A collator that adds the targets to a batch that another one makes."""

    collator: Callable[[Sequence[Mapping[str, Any]]], Inputs]
    plan: LabelPlan

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> Inputs:
        batch = self.collator(examples)
        targets = torch.tensor([each[TARGET] for each in examples], dtype=torch.float32)
        if self.plan.kind == "drawn":
            # here and not in the data set, so that a pair gets a new label in each epoch
            targets = torch.bernoulli(targets)
        # (1 − ε) t + ε (1 − t), after drawing: smoothing bounds the target, not the odds of a draw
        batch[TARGET] = self.plan.smoothing + (1 - 2 * self.plan.smoothing) * targets
        return batch


class SoftRewardTrainer(RewardTrainer):
    """TRL's reward trainer on targets p; a batch holds them under `chosen_probability`."""

    def compute_loss(
        self,
        model: Any,
        inputs: Inputs,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The mean loss of the pairs; with the outputs, if asked for."""
        targets = inputs.pop(TARGET)  # TRL passes what is left on to the model
        loss, outputs = cast(Any, super().compute_loss(model, inputs, True, num_items_in_batch))
        chosen, rejected = outputs.logits.squeeze(-1).chunk(2)
        loss = loss + extra_loss(targets, chosen - rejected)
        return (loss, outputs) if return_outputs else loss


class SoftDPOTrainer(DPOTrainer):
    """TRL's DPO trainer on targets p; a batch holds them under `chosen_probability`.

    The reference's log-probabilities must be precomputed: `check_soft_labels` checks that before.
    """

    def compute_loss(
        self,
        model: Any,
        inputs: Inputs,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The mean loss of the pairs."""
        targets = inputs.pop(TARGET)
        outputs: list[Any] = []

        # TRL returns the loss, and not the log-probabilities that it is computed from. They are
        # taken from TRL's own forward pass, as a second one would double the cost of a step.
        def forward(**arguments: Any) -> Any:
            outputs.append(model(**arguments))
            return outputs[-1]

        loss = super().compute_loss(cast(Any, forward), inputs, False, num_items_in_batch)
        # the model predicts each token but the first; those of prompts are masked to 0 by TRL
        n_predicted = inputs["input_ids"].size(1) - 1
        logps = outputs[0].log_probs[:, -n_predicted:].sum(dim=1)
        chosen, rejected = logps.chunk(2)  # a batch is all chosen, then all rejected
        reference = inputs["ref_chosen_logps"] - inputs["ref_rejected_logps"]
        # of several losses combined, only the sigmoid loss knows labels
        weight = self.loss_weights[self.loss_types.index("sigmoid")]
        margin = self.beta * (chosen - rejected - reference)
        loss = loss + weight * extra_loss(targets, margin)
        return (loss, outputs[0]) if return_outputs else loss


def extra_loss(targets: Tensor, margins: Tensor) -> Tensor:
    """What soft labels add to the mean of −log σ(margin): the mean of (1 − p) · margin."""
    return ((1 - targets) * margins).mean()


def check_soft_labels(config: object) -> None:
    """Checks that the loss in the settings is defined on soft labels.

    Raises:
        TrainingError: It is not: of DPO only the sigmoid loss is.
    """
    if not isinstance(config, DPOConfig):
        return
    wrong = {
        f"loss_type {config.loss_type}": "sigmoid" not in config.loss_type,
        "precompute_ref_log_probs false": not config.precompute_ref_log_probs,
        f"f_divergence_type {config.f_divergence_type}": config.f_divergence_type != "reverse_kl",
        f"ld_alpha {config.ld_alpha}": config.ld_alpha is not None,
        "use_weighting true": config.use_weighting,
    }
    for setting, is_wrong in wrong.items():
        if is_wrong:
            raise TrainingError(
                f"Soft labels are for the sigmoid loss of DPO, and the settings say {setting}. "
                "Change it, or train on --labels hard."
            )


SOFT_TRAINERS: Mapping[str, type[Any]] = {"dpo": SoftDPOTrainer, "reward": SoftRewardTrainer}
"""By the trainer's name; those of the table that take labels."""
