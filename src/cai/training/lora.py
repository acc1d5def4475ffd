"""LoRA: small matrices beside frozen weights. Hu et al. 2021, arXiv:2106.09685.

The adapters of a reward model include its score head, which is new and has to be trained in full.

Example:
    settings = lora_settings({"r": 8})  # alpha 32, no dropout, all linear layers
    lora_config(settings, "language")
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from peft import LoraConfig, TaskType
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cai.errors import TrainingError
from cai.suggest import did_you_mean
from cai.training.settings import place
from cai.training.trainers import Head


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
