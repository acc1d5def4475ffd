"""LoRA: small matrices beside frozen weights. Hu et al. 2021, arXiv:2106.09685.

The adapters of a reward model carry its score head too, which is new and has to be trained whole.
"""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from peft import LoraConfig, TaskType

from cai.errors import TrainingError
from cai.training.config_values import Misfit, fitted, nearest
from cai.training.settings import Trainer, place


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """The rank `r`, the scale `alpha / r`, the dropout before it, and which layers get adapters."""

    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: Literal["all-linear"] | list[str] = "all-linear"
    """All linear layers but the last, or those of these names."""


def lora_settings(block: Mapping[str, object]) -> LoraSettings:
    """The settings of a block `lora:`, with defaults for what it leaves out.

    Raises:
        TrainingError: Names that there are not, or values that do not fit; one line for each.
    """
    annotations = typing.get_type_hints(LoraSettings)
    values: dict[str, object] = {}
    problems: list[str] = []
    for name, value in block.items():
        where = f"{place(block, name)}: {f'lora.{name}'!r}"
        if name not in annotations:
            known = ", ".join(annotations)
            hint = nearest(name, list(annotations)) or f" Known here: {known}."
            problems.append(f"{where} is no setting of LoRA.{hint}")
            continue
        try:
            values[name] = fitted(value, annotations[name])
        except Misfit as misfit:
            problems.append(f"{where} is {value!r}, where {misfit}")
    settings = dataclasses.replace(LoraSettings(), **typing.cast("dict[str, typing.Any]", values))
    problems += [f"{place(block, name)}: 'lora.{name}' {why}" for name, why in _wrong(settings)]
    if problems:
        raise TrainingError("\n".join(problems))
    return settings


def _wrong(settings: LoraSettings) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in (("r", settings.r), ("alpha", settings.alpha)):
        if value < 1:
            found.append((name, f"is {value}. It is 1 at the least."))
    if not 0 <= settings.dropout < 1:
        found.append(("dropout", f"is {settings.dropout:g}. It is a share, from 0 to below 1."))
    if not settings.targets:
        found.append(("targets", "is empty. Name layers, or write `targets: all-linear`."))
    return found


def lora_config(settings: LoraSettings, trainer: Trainer) -> LoraConfig:
    """The adapters as peft has them, for a model that scores or one that writes."""
    is_reward = trainer == "reward"
    return LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.targets,
        modules_to_save=["score"] if is_reward else None,
        task_type=TaskType.SEQ_CLS if is_reward else TaskType.CAUSAL_LM,
    )
