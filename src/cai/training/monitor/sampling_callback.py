"""A callback that samples the policy while it is trained: for DPO and SFT, which sample nothing.

Every so many steps it draws one response at temperature 1 to each of a fixed set of prompts and
observes them. The KL divergence from the reference is estimated on them, as the mean of
log π(y|x) − log π_ref(y|x) over whole responses. The reference is the policy without its adapter
(or with the adapter that TRL keeps as `ref`) for LoRA, else the frozen model that is given. Where
there is none, `kl_start` is measured in its place, which needs no second model: the start's own
responses are kept with their log-probabilities, and the policy's are taken on the same.
"""

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import (
    DistributedType,
    broadcast_object_list,  # pyright: ignore[reportUnknownVariableType]
)
from peft import PeftModel
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from cai.errors import UsageError
from cai.evaluation.policies.text_metrics import ResponseBatch, text_figures
from cai.models.hf.tokenizer import Tokenizer, encode_request
from cai.training.monitor.callback import end_by_rule
from cai.training.monitor.monitor import Figures, TrainingMonitor
from cai.training.monitor.policy_samples import Sampled, eval_mode, log_probabilities, sample
from cai.types import Conversation

MOST_PROMPTS = 64

KEPT_ADAPTER = "ref"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """What is sampled, and how often. The first observation is made before the first step."""

    prompts: Sequence[Conversation]
    every: int = 100
    max_new_tokens: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= len(self.prompts) <= MOST_PROMPTS:
            raise UsageError(
                f"{len(self.prompts)} prompts to watch the policy by. Give 1 to {MOST_PROMPTS}."
            )
        if self.every < 1 or self.max_new_tokens < 1:
            raise UsageError(
                f"The policy cannot be sampled every {self.every} steps with "
                f"{self.max_new_tokens} tokens. Give 1 or more of each."
            )


class SamplingCallback(TrainerCallback):
    """Observes samples of the policy at the start, every `plan.every` steps, and at the end.

    The main process samples alone and tells the others. Where no process holds the whole policy
    (FSDP, DeepSpeed ZeRO-3) nothing is sampled, and one line says so.
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
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **others: object,
    ) -> None:
        self._is_on = not _is_sharded()
        self._start = []
        if self._is_on:
            self._observe(args, state, others)
        elif state.is_world_process_zero:
            _logger.warning(
                "The policy is sharded over processes, so no samples of it are watched. "
                "Figures that the trainer logs itself are."
            )

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **others: object,
    ) -> None:
        is_last = state.global_step >= state.max_steps
        if self._is_on and (is_last or state.global_step % self.plan.every == 0):
            self._observe(args, state, others)
            control.should_log = True  # the figures stand in the logs at the step they are of
            end_by_rule(self.monitor, control)

    def _observe(
        self, args: TrainingArguments, state: TrainerState, others: dict[str, object]
    ) -> None:
        # one process samples, and all get its figures: a rule must end all of them at the same step
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
        pad_id = _pad_id(tokenizer)
        samples = sample(policy, prompts, pad_id, self.plan.max_new_tokens)
        batch = ResponseBatch(
            prompts=[str(number) for number in range(len(prompts))],
            responses=[text for part in samples for text in part.texts(plain)],
            n_tokens=[n for part in samples for n in part.n_tokens],
            cut_off=[is_cut for part in samples for is_cut in part.cut_off],
        )
        return text_figures(batch) | self._divergence(policy, samples)

    def _divergence(self, policy: PreTrainedModel, samples: list[Sampled]) -> Figures:
        if self._reference is None and not isinstance(policy, PeftModel):
            if not self._start:
                self._start = [(part, log_probabilities(policy, part)) for part in samples]
            return {"kl_start": _mean_excess(self._start, policy)}
        own = [(part, log_probabilities(policy, part)) for part in samples]
        with _without_training(policy, self._reference) as reference:
            return {"kl": _mean_excess(own, reference)}


@contextmanager
def _without_training(
    policy: PreTrainedModel, reference: PreTrainedModel | None
) -> Generator[PreTrainedModel]:
    """The frozen model that the divergence is taken from, while the context lasts."""
    if reference is not None or not isinstance(policy, PeftModel):
        yield cast(PreTrainedModel, reference)
        return
    with _other_adapter(policy):
        yield policy


@contextmanager
def _other_adapter(policy: PeftModel) -> Generator[None]:
    """TRL keeps the adapter that training began with as `ref`, if it began with one."""
    if KEPT_ADAPTER not in policy.peft_config:
        with policy.disable_adapter():
            yield
        return
    trained = cast(str, policy.active_adapter)  # pyright: ignore[reportUnknownMemberType]
    policy.set_adapter(KEPT_ADAPTER)
    try:
        yield
    finally:
        policy.set_adapter(trained)


def _is_sharded() -> bool:
    kind = AcceleratorState().distributed_type
    is_zero3 = cast(bool, is_deepspeed_zero3_enabled())
    return is_zero3 or kind in (DistributedType.FSDP, DistributedType.MEGATRON_LM)


def _pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    pad_id = tokenizer.pad_token_id
    return cast(int, tokenizer.eos_token_id if pad_id is None else pad_id)


def _mean_excess(scored: list[tuple[Sampled, list[float]]], other: PreTrainedModel) -> float:
    """Mean over the responses of their log-probability less that under the other model, in nats."""
    excess = [
        own - others
        for part, before in scored
        for own, others in zip(before, log_probabilities(other, part), strict=True)
    ]
    return sum(excess) / len(excess)
