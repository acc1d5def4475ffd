"""A recipe: several steps of the method in one YAML file, in the terms of the command line.

Every part refuses unknown fields, so that a misspelled setting is an error and not a default.
Settings of a step are those of its command: `JudgeStep` is `JudgeSettings`, the source of the
options of `cai judge`, with what only a recipe needs.

Example:
    >>> recipe = Recipe(name="mine", revise={}, train=[{"sft": {"all_rounds": True}}])
    >>> recipe.steps, recipe.train[0].spec.name
    (('revise',), 'sft')
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from cai.export.data_files import Kind
from cai.export.formats import Format, Method
from cai.export.mix_spec import Mix, Mixing
from cai.export.selection import PairChoice, Selection
from cai.methods.judging.ranking import Pairing
from cai.methods.settings import (
    Count,
    JudgeSettings,
    Margin,
    ModelRole,
    ReviseSettings,
    SampleSettings,
    ScoreSettings,
    Share,
    StepSettings,
    Switch,
    Text,
)
from cai.training.plan import LabelKind, LabelPlan
from cai.training.trainers import TRAINERS, TrainerSpec

RECIPE_VERSION = 1

Weight = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
StepName: TypeAlias = Method
ResponseStep = Literal["sample", "revise"]

STEP_NAMES: tuple[StepName, ...] = get_args(Method)
ROLES: tuple[ModelRole, ...] = get_args(ModelRole)


class RecipePart(BaseModel):
    """A mapping of a recipe's file: unknown fields are refused, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class _Training(RecipePart):
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
        """The files mixed in, whose bad rows may be skipped. Raises UsageError, as `Mix.parse`."""
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


class PenaltyWeights(RecipePart):
    """Weights of the penalties, 0 for none; of tokens, `free_tokens` cost nothing."""

    length: Weight = 0.0
    free_tokens: Annotated[int, Field(strict=True, ge=0)] = 256
    evasiveness: Weight = 0.0


class RlTraining(_Training):
    """As `cai train grpo` and `cai train rloo`, on the recipe's prompts.

    `reward_models` are trainings before this one or folders, each with a weight after `*` where it
    is not 1; where no reward is named, the last reward model that was trained.
    """

    # nothing is held out: the reward itself is the measure, and there are no labels to compare with
    eval_share: Annotated[Share, Field(lt=1)] = 0.0
    reward_models: tuple[Text, ...] = ()
    judge: JudgeReward | None = None
    score: ScoreReward | None = None
    penalties: PenaltyWeights = PenaltyWeights()

    @property
    def judged_rewards(self) -> tuple[JudgeSettings | ScoreSettings, ...]:
        """The rewards for which the recipe's judge is asked."""
        return tuple(each for each in (self.judge, self.score) if each is not None)


AnyTraining: TypeAlias = SftTraining | PairTraining | UnpairedTraining | RlTraining

# By the rows and not by the trainer: a new trainer on known rows needs no part of its own.
PARTS: Mapping[Kind, type[AnyTraining]] = {
    "sft": SftTraining,
    "preference": PairTraining,
    "kto": UnpairedTraining,
    "prompts": RlTraining,
}
"""What can be set of a training, by the rows that its trainer takes."""


# One optional field for each trainer of the table: a trainer that is added there is known here.
_TRAINER_FIELDS: dict[str, Any] = {
    name: (PARTS[spec.rows] | None, None) for name, spec in TRAINERS.items()
}


class TrainStep(create_model("TrainStep", __base__=RecipePart, **_TRAINER_FIELDS)):
    """One item of `train`: a trainer's name over its settings, such as `- dpo: {}`."""

    @model_validator(mode="after")
    def _is_one(self) -> "TrainStep":
        if len(self._given) != 1:
            raise ValueError(
                f"expected one of {', '.join(TRAINERS)}, such as `- sft: {{}}`, each as an item "
                "of its own"
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


class StepOfResponses(BaseModel):
    """A step on the responses of another, by default on the samples if there are any."""

    of: ResponseStep | None = None


class JudgeStep(JudgeSettings, StepOfResponses):
    """As `cai judge`; revisions are judged against the first responses."""

    pairing: Pairing = "all"


class ScoreStep(ScoreSettings, StepOfResponses):
    """As `cai score`; of revisions the last text is scored."""


class ExportStep(RecipePart):
    """As `cai export`: `of` is the step whose run is exported, by default the last that can."""

    of: StepName | None = None
    file: Text | None = None
    pairs: PairChoice = "best-worst"
    min_margin: Margin = 0.0
    all_rounds: Switch = False
    sft_share: Share | None = None
    balance_length: Switch = False
    mix: tuple[Text, ...] = ()
    skip_bad_rows: Switch = False

    def mixing(self, seed: int) -> Mixing:
        """The files mixed in, whose bad rows may be skipped. Raises UsageError, as `Mix.parse`."""
        return Mixing(tuple(map(Mix.parse, self.mix)), seed, self.skip_bad_rows)

    @property
    def selection(self) -> Selection:
        return Selection(
            all_rounds=self.all_rounds,
            sft_share=self.sft_share,
            pairs=self.pairs,
            min_margin=self.min_margin,
            balances_length=self.balance_length,
        )

    def file_name(self, format: Format) -> str:
        """The file of this export; named by its format when the recipe names none."""
        return self.file or f"{format}.jsonl"


class Recipe(RecipePart):
    """Steps in the order revise, sample, judge, score, export, train; absent ones are not done.

    `models` are specs by role; a role that is absent has the model given on the command line, and
    without one that of `respond`. `train/NAME` is the policy of a training, which is then done
    before the steps that use it. `jury` are more judges beside the role of judge.
    """

    cai: Annotated[int, Field(strict=True, ge=1, le=RECIPE_VERSION)] = RECIPE_VERSION
    name: Text
    description: str = ""
    source: str = ""
    departures: str = ""
    constitution: Text | None = None
    prompts: tuple[Text, ...] = ()
    templates: Text | None = None
    models: Mapping[ModelRole, Text] = {}
    jury: tuple[Text, ...] = ()
    seed: Annotated[int, Field(strict=True)] = 0
    revise: ReviseSettings | None = None
    sample: SampleSettings | None = None
    judge: JudgeStep | None = None
    score: ScoreStep | None = None
    export: Mapping[Format, ExportStep] = {}
    train: tuple[TrainStep, ...] = ()

    @property
    def blocks(self) -> Mapping[StepName, StepSettings]:
        """The settings of the steps that are done, in their order; exports and trainings apart."""
        blocks: dict[StepName, StepSettings | None]
        blocks = {name: getattr(self, name) for name in STEP_NAMES}
        return {name: block for name, block in blocks.items() if block is not None}

    @property
    def steps(self) -> tuple[StepName, ...]:
        """The steps that are done, in their order."""
        return tuple(self.blocks)

    def responses_of(self, step: StepOfResponses) -> ResponseStep:
        """The step whose responses that step is on."""
        return step.of or ("sample" if self.sample is not None else "revise")
