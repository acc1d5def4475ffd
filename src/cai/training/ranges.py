"""Which numbers and words a field can have, where TRL's own check is late or missing.

A negative interval between logs, a top-p above 1 or a misspelt loss would be found at the first
step, after the model is loaded and the data is read; `max_steps: 0` would mean no limit at all.
"""

from collections.abc import Iterator, Mapping
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
