"""TRL's own config objects, from settings that are checked before anything is loaded.

A field may be set by a user, by cai because the training depends on it (fixed), or by cai where
the user sets nothing (a default). Names, types and defaults of the fields are those of TRL's
dataclasses: values are parsed by their annotations, and TRL's own checks come after that.

Example:
    settings = read_settings("dpo.yaml", ["learning_rate=1e-6"])
    config = make_config(TRAINERS["dpo"], settings, fixed={"output_dir": "out"}, defaults={})

LoRA puts small matrices beside frozen weights (Hu et al. 2021, arXiv:2106.09685); its settings are
the block `lora`. The adapters of a reward model include its score head, which is new and has to be
trained in full.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import dataclasses
import json
import os
import re
import typing
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from importlib.util import find_spec
from typing import Annotated, Any, Literal, cast

import torch
from datasets.utils.logging import disable_progress_bar, enable_progress_bar
from huggingface_hub import constants
from peft import LoraConfig, TaskType
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from transformers import TrainingArguments
from transformers.utils import logging as transformers_logging
from transformers.utils.import_utils import is_torch_bf16_gpu_available

from cai.errors import TrainingError
from cai.suggest import did_you_mean
from cai.training.config_checks import Machine, problems_of, secret_in
from cai.training.folder import TrainFolder
from cai.training.settings import place
from cai.training.trainers import Head, TrainerSpec
from cai.training.trl import config_class

OPTIONS: Mapping[str, str] = {
    "output_dir": "--out",
    "resume_from_checkpoint": "--resume",
    "report_to": "--report-to",
    "seed": "--seed",
}
"""The options of `cai train` for fields that cai sets."""

_RENAMED = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}
"""Old names that TRL still has a default for; both are accepted."""

_MAPPINGS_OR_FILES = {"deepspeed", "fsdp_config", "accelerator_config"}
"""Mappings that transformers also reads from a JSON file; text in any other would fail late."""


def make_config(
    spec: TrainerSpec,
    settings: Mapping[str, object],
    fixed: Mapping[str, object],
    defaults: Mapping[str, object],
) -> TrainingArguments:
    """The trainer's config: each field as fixed, else as in the settings, else the default.

    Without a setting, `bf16` is on where the GPU has it. The block `lora` is not a field.

    Raises:
        TrainingError: Unknown fields, values that do not fit, or ones that exclude each other; one
            line for each of the first ten.
    """
    given = {name: value for name, value in settings.items() if name != "lora"}
    values: dict[str, object] = {}
    problems: list[str] = []
    for name, value in given.items():
        try:
            values[name] = _parsed(spec, name, value, fixed)
        except ValueError as error:
            problems.append(f"{place(settings, name)}: {error}")
    if not problems:
        merged = {**defaults, **values, **fixed}
        # TRL's own default is true, and fails where the device has no bfloat16
        if merged.get("bf16") is None:
            has_bf16 = machine().has_bf16 and not merged.get("use_cpu")
            merged["bf16"] = has_bf16 and not merged.get("fp16")
        # TRL warns of the old names, which would be an error below; of both names the new one wins
        for old, new in _RENAMED.items():
            if old in merged:
                merged.setdefault(new, merged.pop(old))
        if merged.get("activation_checkpointing") is None:
            merged["activation_checkpointing"] = True  # TRL's own default, by the new name
        # before TRL's own checks, which stop at the first problem: here all are reported together
        by_name = dict(problems_of(spec, merged, machine()))
        problems = [f"{place(settings, name)}: {name!r} {why}" for name, why in by_name.items()]
        if not problems:
            merged.setdefault("use_cpu", not machine().has_gpu)
            return _instance(spec, merged, settings)
    more = [f"And {len(problems) - 10} more."] if len(problems) > 10 else []
    raise TrainingError("\n".join([*problems[:10], *more]))


def machine() -> Machine:
    """What the devices of this machine can compute in."""
    has_gpu = torch.accelerator.is_available()
    is_emulated = torch.cuda.is_available() and not torch.cuda.is_bf16_supported(
        including_emulation=False
    )
    return Machine(has_gpu, bool(is_torch_bf16_gpu_available()) and not is_emulated)


def _parsed(spec: TrainerSpec, name: str, value: object, fixed: Mapping[str, object]) -> object:
    """The value as the field's annotation has it; a ValueError where users cannot set it so."""
    fields = {field.name: field for field in dataclasses.fields(config_class(spec))}
    # first, so that no later message shows the value of a secret
    secret = secret_in(name, value)
    if secret is not None:
        raise ValueError(
            f"{secret!r} is a secret, and settings are saved with the run. Log in with "
            "`hf auth login`, or set the environment variable HF_TOKEN."
        )
    if name in fixed:
        instead = f"Use {OPTIONS[name]} instead." if name in OPTIONS else "Leave it out."
        raise ValueError(f"{name!r} is set by cai itself. {instead}")
    if name not in fields:
        hint = did_you_mean(name, fields, "Leave it out.", n=3)
        raise ValueError(f"{name!r} is not a setting of {spec.name} ({spec.trl}Config). {hint}")
    annotation = typing.get_type_hints(config_class(spec))[name]
    if spec.name == "grpo" and name == "scale_rewards" and isinstance(value, bool):
        return value  # TRL's annotation says text, and TRL takes true for "group", false for "none"
    parsed = parse_value(value, annotation, name)
    enumerated = [str(each.value) for enum in _enums(annotation) for each in enum]
    choices = spec.choices.get(name) or fields[name].metadata.get("choices") or enumerated
    for item in cast("list[object]", parsed) if isinstance(parsed, list) else [parsed]:
        if choices and item is not None and item not in choices:
            hint = did_you_mean(str(item), [str(each) for each in choices])
            raise ValueError(
                f"{name!r} is {item!r}. It must be one of {', '.join(choices)}. {hint}".rstrip()
            )
    return parsed


