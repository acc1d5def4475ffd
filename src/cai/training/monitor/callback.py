"""The monitor as a callback of a trainer of TRL or transformers.

`Trainer.log` appends to `log_history` first and then calls the callbacks in order, those that
report (TensorBoard, trackio, wandb) before those of the user. So this one has to stand before them,
where `attach.monitor_training` puts it: it adds its figures to the last entry of the history and to
the dictionary that the others read after it.
"""

from collections.abc import Sequence
from typing import TypeVar

from accelerate.utils import gather_object
from transformers import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from cai.evaluation.policies.text_metrics import ResponseBatch
from cai.training.monitor.monitor import OF_REWARDS, Figures, TrainingMonitor, trainer_figures
from cai.training.rewards.batch import RewardRecorder

N_TEXTS = 64
"""Responses that one observation is made of: shares of fewer are mostly noise."""

PREFIX = "watch/"

Value = TypeVar("Value")


class MonitorCallback(TrainerCallback):
    """Hands recorded responses to the monitor, adds its figures to the logs, and ends by its rules.

    Responses are gathered over steps and processes until there are `n_texts`, so that every
    observation is made of equally many; a run that ends before is observed once, at its end.
    Responses of an evaluation are left out.
    """

    def __init__(
        self,
        monitor: TrainingMonitor,
        recorder: RewardRecorder | None = None,
        n_texts: int = N_TEXTS,
    ) -> None:
        self.monitor = monitor
        self._recorder = recorder
        self._n_texts = n_texts
        self._waiting: list[ResponseBatch] = []
        self._n_told = 0
        self._begun = 0
        self._has_observed = False

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_others: object,
    ) -> None:
        self.monitor.begin(state.global_step, is_writing=state.is_world_process_zero)
        self._waiting = []
        self._has_observed = False
        self._n_told = len(self.monitor.history)
        self._begun = state.global_step

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_others: object,
    ) -> None:
        if self._recorder is not None and (fresh := self._recorder.take()):
            # every process has recorded as many batches, so that all take part in the exchange
            self._waiting += gather_object(fresh)
        n_waiting = sum(len(batch.responses) for batch in self._waiting)
        is_last = state.global_step >= state.max_steps and not self._has_observed
        if n_waiting >= self._n_texts or (n_waiting and is_last):
            together, self._waiting = joined(self._waiting), []
            self.monitor.observe(state.global_step, together)
            self._has_observed = True
        end_by_rule(self.monitor, control)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_others: object,
    ) -> None:
        if self._recorder is not None:
            self._recorder.take()  # of held-out prompts, which would mix with those of the steps

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, object] | None = None,
        **_others: object,
    ) -> None:
        if logs is None or "loss" not in logs:  # of an evaluation, or the summary at the end
            return
        figures = trainer_figures(logs)
        if self._recorder is not None and self._recorder.has_all:
            # the recorder's sums are of the very texts of an observation, the trainer's of a step
            figures = {name: value for name, value in figures.items() if name not in OF_REWARDS}
        self.monitor.record(state.global_step, figures)
        told = {f"{PREFIX}{name}": value for name, value in self._untold().items()}
        logs.update(told)
        state.log_history[-1].update(told)
        end_by_rule(self.monitor, control)

    def _untold(self) -> Figures:
        """The newest value of each metric since the last log."""
        newest: Figures = {}
        for step, figures in self.monitor.history[self._n_told :]:
            if step > self._begun:  # the start's own are not of a step that is logged
                newest.update(figures)
        self._n_told = len(self.monitor.history)
        return newest


def end_by_rule(monitor: TrainingMonitor, control: TrainerControl) -> None:
    """Ends the training, with a last log, where a rule of the monitor says so."""
    if monitor.stop is not None:
        control.should_training_stop = True
        control.should_log = True


def joined(batches: list[ResponseBatch]) -> ResponseBatch:
    """One batch of all; what one of them does not know is not known of the whole."""
    rewards = [batch.rewards for batch in batches]
    n_tokens = [batch.n_tokens for batch in batches]
    return ResponseBatch(
        prompts=[prompt for batch in batches for prompt in batch.prompts],
        responses=[response for batch in batches for response in batch.responses],
        rewards=_chained(rewards),
        n_tokens=_chained(n_tokens),
    )


def _chained(columns: list[Sequence[Value] | None]) -> list[Value] | None:
    known = [column for column in columns if column is not None]
    return [value for column in known for value in column] if len(known) == len(columns) else None
