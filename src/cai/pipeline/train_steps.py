"""The trainings of a recipe, in the terms of `cai train`, and the types that its parts share."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from cai.export.data_files import Kind
from cai.export.mix_spec import Mix, Mixing
from cai.export.selection import PairChoice, Selection
from cai.methods.settings import Count, JudgeSettings, Margin, ScoreSettings, Share, Switch, Text
from cai.training.plan import LabelKind, LabelPlan
from cai.training.trainers import TRAINERS, TrainerSpec

Weight = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
StepName = Literal["revise", "sample", "judge", "score"]
Role = Literal["respond", "critique", "revise", "sample", "judge"]

STEP_NAMES: tuple[StepName, ...] = get_args(StepName)
ROLES: tuple[Role, ...] = get_args(Role)


class Part(BaseModel):
    """A mapping of a recipe's file: what is not known is refused, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class _Training(Part):
    """What all trainings have.

    `name` is the folder, by default the trainer's name. `from` is a model, or the name of a
    training before this one; by default the last policy that was trained, else the model of
    `respond`. `data` are steps of this recipe, run folders or files.
    """

    name: Name | None = None
    start: Text | None = Field(default=None, alias="from")
    data: tuple[Text, ...] = ()
    mix: tuple[Text, ...] = ()
    eval_share: Annotated[Share, Field(lt=1)] = 0.05
    skip_bad_rows: Switch = False
    settings: Mapping[str, object] = {}

    def mixing(self, seed: int) -> Mixing:
        """What is mixed in.

        Raises:
            UsageError: As `Mix.parse`.
        """
        return Mixing(tuple(map(Mix.parse, self.mix)), seed, self.skip_bad_rows)

    @property
    def selection(self) -> Selection:
        return Selection()

    @property
    def label_plan(self) -> LabelPlan:
        return LabelPlan()


class SftTraining(_Training):
    """As `cai train sft`, on the revisions."""

    all_rounds: Switch = False
    sft_share: Share | None = None

    @property
    def selection(self) -> Selection:
        return Selection(all_rounds=self.all_rounds, sft_share=self.sft_share)


class UnpairedTraining(_Training):
    """On single responses of what was judged, each good or bad."""

    pairs: PairChoice = "best-worst"
    balance_length: Switch = False
    sft_share: Share | None = None

    @property
    def selection(self) -> Selection:
        return Selection(
            pairs=self.pairs, balances_length=self.balance_length, sft_share=self.sft_share
        )


class PairTraining(UnpairedTraining):
    """As `cai train reward` and `cai train dpo`, on what was judged."""

    labels: LabelKind = "soft"
    min_margin: Annotated[Margin, Field(lt=0.5)] = 0.0
    label_smoothing: Annotated[Margin, Field(lt=0.5)] = 0.0
    label_temperature: Annotated[Weight, Field(gt=0)] = 1.0

    @property
    def label_plan(self) -> LabelPlan:
        return LabelPlan(self.labels, self.min_margin, self.label_smoothing, self.label_temperature)


class JudgeReward(JudgeSettings):
    """The recipe's judge inside the group, as `cai train grpo --judge`."""

    opponents: Count | None = None
    apart: Switch = False
    weight: Weight = 1.0


class ScoreReward(ScoreSettings):
    """The recipe's judge scores each completion alone, as `cai train grpo --score`."""

    apart: Switch = False
    weight: Weight = 1.0


class PenaltyWeights(Part):
    """Weights of the penalties, 0 for none; of tokens, `free_tokens` cost nothing."""

    length: Weight = 0.0
    free_tokens: Annotated[int, Field(strict=True, ge=0)] = 256
    evasiveness: Weight = 0.0


class RlTraining(_Training):
    """As `cai train grpo` and `cai train rloo`, on the recipe's prompts.

    `reward_models` are trainings before this one or folders, each with a weight after `*` where it
    is not 1; where no reward is named, the last reward model that was trained.
    """

    eval_share: Annotated[Share, Field(lt=1)] = 0.0
    reward_models: tuple[Text, ...] = ()
    judge: JudgeReward | None = None
    score: ScoreReward | None = None
    penalties: PenaltyWeights = PenaltyWeights()


AnyTraining: TypeAlias = SftTraining | PairTraining | UnpairedTraining | RlTraining

PARTS: Mapping[Kind, type[AnyTraining]] = {
    "sft": SftTraining,
    "preference": PairTraining,
    "kto": UnpairedTraining,
    "prompts": RlTraining,
}
"""What can be set of a training, by the rows that its trainer takes."""


def _one_of_the_trainers() -> type[Part]:
    """A part with an optional field for each trainer of the table."""
    fields: dict[str, Any] = {
        name: (PARTS[spec.rows] | None, None) for name, spec in TRAINERS.items()
    }
    return create_model("TrainStep", __base__=Part, **fields)


class TrainStep(_one_of_the_trainers()):
    """One item of `train`: a trainer's name over its settings, such as `- dpo: {}`."""

    @model_validator(mode="after")
    def _is_one(self) -> "TrainStep":
        if len(self._given) != 1:
            raise ValueError(
                f"one of {', '.join(TRAINERS)} is wanted, such as `- sft: {{}}`, each an item of "
                "its own"
            )
        return self

    @property
    def _given(self) -> list[tuple[str, AnyTraining]]:
        parts = ((name, getattr(self, name)) for name in TRAINERS)
        return [(name, part) for name, part in parts if part is not None]

    @property
    def spec(self) -> TrainerSpec:
        return TRAINERS[self._given[0][0]]

    @property
    def part(self) -> AnyTraining:
        return self._given[0][1]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.part.name or self.spec.name

    def with_part(self, **changes: object) -> "TrainStep":
        """The same trainer with other settings."""
        return self.model_copy(update={self.spec.name: self.part.model_copy(update=changes)})
