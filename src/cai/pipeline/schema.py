"""A recipe: several steps of the chain in one YAML file, with the words of the command line."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from cai.export.formats import Format
from cai.export.mix_spec import Mix, Mixing
from cai.export.selection import PairChoice, Selection
from cai.methods.judging.ranking import Pairing
from cai.methods.settings import (
    JudgeSettings,
    Margin,
    ReviseSettings,
    SampleSettings,
    ScoreSettings,
    Share,
    Switch,
    Text,
)
from cai.pipeline.train_steps import Part, Role, StepName, TrainStep

RECIPE_VERSION = 1


class JudgeStep(JudgeSettings):
    """As `cai judge`, on the samples if there are any, else on revisions against originals."""

    of: Literal["sample", "revise"] | None = None
    pairing: Pairing = "all"


class ScoreStep(ScoreSettings):
    """As `cai score`, on the samples if there are any, else on the revisions."""

    of: Literal["sample", "revise"] | None = None


class ExportStep(Part):
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
        """What is mixed in; `skip_bad_rows` is about its rows.

        Raises:
            UsageError: As `Mix.parse`.
        """
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


class Recipe(Part):
    """Steps in the order revise, sample, judge, score, export, train; absent ones are not done.

    `models` are specs by role; a role that is absent is played by the model given on the command
    line, and without one by that of `respond`. `train/NAME` is the policy of a training, which is
    then done before the steps in which it plays. `jury` judges beside the role of judge.
    """

    cai: Annotated[int, Field(strict=True, ge=1, le=RECIPE_VERSION)] = RECIPE_VERSION
    name: Text
    description: str = ""
    source: str = ""
    departures: str = ""
    constitution: Text | None = None
    prompts: tuple[Text, ...] = ()
    templates: Text | None = None
    models: Mapping[Role, Text] = {}
    jury: tuple[Text, ...] = ()
    seed: Annotated[int, Field(strict=True)] = 0
    revise: ReviseSettings | None = None
    sample: SampleSettings | None = None
    judge: JudgeStep | None = None
    score: ScoreStep | None = None
    export: Mapping[Format, ExportStep] = {}
    train: tuple[TrainStep, ...] = ()

    @property
    def steps(self) -> tuple[StepName, ...]:
        """The steps that are done, in their order; exports and trainings apart."""
        found: list[tuple[StepName, object]] = [
            ("revise", self.revise),
            ("sample", self.sample),
            ("judge", self.judge),
            ("score", self.score),
        ]
        return tuple(name for name, step in found if step is not None)

    def judged_step(self, step: JudgeStep | ScoreStep) -> StepName:
        """The step whose responses are judged or scored."""
        return step.of or ("sample" if self.sample is not None else "revise")