def _instance(
    spec: TrainerSpec, merged: Mapping[str, object], settings: Mapping[str, object]
) -> TrainingArguments:
    """TRL's config; what its own checks refuse, or warn of as deprecated, is an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            config = config_class(spec)(**merged)  # pyright: ignore[reportArgumentType]
        except (ValueError, TypeError, NotImplementedError, ImportError, OSError) as error:
            # transformers writes settings as options of a command line, which they are not here
            reason = " ".join(str(error).split()).replace("--", "")
            named = [place(settings, name) for name in settings if name in reason]
            raise TrainingError(
                f"{', '.join(dict.fromkeys(named)) or 'settings'}: {spec.trl}Config refuses these "
                f"settings: {reason.rstrip('.')}."
            ) from None
    # a name that will be removed would break the same file in the next release of TRL, so it is an
    # error now; warnings of TRL's defaults, which name no setting of the file, are not
    deprecated = [
        f"{place(settings, name)}: {name!r} is out of date: {' '.join(str(one.message).split())}"
        for one in caught
        if issubclass(one.category, FutureWarning | DeprecationWarning)
        for name in settings
        if f"`{name}`" in str(one.message) or f"'{settings[name]}'" in str(one.message)
    ]
    if deprecated:
        raise TrainingError("\n".join(deprecated))
    return config


def parse_value(value: object, annotation: object, name: str) -> object:
    """A value from YAML as the annotation has it: "1e-4" as a number, a list as a tuple.

    Raises:
        ValueError: It does not fit.
    """
    if value is False and any("no" in [each.value for each in enum] for enum in _enums(annotation)):
        return "no"  # YAML 1.1 reads `save_strategy: no` as a boolean
    # as on transformers' command line: one name for a list of one
    if isinstance(value, str) and annotation == list[str]:
        value = [value]
    is_text_of_mapping = isinstance(value, str) and dict in _members(annotation)
    if not is_text_of_mapping or name in _MAPPINGS_OR_FILES:
        config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
        adapter = cast("TypeAdapter[object]", TypeAdapter(cast(Any, annotation), config=config))
        # strict, so that true is no number; as JSON, so that a list is a tuple where one is due
        with suppress(ValidationError, TypeError):
            parsed = adapter.validate_json(json.dumps(value), strict=True)
            if not dataclasses.is_dataclass(parsed):  # pydantic would drop keys that it has not
                return parsed
        if isinstance(value, str | list):  # "1e-4" is text in YAML 1.1
            with suppress(ValidationError):
                return adapter.validate_python(value)
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    in_words = "a mapping" if is_text_of_mapping else re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)
    raise ValueError(f"{name!r} is {value!r}. It must be {in_words}.")


def _members(annotation: object) -> list[object]:
    """The types that a union joins, without their own arguments."""
    members = typing.get_args(annotation) or (annotation,)
    return [typing.get_origin(member) or member for member in members]


def _enums(annotation: object) -> list[type[Enum]]:
    members = _members(annotation)
    return [each for each in members if isinstance(each, type) and issubclass(each, Enum)]


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
    """Our own defaults: on a CPU, memory is plentiful, and activations are not recomputed."""
    return {
        "save_total_limit": 2,
        "activation_checkpointing": torch.accelerator.is_available(),
        "use_cpu": not torch.accelerator.is_available(),
    }


_LIBRARIES = r"(transformers|trl|peft|accelerate)\."
"""They warn one another of names that will change, which a user cannot do anything about."""


@contextmanager
def quiet_libraries(folder: TrainFolder) -> Generator[None]:
    """Sets TensorBoard's folder; no bars and advice on the console, and no telemetry.

    TRL reports to the hub which trainer is made, on which device. The constant that forbids it is
    read from the environment once, when the hub's library is imported, so it is set here itself.
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


class LoraSettings(BaseModel):
    """The rank `r`, the scale `alpha / r`, the dropout before it, and which layers get adapters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    r: Annotated[int, Field(ge=1)] = 16
    alpha: Annotated[int, Field(ge=1)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"
    """All linear layers but the last, or those of these names."""


def lora_settings(block: Mapping[str, object]) -> LoraSettings:
    """The settings of a block `lora:`, with defaults for what it leaves out.

    Raises:
        TrainingError: Unknown names, or values that do not fit; one line for each.
    """
    try:
        return LoraSettings.model_validate(dict(block))
    except ValidationError as error:
        problems: dict[str, str] = {}
        for details in error.errors():
            name = str(details["loc"][0])
            if details["type"] == "extra_forbidden":
                known = LoraSettings.model_fields
                hint = did_you_mean(name, known, f"Known here: {', '.join(known)}.")
                why = f"is not a setting of LoRA. {hint}"
            else:
                why = f"is {block[name]!r}. {details['msg']}."
            # of a union pydantic reports each member, and one line is enough
            problems.setdefault(name, f"{place(block, name)}: {f'lora.{name}'!r} {why}")
        raise TrainingError("\n".join(problems.values())) from None


def lora_config(settings: LoraSettings, head: Head) -> LoraConfig:
    """The adapters as peft has them, for a model with that head."""
    is_reward = head == "reward"
    return LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.targets,
        modules_to_save=["score"] if is_reward else None,
        task_type=TaskType.SEQ_CLS if is_reward else TaskType.CAUSAL_LM,
    )
