"""Puts a watcher into a trainer before it trains."""

from typing import cast

from transformers import PreTrainedModel, Trainer, TrainerCallback

from cai.errors import UsageError
from cai.training.monitor.callback import N_TEXTS, WatchCallback
from cai.training.monitor.monitor import Watcher
from cai.training.monitor.reward_recorder import RewardTape
from cai.training.monitor.sampling_callback import SamplingCallback, SamplingPlan


def watch(
    trainer: Trainer,
    watcher: Watcher,
    *,
    tape: RewardTape | None = None,
    n_texts: int = N_TEXTS,
    plan: SamplingPlan | None = None,
    reference: PreTrainedModel | None = None,
) -> None:
    """Has the trainer watched: by its own responses from the tape, or by samples of the plan.

    With neither, only what the trainer logs itself is watched. The callbacks come before all others
    of the trainer, so that whatever reports its logs reports the figures too.

    Raises:
        UsageError: Both are given. Responses to different prompts would share one history.
    """
    if tape is not None and plan is not None:
        raise UsageError(
            "A run cannot be watched by its own responses and by samples of other prompts at once. "
            "Give the tape for GRPO and RLOO, and a sampling plan for trainers that sample nothing."
        )
    callbacks: list[TrainerCallback] = [WatchCallback(watcher, tape, n_texts)]
    if plan is not None:
        callbacks.append(SamplingCallback(watcher, plan, reference))
    handler = trainer.callback_handler
    present = cast(list[TrainerCallback], handler.callbacks)  # pyright: ignore[reportUnknownMemberType]
    present[:0] = callbacks
