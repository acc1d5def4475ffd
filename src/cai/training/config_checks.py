"""Settings that TRL would accept and then ignore, or reject long after the training has begun.

TRL checks most values in the `__post_init__` of its configs, before anything is loaded; those are
left to it. Here are only the ones that it finds at the first step, once the model is loaded and the
data is tokenized, or never: numbers out of range, a misspelt loss, an option without effect.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from math import inf
from typing import cast

from cai.training.trainers import TrainerSpec


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers from `low` to `high`; an end that is open is not among them."""

    low: float = 0
    high: float = inf
    is_low_open: bool = False
    is_high_open: bool = False

    def __contains__(self, value: float) -> bool:
        is_above = value > self.low if self.is_low_open else value >= self.low
        return is_above and (value < self.high if self.is_high_open else value <= self.high)

    def __str__(self) -> str:
        low = f"{'above' if self.is_low_open else 'at least'} {self.low:g}"
        high = f" and {'below' if self.is_high_open else 'at most'} {self.high:.10g}"
        return low if self.high == inf else low + high


_POSITIVE = Interval(is_low_open=True)
_FRACTION = Interval(high=1)
RANGES: Mapping[str, Interval] = {
    **dict.fromkeys(
        (
            "per_device_train_batch_size", "per_device_eval_batch_size", "steps_per_generation",
            "gradient_accumulation_steps", "generation_batch_size", "num_generations_eval",
            "num_iterations", "max_length", "max_completion_length", "precompute_ref_batch_size",
            "ref_model_sync_steps", "dataset_num_proc", "eval_accumulation_steps",
            "save_total_limit",
        ),
        Interval(1),
    ),
    **dict.fromkeys(
        (
            "dataloader_num_workers", "learning_rate", "weight_decay", "max_grad_norm",
            "neftune_noise_alpha", "eval_delay", "beta", "desirable_weight", "undesirable_weight",
            "top_k",
        ),
        Interval(),
    ),
    **dict.fromkeys(
        (
            "num_train_epochs", "logging_steps", "eval_steps", "save_steps", "adam_epsilon",
            "temperature", "repetition_penalty", "epsilon", "epsilon_high", "delta",
        ),
        _POSITIVE,
    ),
    **dict.fromkeys(
        ("ld_alpha", "ref_model_mixup_alpha", "min_p", "top_entropy_quantile"), _FRACTION
    ),
    **dict.fromkeys(
        ("adam_beta1", "adam_beta2", "label_smoothing_factor"), Interval(high=1, is_high_open=True)
    ),
    "label_smoothing": Interval(high=0.5, is_high_open=True),
    "top_p": Interval(high=1, is_low_open=True),
    "num_generations": Interval(2),
    "data_seed": Interval(high=2**32 - 1),
}  # fmt: skip
"""Of the numbers that no config of TRL checks itself, the values with a meaning."""

_SECRETS = frozenset({"token", "hub_token", "use_auth_token", "api_key", "password", "secret"})
_SMOOTHING_LOSSES = frozenset({"robust", "exo_pair", "aot", "aot_unpaired"})
_LIBRARIES = {"use_vllm": "vllm", "use_liger_kernel": "liger_kernel", "deepspeed": "deepspeed"}
_NEVER = {
    "assistant_only_loss": "is not for these rows: they are prompt and completion, and the loss is "
    "computed on the completion only. Leave it out.",
    "fsdp": "needs one process per GPU, configured together. Use --launch fsdp instead.",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What the devices here can compute in."""

    has_gpu: bool
    has_bf16: bool


def secret_in(name: str, value: object) -> str | None:
    """The dotted name of a secret in the value, or None."""
    if name in _SECRETS:
        return name
    if not isinstance(value, Mapping):
        return None
    below = cast("Mapping[str, object]", value)
    found = (secret_in(inner, item) for inner, item in below.items())
    return next((f"{name}.{inner}" for inner in found if inner), None)


def problems_of(
    spec: TrainerSpec, values: Mapping[str, object], machine: Machine
) -> Iterator[tuple[str, str]]:
    """The fields whose values fail late or have no effect, each with the rest of a sentence."""
    for name, value in values.items():
        if name in RANGES and isinstance(value, int | float) and not isinstance(value, bool):
            if value not in RANGES[name]:
                yield name, f"is {value:g}. It must be {RANGES[name]}."
        elif name in _NEVER and value:
            yield name, _NEVER[name]
        elif name in _LIBRARIES and value and find_spec(_LIBRARIES[name]) is None:
            library = _LIBRARIES[name]
            yield name, f"needs {library}. Run `pip install {library}`, or leave it out."
    max_steps = values.get("max_steps")
    if isinstance(max_steps, int) and max_steps < 1 and max_steps != -1:
        yield "max_steps", f"is {max_steps}. It must be at least 1, or -1 for no limit."
    # transformers would emulate these slowly, or reject them without the name of a setting
    is_on_cpu = bool(values.get("use_cpu")) or not machine.has_gpu
    here = "there is no GPU here" if is_on_cpu else "this GPU has no bfloat16"
    is_bf16_possible = machine.has_bf16 or (values.get("use_cpu") and not machine.has_gpu)
    for name in ("bf16", "bf16_full_eval"):
        if values.get(name) and not is_bf16_possible:
            yield name, f"is not possible: {here}. Leave it out: it is on where the GPU has it."
    if values.get("fp16") and is_on_cpu:
        yield "fp16", f"is not possible: {here}, and a CPU trains in float32. Leave it out."
    yield from _combinations(spec, values)


def _combinations(spec: TrainerSpec, values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    losses = values.get("loss_type") or ["sigmoid"]
    losses = {losses} if isinstance(losses, str) else set(cast("list[str]", losses))
    if values.get("label_smoothing") and spec.takes_labels and not losses & _SMOOTHING_LOSSES:
        yield (
            "label_smoothing",
            f"has no effect on the loss {' + '.join(sorted(losses))}. Use --label-smoothing.",
        )
    if values.get("padding_free"):
        is_any_length = values.get("max_length", 1) is None
        if spec.rows == "preference":
            yield "padding_free", "has no effect: TRL pads pairs all the same. Leave it out."
        elif not values.get("packing") and not is_any_length:
            yield "padding_free", "also needs `packing: true`, or `max_length: null`."
    if values.get("push_to_hub") and not values.get("hub_model_id"):
        yield (
            "push_to_hub",
            "would name the repository after a folder. Name it with hub_model_id: OWNER/NAME.",
        )
    is_alone = values.get("per_device_train_batch_size") == 1
    if spec.rows == "kto" and is_alone and "apo_zero_unpaired" not in losses:
        yield (
            "per_device_train_batch_size",
            "is 1, and the KL is estimated from the other rows of a batch. It must be at least 2.",
        )
