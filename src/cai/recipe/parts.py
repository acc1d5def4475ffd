"""What the parts of a recipe are made of."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Temperature = Annotated[float, Field(strict=True, ge=0, le=100, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Margin = Annotated[float, Field(strict=True, ge=0, le=0.5, allow_inf_nan=False)]
Weight = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(min_length=1)]
StepName = Literal["revise", "sample", "judge", "score"]
Role = Literal["respond", "critique", "revise", "sample", "judge"]

STEP_NAMES: tuple[StepName, ...] = get_args(StepName)
ROLES: tuple[Role, ...] = get_args(Role)


class Part(BaseModel):
    """A mapping of a recipe's file: what is not known is refused, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
