"""Adds a monitor to a trainer before it trains."""

from typing import cast

from transformers import PreTrainedModel, Trainer, TrainerCallback

from cai.errors import UsageError
from cai.training.monitor.callback import N_TEXTS, MonitorCallback
from cai.training.monitor.monitor import TrainingMonitor
from cai.training.monitor.sampling_callback import SamplingCallback, SamplingPlan
from cai.training.rewards.batch import RewardRecorder


def monitor_training(
    trainer: Trainer,
    monitor: TrainingMonitor,
    *,
    recorder: RewardRecorder | None = None,
    n_texts: int = N_TEXTS,
    plan: SamplingPlan | None = None,
    reference: PreTrainedModel | None = None,
) -> None:
    """Monitors the trainer by its own responses, from the recorder, or by samples of the plan.

    With neither, only what the trainer logs itself is monitored. The callbacks come before all
    others of the trainer, so that whatever reports its logs reports the figures too.

    Raises:
        UsageError: Both are given. Responses to different prompts would share one history.
    """
    if recorder is not None and plan is not None:
        raise UsageError(
            "A run cannot be monitored by its own responses and by samples of other prompts at "
            "once. Give the recorder for GRPO and RLOO, and a sampling plan for trainers that "
            "sample nothing."
        )
    callbacks: list[TrainerCallback] = [MonitorCallback(monitor, recorder, n_texts)]
    if plan is not None:
        callbacks.append(SamplingCallback(monitor, plan, reference))
    handler = trainer.callback_handler
    present = cast(list[TrainerCallback], handler.callbacks)  # pyright: ignore[reportUnknownMemberType]
    present[:0] = callbacks
