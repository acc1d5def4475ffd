"""What of a config is told in the model's card and in the record of a training.

Only what differs from TRL's own defaults: a config has up to 190 fields, and a reader wants the
five that somebody chose.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import cast

from transformers import TrainingArguments
from transformers.trainer_pt_utils import AcceleratorConfig

_UNTOLD = {
    "output_dir", "hub_token", "disable_tqdm", "do_eval", "do_train", "do_predict", "local_rank",
    "logging_dir", "run_name", "report_to", "greater_is_better", "resume_from_checkpoint",
    "use_cpu",
    "gradient_checkpointing", "gradient_checkpointing_kwargs",
}  # fmt: skip
"""Places and devices of this machine, secrets, and what only follows from other fields."""


def describe_settings(config: TrainingArguments, untold: Collection[str] = ()) -> dict[str, object]:
    """What differs from TRL's own defaults, as JSON has it, sorted; no secret and no folder.

    The fields in `untold`, such as those that cai always sets, are left out.
    """
    usual = _usual(config)
    differing: dict[str, object] = {}
    for name, value in _told(config):
        if name not in untold and value != usual.get(name):
            differing[name] = value
    return dict(sorted(differing.items()))


def _usual(config: TrainingArguments) -> dict[str, object]:
    """The fields of a config of which nothing was said, as TRL fills them in.

    No second config is made for it: under DeepSpeed that would take the place of the first one's
    plan for splitting the model.
    """
    usual = {
        field.name: _plain(field.default)
        if field.default_factory is dataclasses.MISSING
        else _plain(field.default_factory())
        for field in dataclasses.fields(config)
    }
    usual |= {
        "bf16": not config.fp16,
        "activation_checkpointing": True,
        "accelerator_config": _plain(AcceleratorConfig()),
        "dataloader_pin_memory": not config.use_cpu,
        "debug": [],
        "pad_to_multiple_of": None,
    }
    if "steps_per_generation" in usual:
        steps, n_processes = config.gradient_accumulation_steps, cast("int", config.world_size)
        batch = config.per_device_train_batch_size * n_processes * steps
        usual |= {"steps_per_generation": steps, "generation_batch_size": batch}
    return usual


def _told(config: TrainingArguments) -> Iterator[tuple[str, object]]:
    for field in dataclasses.fields(config):
        if field.init and field.name not in _UNTOLD:
            yield field.name, _plain(getattr(config, field.name))


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return str(value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {
            str(name): _plain(item) for name, item in cast("Mapping[object, object]", value).items()
        }
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in cast("Collection[object]", value)]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
