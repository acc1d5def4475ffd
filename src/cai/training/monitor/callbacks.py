"""The monitor as callbacks of a trainer of TRL or transformers.

`MonitorCallback` observes the responses that a `RewardRecorder` has recorded, for GRPO and RLOO.
`SamplingCallback` samples the policy itself, for trainers that generate nothing: at intervals it
draws one response at temperature 1 to each of a fixed set of prompts, and estimates on them the KL
divergence from the reference, as the mean of log π(y|x) − log π_ref(y|x) over whole responses. The
reference is the policy without its adapter (or with the one that TRL saves as `ref`) for LoRA, else
the frozen model that is given. Without one, `kl_start` is measured in its place: the policy's
log-probabilities of the first responses against those that the start gave them.

Example:
    monitor_training(trainer, TrainingMonitor(folder), plan=SamplingPlan(prompts, every=50))
    trainer.train()
"""

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import (
    DistributedType,
    broadcast_object_list,  # pyright: ignore[reportUnknownVariableType]
    gather_object,
)
from peft import PeftModel
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from cai.errors import UsageError
from cai.evaluation.policies.text_metrics import ResponseBatch, text_figures
from cai.models.hf.tokenizer import Tokenizer, encode_request
from cai.training.monitor.monitor import OF_REWARDS, Figures, TrainingMonitor, trainer_figures
from cai.training.monitor.policy_samples import Sampled, eval_mode, log_probabilities, sample
from cai.training.rewards.batch import RewardRecorder
from cai.types import Conversation

N_TEXTS = 64  # responses that one observation is made of: shares of fewer are mostly noise

MAX_PROMPTS = 64
PREFIX = "watch/"
TRL_REFERENCE = "ref"
"""The adapter that TRL adds with the weights that training began with, if it began with one."""

Value = TypeVar("Value")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """What is sampled, and how often. The first observation is made before the first step."""

    prompts: Sequence[Conversation]
    every: int = 100
    max_new_tokens: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= len(self.prompts) <= MAX_PROMPTS:
            raise UsageError(
                f"{len(self.prompts)} prompts to watch the policy by. Give 1 to {MAX_PROMPTS}."
            )
        if self.every < 1 or self.max_new_tokens < 1:
            raise UsageError(
                f"The policy cannot be sampled every {self.every} steps with "
                f"{self.max_new_tokens} tokens. Give 1 or more of each."
            )


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

    With neither, only what the trainer logs itself is monitored.

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
    # `Trainer.log` appends to `log_history` and then calls the callbacks in order, those that
    # report (TensorBoard, trackio, wandb) before those of users. Ours come first: they add their
    # figures to the last entry of the history and to the dictionary that the others read then.
    handler = trainer.callback_handler
    present = cast(list[TrainerCallback], handler.callbacks)  # pyright: ignore[reportUnknownMemberType]
    present[:0] = callbacks


