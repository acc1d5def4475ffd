"""Settings that a trainer would take, and then ignore, or fail at long after.

TRL finds some values wrong at the first step only, once the model is loaded and the data is read,
and some it lets pass without an effect. Each is refused here, in a sentence that says what to do.

Which numbers and words a field can have, where TRL's own check is late or missing.

A negative interval between logs, a top-p above 1 or a misspelt loss would be found at the first
step, after the model is loaded and the data is read; `max_steps: 0` would mean no limit at all.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import cast

from cai.training.settings import Trainer

AT_LEAST: Mapping[str, float] = {
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "steps_per_generation": 1,
    "generation_batch_size": 1,
    "num_generations": 2,
    "num_generations_eval": 1,
    "num_iterations": 1,
    "max_length": 1,
    "max_completion_length": 1,
    "precompute_ref_batch_size": 1,
    "ref_model_sync_steps": 1,
    "dataset_num_proc": 1,
    "eval_accumulation_steps": 1,
    "save_total_limit": 1,
    "dataloader_num_workers": 0,
    "seed": 0,
    "data_seed": 0,
    "learning_rate": 0,
    "weight_decay": 0,
    "max_grad_norm": 0,
    "adam_beta1": 0,
    "adam_beta2": 0,
    "label_smoothing_factor": 0,
    "neftune_noise_alpha": 0,
    "eval_delay": 0,
    "beta": 0,
    "label_smoothing": 0,
    "ld_alpha": 0,
    "ref_model_mixup_alpha": 0,
    "desirable_weight": 0,
    "undesirable_weight": 0,
    "top_k": 0,
    "min_p": 0,
    "top_entropy_quantile": 0,
}
ABOVE: Mapping[str, float] = dict.fromkeys(
    (
        "num_train_epochs", "logging_steps", "eval_steps", "save_steps", "adam_epsilon",
        "temperature", "top_p", "repetition_penalty", "epsilon", "epsilon_high", "delta",
    ),
    0,
)  # fmt: skip
AT_MOST: Mapping[str, float] = {
    "ld_alpha": 1,
    "ref_model_mixup_alpha": 1,
    "top_p": 1,
    "min_p": 1,
    "top_entropy_quantile": 1,
    "seed": 2**32 - 1,
    "data_seed": 2**32 - 1,
}
BELOW: Mapping[str, float] = {
    "adam_beta1": 1,
    "adam_beta2": 1,
    "label_smoothing_factor": 1,
    "label_smoothing": 0.5,
}
_LATE_CHOICES: Mapping[tuple[Trainer, str], tuple[str, ...]] = {
    ("dpo", "loss_type"): (
        "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot",
        "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
    ),
    ("dpo", "f_divergence_type"): (
        "reverse_kl", "forward_kl", "js_divergence", "alpha_divergence",
    ),
    ("grpo", "loss_type"): (
        "grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo",
    ),
    ("grpo", "importance_sampling_level"): ("token", "sequence"),
    ("grpo", "scale_rewards"): ("group", "batch", "none"),
    ("grpo", "multi_objective_aggregation"): ("sum_then_normalize", "normalize_then_sum"),
    ("grpo", "vllm_mode"): ("server", "colocate"),
    ("rloo", "vllm_mode"): ("server", "colocate"),
}  # fmt: skip


def choices(trainer: Trainer, name: str, metadata: Mapping[str, object]) -> tuple[str, ...]:
    """The words that the field can have; empty where any will do."""
    late = _LATE_CHOICES.get((trainer, name))
    return late or tuple(cast("list[str]", metadata.get("choices") or ()))


def out_of_range(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The fields whose numbers are too small or too great, each with a sentence."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if name == "max_steps" and value < 1 and value != -1:
            yield (
                name,
                f"is {value:g}, and would be no limit. It is 1 at the least, or -1 for none.",
            )
        elif value < AT_LEAST.get(name, value):
            yield name, f"is {value:g}. It is {AT_LEAST[name]:g} at the least."
        elif value > AT_MOST.get(name, value):
            yield name, f"is {value:g}. It is {AT_MOST[name]:.10g} at the most."
        elif name in ABOVE and value <= ABOVE[name]:
            yield name, f"is {value:g}. It is above {ABOVE[name]:g}."
        elif name in BELOW and value >= BELOW[name]:
            yield name, f"is {value:g}. It is below {BELOW[name]:g}."


_SECRETS = frozenset({"token", "hub_token", "use_auth_token", "api_key", "password", "secret"})
_SMOOTHING_LOSSES = frozenset({"robust", "exo_pair", "aot", "aot_unpaired"})


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


def refused(
    trainer: Trainer, values: Mapping[str, object], machine: Machine
) -> Iterator[tuple[str, str]]:
    """The fields whose values come to nothing here, each with a sentence."""
    found = dict(out_of_range(values))
    for name, rule in _RULES.items():
        sentence = rule(trainer, values, machine) if values.get(name) else None
        if sentence is not None:
            found[name] = sentence
    yield from found.items()


_Rule = Callable[[Trainer, Mapping[str, object], Machine], str | None]


def _label_smoothing(trainer: Trainer, values: Mapping[str, object], _: Machine) -> str | None:
    losses = values.get("loss_type") or ["sigmoid"]
    given = {losses} if isinstance(losses, str) else set(cast("list[str]", losses))
    if trainer != "dpo" or given & _SMOOTHING_LOSSES:
        return None
    return (
        f"has no effect on the loss {' + '.join(sorted(given))}: TRL does not read it there. "
        "Smooth the labels with --label-smoothing."
    )


def _assistant_only(_: Trainer, values: Mapping[str, object], __: Machine) -> str | None:
    return (
        "is not for these rows: they are prompt and completion, and the completion alone is "
        "trained on anyway. Leave it out."
    )


def _vllm(_: Trainer, values: Mapping[str, object], __: Machine) -> str | None:
    if find_spec("vllm") is not None:
        return None
    return (
        "needs vllm, not installed here. Run `pip install vllm`, or leave it out: "
        "then transformers generates."
    )


def _bf16(_: Trainer, values: Mapping[str, object], machine: Machine) -> str | None:
    if machine.has_bf16 or (values.get("use_cpu") and not machine.has_gpu):
        return None
    where = "the GPU here has no bfloat16" if machine.has_gpu else "there is no GPU here"
    return f"cannot be: {where}. Leave it out: then it is on where the GPU has it."


def _fp16(_: Trainer, values: Mapping[str, object], machine: Machine) -> str | None:
    if machine.has_gpu and not values.get("use_cpu"):
        return None
    return "cannot be: there is no GPU here, and a CPU trains in float32. Leave it out."


def _padding_free(trainer: Trainer, values: Mapping[str, object], __: Machine) -> str | None:
    if trainer == "dpo":
        return "has no effect on DPO: this TRL warns, and pads after all. Leave it out."
    if values.get("packing") or values.get("max_length", 1) is None:
        return None
    return "takes rows of any length. Set `packing: true` too, or `max_length: null`."


def _push_to_hub(_: Trainer, values: Mapping[str, object], __: Machine) -> str | None:
    if values.get("hub_model_id"):
        return None
    return (
        "would make a repository named after a folder. Say which one with hub_model_id: OWNER/NAME."
    )


def _liger(_: Trainer, values: Mapping[str, object], __: Machine) -> str | None:
    if find_spec("liger_kernel") is not None:
        return None
    return (
        "needs liger_kernel, not installed here. Run `pip install liger-kernel`, or leave it out."
    )


def _deepspeed(_: Trainer, values: Mapping[str, object], __: Machine) -> str | None:
    if find_spec("deepspeed") is not None:
        return None
    return "needs deepspeed, not installed here. Run `pip install deepspeed`, or leave it out."


def _fsdp(_: Trainer, values: Mapping[str, object], __: Machine) -> str | None:
    return "needs a process for each GPU, and its settings there. Use --launch fsdp instead."


def _batch_of_one(trainer: Trainer, values: Mapping[str, object], __: Machine) -> str | None:
    is_alone = trainer == "kto" and values.get("per_device_train_batch_size") == 1
    if not is_alone or values.get("loss_type", "kto") != "kto":
        return None
    return "is 1, and KTO estimates the KL from the others of its batch. It is 2 at the least."


def _best_model(_: Trainer, values: Mapping[str, object], __: Machine) -> str | None:
    if values.get("eval_strategy", "no") != "no":
        return None
    return "needs evaluations to know the best by. Set `eval_strategy: epoch` too."


_RULES: Mapping[str, _Rule] = {
    "label_smoothing": _label_smoothing,
    "assistant_only_loss": _assistant_only,
    "use_vllm": _vllm,
    "bf16": _bf16,
    "bf16_full_eval": _bf16,
    "fp16": _fp16,
    "padding_free": _padding_free,
    "push_to_hub": _push_to_hub,
    "use_liger_kernel": _liger,
    "deepspeed": _deepspeed,
    "fsdp": _fsdp,
    "per_device_train_batch_size": _batch_of_one,
    "load_best_model_at_end": _best_model,
}
