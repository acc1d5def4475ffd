"""TRL's own config objects, from settings that are checked before anything is loaded.

A field may come from a person, from cai because the way it trains needs it (fixed), or from cai
where nothing was said (a default). What TRL would find wrong much later, or ignore, is refused.

What cai sets of every trainer, what it sets where nobody says anything, and its surroundings.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import dataclasses
import os
import typing
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from datasets.utils.logging import disable_progress_bar, enable_progress_bar
from huggingface_hub import constants
from transformers import TrainingArguments
from transformers.utils import logging as transformers_logging
from transformers.utils.import_utils import is_torch_bf16_gpu_available

from cai.errors import TrainingError
from cai.training.config_checks import Machine, choices, refused, secret_in
from cai.training.config_values import Misfit, fitted, nearest
from cai.training.folder import TrainFolder
from cai.training.settings import Trainer, place
from cai.training.trl import (
    DPOConfig,
    GRPOConfig,
    KTOConfig,
    RewardConfig,
    RLOOConfig,
    SFTConfig,
)

CONFIGS: Mapping[Trainer, type[TrainingArguments]] = {
    "sft": SFTConfig,
    "reward": RewardConfig,
    "dpo": DPOConfig,
    "kto": KTOConfig,
    "grpo": GRPOConfig,
    "rloo": RLOOConfig,
}

OPTIONS: Mapping[str, str] = {
    "output_dir": "--out",
    "resume_from_checkpoint": "--resume",
    "report_to": "--report-to",
    "seed": "--seed",
}
"""Of the fields that cai sets, the options of `cai train` that say them."""

_RENAMED = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}
"""Old names that TRL still has a default for; both are taken."""

_ALSO_FILES = {"deepspeed", "fsdp_config", "accelerator_config"}  # read of JSON where they are text
_ALSO_BOOLEAN = {"scale_rewards"}  # TRL takes true for "group" and false for "none"


def config_of(
    trainer: Trainer,
    block: Mapping[str, object],
    fixed: Mapping[str, object],
    defaults: Mapping[str, object],
) -> TrainingArguments:
    """The trainer's config: each field as fixed, or as in the block, or by default, ours or TRL's.

    `bf16` is on where nothing is said and the GPU has it. The block `lora` is none of these fields.

    Raises:
        TrainingError: Fields that there are not, or whose values do not fit, or cannot be together;
            one line for each.
    """
    given = {name: value for name, value in block.items() if name != "lora"}
    values, problems = _checked(trainer, given, fixed, block)
    if not problems:
        merged = _merged(values, fixed, defaults)
        problems = [
            f"{place(block, name)}: {name!r} {sentence}"
            for name, sentence in refused(trainer, merged, machine())
        ]
        if not problems:
            merged.setdefault("use_cpu", not machine().has_gpu)
            return _made(trainer, merged, block)
    more = [f"And {len(problems) - 10} more."] if len(problems) > 10 else []
    raise TrainingError("\n".join([*problems[:10], *more]))


def machine() -> Machine:
    """What the devices of this machine can compute in."""
    has_gpu = torch.accelerator.is_available()
    is_emulated = torch.cuda.is_available() and not torch.cuda.is_bf16_supported(
        including_emulation=False
    )
    return Machine(has_gpu, bool(is_torch_bf16_gpu_available()) and not is_emulated)


def _checked(
    trainer: Trainer,
    given: Mapping[str, object],
    fixed: Mapping[str, object],
    block: Mapping[str, object],
) -> tuple[dict[str, object], list[str]]:
    """The values as TRL has them, and what is wrong with the others."""
    annotations = typing.get_type_hints(CONFIGS[trainer])
    fields = {field.name: field for field in dataclasses.fields(CONFIGS[trainer])}
    values: dict[str, object] = {}
    problems: list[str] = []
    for name, value in given.items():
        where = place(block, name)
        secret = secret_in(name, value)
        if secret is not None:
            problems.append(
                f"{where}: {secret!r} is a secret, and settings are kept with the run. Log in with "
                "`hf auth login`, or set the environment variable HF_TOKEN."
            )
        elif name in fixed:
            problems.append(f"{where}: {name!r} is set by cai itself. {_instead(name)}")
        elif name not in fields:
            problems.append(
                f"{where}: {name!r} is no setting of {trainer} ({CONFIGS[trainer].__name__})."
                f"{nearest(name, list(fields)) or ' Leave it out.'}"
            )
        else:
            known = choices(trainer, name, fields[name].metadata)
            try:
                values[name] = _value(name, value, annotations[name], known)
            except Misfit as misfit:
                problems.append(f"{where}: {name!r} is {value!r}, where {misfit}")
    return values, problems


def _instead(name: str) -> str:
    return f"Use {OPTIONS[name]} instead." if name in OPTIONS else "Leave it out."


def _value(name: str, value: object, annotation: object, known: tuple[str, ...]) -> object:
    if name in _ALSO_BOOLEAN and isinstance(value, bool):
        return value
    if isinstance(value, str) and name not in _ALSO_FILES and dict in _parts(annotation):
        raise Misfit("a mapping is wanted.")
    if name == "loss_type" and annotation == list[str] and isinstance(value, str):
        value = [value]
    found = fitted(value, annotation)
    for one in typing.cast("list[object]", found) if isinstance(found, list) else [found]:
        if known and one is not None and one not in known:
            hint = nearest(str(one), known)
            raise Misfit(f"one of {', '.join(known)} is wanted.{hint}")
    return typing.cast("object", found)


def _parts(annotation: object) -> set[object]:
    """The kinds that a union joins, without what is in them."""
    parts = typing.get_args(annotation) or (annotation,)
    return {typing.get_origin(part) or part for part in parts}


def _merged(
    values: Mapping[str, object], fixed: Mapping[str, object], defaults: Mapping[str, object]
) -> dict[str, object]:
    merged = {**defaults, **values, **fixed}
    if merged.get("bf16") is None:
        has_bf16 = machine().has_bf16 and not merged.get("use_cpu")
        merged["bf16"] = has_bf16 and not merged.get("fp16")
    for old, new in _RENAMED.items():
        if old in merged:
            merged.setdefault(new, merged.pop(old))
    if merged.get("activation_checkpointing") is None:
        merged["activation_checkpointing"] = True  # TRL's own default, by the name that stays
    return merged


def _made(
    trainer: Trainer, merged: Mapping[str, object], block: Mapping[str, object]
) -> TrainingArguments:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            config = CONFIGS[trainer](**merged)  # pyright: ignore[reportArgumentType]
        except (ValueError, TypeError, NotImplementedError, ImportError, OSError) as error:
            reason = " ".join(str(error).split()).replace("--", "")
            raise TrainingError(
                f"{_places(reason, block)}: {CONFIGS[trainer].__name__} refuses these settings: "
                f"{reason.rstrip('.')}."
            ) from None
    old = [
        f"{place(block, name)}: {name!r} is out of date: {' '.join(str(one.message).split())}"
        for one in caught
        if issubclass(one.category, FutureWarning | DeprecationWarning)
        for name in block
        if f"`{name}`" in str(one.message) or f"'{block[name]}'" in str(one.message)
    ]
    if old:
        raise TrainingError("\n".join(old))
    return config


def _places(reason: str, block: Mapping[str, object]) -> str:
    """Where the settings were written of which the reason speaks."""
    named = [place(block, name) for name in block if name in reason]
    return ", ".join(dict.fromkeys(named)) or "settings"


_LIBRARIES = r"(transformers|trl|peft|accelerate)\."
"""They tell one another by warnings of names that will change; a user can do nothing about it."""


def fixed_fields(folder: TrainFolder, seed: int, reports: tuple[str, ...]) -> dict[str, object]:
    """The fields of any trainer's config that cai sets.

    Raises:
        TrainingError: A tracker is not installed.
    """
    for report in reports:
        if find_spec(report) is None:
            raise TrainingError(f"--report-to {report}: it is not installed. pip install {report}")
    return {
        "disable_tqdm": True,
        "output_dir": str(folder.checkpoints),
        "seed": seed,
        "report_to": ["tensorboard", *reports],
    }


def default_fields() -> dict[str, object]:
    """Ours where nothing is said: on a CPU nothing is recomputed to save memory that is there."""
    return {
        "save_total_limit": 2,
        "activation_checkpointing": torch.accelerator.is_available(),
        "use_cpu": not torch.accelerator.is_available(),
    }


@contextmanager
def quiet_libraries(folder: TrainFolder) -> Generator[None]:
    """TensorBoard's folder; no bars and advice on the console, and no word to anybody outside.

    TRL tells the hub which trainer is made, on which device. The constant that forbids it is read
    from the environment once, long before.
    """
    level = transformers_logging.get_verbosity()
    wanted = {"TENSORBOARD_LOGGING_DIR": str(folder.logs), "TQDM_DISABLE": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    disable_progress_bar()
    had_telemetry = not constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module=_LIBRARIES)
            yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = not had_telemetry
        enable_progress_bar()
        transformers_logging.enable_progress_bar()
        transformers_logging.set_verbosity(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