class MonitorCallback(TrainerCallback):
    """Gives recorded responses to the monitor, logs its figures, and ends the run by its rules.

    Responses are collected over steps and processes until there are `n_texts`, so that every
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
        self._n_logged = 0
        self._begun = 0
        self._has_observed = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self.monitor.begin(state.global_step, is_writing=state.is_world_process_zero)
        self._waiting = []
        self._has_observed = False
        self._n_logged = len(self.monitor.history)
        self._begun = state.global_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        if self._recorder is not None and (fresh := self._recorder.take()):
            # every process has recorded as many batches, so that all take part in the exchange
            self._waiting += gather_object(fresh)
        # observed only where there are enough: figures of few responses differ mostly by chance,
        # and the rules would compare noise with noise
        n_waiting = sum(len(batch.responses) for batch in self._waiting)
        is_last = state.global_step >= state.max_steps and not self._has_observed
        if n_waiting >= self._n_texts or (n_waiting and is_last):
            together, self._waiting = joined(self._waiting), []
            self.monitor.observe(state.global_step, together)
            self._has_observed = True
        end_by_rule(self.monitor, control)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
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
        newest: Figures = {}
        for step, measured in self.monitor.history[self._n_logged :]:
            if step > self._begun:  # figures of the start do not belong to a step that is logged
                newest.update(measured)
        self._n_logged = len(self.monitor.history)
        added = {f"{PREFIX}{name}": value for name, value in newest.items()}
        logs.update(added)
        state.log_history[-1].update(added)
        end_by_rule(self.monitor, control)


class SamplingCallback(TrainerCallback):
    """Observes samples of the policy at the start, every `plan.every` steps, and at the end.

    The main process samples alone, and the others get its figures. Where no process has the whole
    policy (FSDP, DeepSpeed ZeRO-3) nothing is sampled, and a warning is logged.
    """

    def __init__(
        self, monitor: TrainingMonitor, plan: SamplingPlan, reference: PreTrainedModel | None = None
    ) -> None:
        self.monitor = monitor
        self.plan = plan
        self._reference = reference
        self._is_on = True
        self._start: list[tuple[Sampled, list[float]]] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: object
    ) -> None:
        # a sharded policy generates only where every process takes part in each forward pass
        kind = AcceleratorState().distributed_type
        is_zero3 = cast(bool, is_deepspeed_zero3_enabled())
        self._is_on = not is_zero3 and kind not in (
            DistributedType.FSDP,
            DistributedType.MEGATRON_LM,
        )
        self._start = []
        if self._is_on:
            self._observe(args, state, given)
        elif state.is_world_process_zero:
            _logger.warning(
                "The policy is sharded over processes, so no samples of it are watched. "
                "Figures that the trainer logs itself are."
            )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: object
    ) -> None:
        is_last = state.global_step >= state.max_steps
        if self._is_on and (is_last or state.global_step % self.plan.every == 0):
            self._observe(args, state, given)
            control.should_log = True  # the figures stand in the logs at the step they are of
            end_by_rule(self.monitor, control)

    def _observe(
        self, args: TrainingArguments, state: TrainerState, others: dict[str, object]
    ) -> None:
        # one process samples, and all get its figures: a rule must end all at the same step, or the
        # others would wait for it in the next exchange of gradients forever
        figures: list[Figures] = [{}]
        if state.is_world_process_zero:
            policy = cast(PreTrainedModel, others["model"])
            tokenizer = cast(PreTrainedTokenizerBase, others["processing_class"])
            half = torch.autocast(policy.device.type, torch.bfloat16, enabled=bool(args.bf16))
            with eval_mode(policy, self.plan.seed), half:
                figures = [self._figures(policy, tokenizer)]
        broadcast_object_list(figures)
        self.monitor.record(state.global_step, figures[0])

    def _figures(self, policy: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Figures:
        plain = cast(Tokenizer, tokenizer)
        prompts = [encode_request(plain, prompt) for prompt in self.plan.prompts]
        pad_id = (
            tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        )
        samples = sample(policy, prompts, cast(int, pad_id), self.plan.max_new_tokens)
        batch = ResponseBatch(
            prompts=[str(number) for number in range(len(prompts))],
            responses=[text for part in samples for text in part.texts(plain)],
            n_tokens=[n for part in samples for n in part.n_tokens],
            cut_off=[is_cut for part in samples for is_cut in part.cut_off],
        )
        figures = text_figures(batch)
        # the responses of the start, not fresh ones: without a reference, no model is left that
        # could say how probable the start would have found fresh ones
        if self._start and self._reference is None and not isinstance(policy, PeftModel):
            return figures | {"kl_start": _mean_excess(self._start, policy)}
        own = [(part, log_probabilities(policy, part)) for part in samples]
        if self._reference is not None:
            return figures | {"kl": _mean_excess(own, self._reference)}
        if isinstance(policy, PeftModel):
            with _reference_adapter(policy):
                return figures | {"kl": _mean_excess(own, policy)}
        self._start = own
        return figures | {"kl_start": 0.0}


@contextmanager
def _reference_adapter(policy: PeftModel) -> Generator[None]:
    """The policy as it was before training, while the context lasts."""
    if TRL_REFERENCE not in policy.peft_config:
        with policy.disable_adapter():
            yield
        return
    trained = cast(str, policy.active_adapter)  # pyright: ignore[reportUnknownMemberType]
    policy.set_adapter(TRL_REFERENCE)
    try:
        yield
    finally:
        policy.set_adapter(trained)


def _mean_excess(scored: list[tuple[Sampled, list[float]]], other: PreTrainedModel) -> float:
    """Mean over the responses of their log-probability less that under the other model, in nats."""
    excess = [
        own - others
        for part, before in scored
        for own, others in zip(before, log_probabilities(other, part), strict=True)
    ]
    return sum(excess) / len(excess)


def end_by_rule(monitor: TrainingMonitor, control: TrainerControl) -> None:
    """Ends the training, with a last log, where a rule of the monitor says so."""
    if monitor.stop is not None:
        control.should_training_stop = True
        control.should_log = True


def joined(batches: list[ResponseBatch]) -> ResponseBatch:
    """One batch of all; what one of them does not know is not known of the whole."""
    return ResponseBatch(
        prompts=[prompt for batch in batches for prompt in batch.prompts],
        responses=[response for batch in batches for response in batch.responses],
        rewards=_chained([batch.rewards for batch in batches]),
        n_tokens=_chained([batch.n_tokens for batch in batches]),
    )


def _chained(columns: list[Sequence[Value] | None]) -> list[Value] | None:
    known = [column for column in columns if column is not None]
    return [value for column in known for value in column] if len(known) == len(columns) else None
