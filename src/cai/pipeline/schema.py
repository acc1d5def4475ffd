"""A recipe: several steps of the chain in one YAML file, with the words of the command line."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from cai.export.formats import Format
from cai.export.mix_spec import Mix, Mixing
from cai.export.selection import PairChoice, Selection
from cai.methods.judging.pairwise import JudgePlan
from cai.methods.judging.ranking import Pairing
from cai.pipeline.train_steps import (
    Count,
    Margin,
    Part,
    Role,
    Share,
    StepName,
    Switch,
    Temperature,
    Text,
    TrainStep,
)

RECIPE_VERSION = 1


class _Draws(Part):
    """How answers are drawn."""

    top_p: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(strict=True, ge=0)] = 0
    max_tokens: Count = 512


class ReviseStep(_Draws):
    """As `cai revise`."""

    rounds: Annotated[int, Field(strict=True, ge=0, le=64)] = 1
    tags: tuple[Text, ...] = ()
    few_shots: Annotated[int, Field(strict=True, ge=0)] = 0
    direct: Switch = False
    minimal: Switch = False
    stop_early: Switch = False
    temperature: Temperature = 1.0
    revision_temperature: Temperature = 0.3


class SampleStep(_Draws):
    """As `cai sample`: `k` responses at each of the temperatures."""

    k: Count = 4
    temperatures: Annotated[tuple[Temperature, ...], Field(min_length=1)] = (1.0,)


class JudgeStep(Part):
    """As `cai judge`, on the samples if there are any, else on revisions against originals."""

    of: Literal["sample", "revise"] | None = None
    principles: Literal["all"] | Count = "all"
    tags: tuple[Text, ...] = ()
    pairing: Pairing = "all"
    rationale: Switch = False
    clamp: tuple[Share, Share] | None = (0.4, 0.6)
    samples: Count = 1
    negated: Switch = False
    few_shots: Annotated[int, Field(strict=True, ge=0)] = 0
    tie_margin: Margin = 0.0
    verdicts: Literal["auto", "logprobs", "parsed"] = "auto"
    temperature: Temperature = 0.0
    max_tokens: Count = 512

    @property
    def plan(self) -> JudgePlan:
        return JudgePlan(
            tags=self.tags,
            n_principles=None if self.principles == "all" else self.principles,
            has_rationale=self.rationale,
            clamp=self.clamp,
            samples=self.samples,
            with_negated=self.negated,
            few_shots=self.few_shots,
            tie_margin=self.tie_margin,
        )


class ScoreStep(Part):
    """As `cai score`, on the samples if there are any, else on the revisions."""

    of: Literal["sample", "revise"] | None = None
    kind: Literal["mark", "check"] = "mark"
    tags: tuple[Text, ...] = ()
    samples: Count = 1
    verdicts: Literal["auto", "logprobs", "parsed"] = "auto"
    temperature: Temperature = 0.0
    max_tokens: Count = 512


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
    revise: ReviseStep | None = None
    sample: SampleStep | None = None
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
