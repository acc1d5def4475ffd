"""The trainings of a recipe, and the models of its roles.

Example:
    >>> models = open_role_models(recipe, "embedded")
    >>> trainer = RecipeTrainer(recipe, prompts, constitution, Path("runs/mine"))
    >>> trainer.train(recipe.train[0], models, RunOptions(), Console())
    '40 steps in 12.3 s, loss 1.23'
"""

import signal
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from rich.console import Console

from cai.constitution.schema import Constitution
from cai.engine.budget import Caps, Ledger, load_prices
from cai.engine.run_folder import RunFolder
from cai.errors import UsageError
from cai.methods.roles import RoleModel
from cai.methods.settings import DecodingSettings, JudgeSettings, ModelRole, ScoreSettings
from cai.models.base import Model
from cai.models.registry import open_model
from cai.pipeline.checks import reward_models
from cai.pipeline.order import data_of, is_trained, start_of
from cai.pipeline.schema import STEP_NAMES, Recipe, RlTraining, TrainStep
from cai.runs.execution import SIGNALS
from cai.runs.options import RunOptions
from cai.training.data.load import load_training_data
from cai.training.folder import TrainFolder
from cai.training.plan import TrainPlan
from cai.training.settings import TrainerSettings
from cai.training.trainers import shown_metrics

if TYPE_CHECKING:
    from cai.training.rewards.spec import RewardSpec

S = TypeVar("S", bound=DecodingSettings | JudgeSettings | ScoreSettings)


@dataclass(frozen=True, slots=True)
class RoleModels:
    """The model of each role with its templates; roles that are not named have the default.

    `start` is the spec of the model that trainings start from where the recipe names none. The
    `jury` are more judges beside the judge.
    """

    default: Model
    roles: Mapping[ModelRole, Model]
    templates: str | None = None
    start: str | None = None
    jury: tuple[Model, ...] = ()

    def sampled(self, role: ModelRole, settings: DecodingSettings, temperature: float) -> RoleModel:
        """The model of the role, sampled as the step says."""
        model = self.roles.get(role, self.default)
        return self._with_templates(settings).role_model(model, temperature)

    def judges(self, settings: JudgeSettings | ScoreSettings) -> tuple[RoleModel, ...]:
        """The judge, and the jury after it."""
        with_templates = self._with_templates(settings)
        models = (self.roles.get("judge", self.default), *self.jury)
        return tuple(with_templates.role_model(model) for model in models)

    def with_model(self, model: Model, roles: tuple[ModelRole, ...]) -> "RoleModels":
        """The same, with that model in these roles."""
        return replace(self, roles={**self.roles, **dict.fromkeys(roles, model)})

    def _with_templates(self, settings: S) -> S:
        """The settings with the recipe's templates where the step names none."""
        return settings.model_copy(update={"templates": settings.templates or self.templates})


def open_role_models(recipe: Recipe, model: str | None) -> RoleModels:
    """The recipe's models, opened, except policies of trainings; `model` for roles that have none.

    Raises:
        UsageError: No model is named, or the jury has a policy of a training.
        ModelError: A model does not exist or cannot be loaded.
    """
    specs: dict[ModelRole, str] = {
        role: spec for role, spec in recipe.models.items() if not is_trained(spec)
    }
    for spec in recipe.jury:
        if is_trained(spec):
            raise UsageError(
                f"The jury of the recipe {recipe.name!r} has {spec!r}, which is not trained yet. "
                "A policy of the recipe can be its judge; name the others of the jury as models."
            )
    default = model or specs.get("respond")
    if default is None:
        raise UsageError("Name a model with -m, or in the recipe under models: respond.")
    # one that is named twice is opened once: its weights are in memory once
    named = {default, *specs.values(), *recipe.jury}
    opened: dict[str, Model] = {spec: open_model(spec) for spec in sorted(named)}
    by_role: dict[ModelRole, Model] = {role: opened[spec] for role, spec in specs.items()}
    jury = tuple(opened[spec] for spec in recipe.jury)
    start = recipe.models.get("respond", model)
    return RoleModels(opened[default], by_role, recipe.templates, start, jury)


SETTINGS_OF = "settings of the training"


@dataclass(frozen=True, slots=True)
class RecipeTrainer:
    """What the trainings of a recipe have in common."""

    recipe: Recipe
    prompts: tuple[str, ...]
    constitution: Constitution
    out: Path

    def check(self) -> None:
        """Checks the settings of all trainings.

        Raises:
            TrainingError: Some are unknown, or exclude each other.
        """
        # TRL's own checks, days before the training itself would fail on them.
        from cai.training.setup import configure  # heavy: torch, trl

        for training in self.recipe.train:
            labels = training.part.label_plan if training.spec.takes_labels else None
            configure(training.spec, self._plan(training, None), labels)

    def train(
        self, training: TrainStep, models: RoleModels, run_options: RunOptions, console: Console
    ) -> str:
        """Trains unless it was done before; returns a line about it.

        Raises:
            CaiError: As the functions of `cai.training`.
        """
        from cai.training.run import train  # heavy: torch, trl

        spec, part, seed = training.spec, training.part, self.recipe.seed
        names = data_of(self.recipe, training)
        places = [str(self.out / name) if name in STEP_NAMES else name for name in names]
        data = load_training_data(
            places or self.prompts,
            spec.rows,
            part.mixing(seed).mixes,
            selection=part.selection,
            eval_share=part.eval_share,
            seed=seed,
            # --limit is of the recipe's prompts; the runs of earlier steps are limited already
            limit=None if places else run_options.limit,
            skip_bad_rows=part.skip_bad_rows,
        )
        for line in data.describe():
            console.print(line, markup=False, highlight=False)
        with _interruptible():
            trained = train(
                spec.name,
                data,
                self._plan(training, models.start),
                console,
                labels=part.label_plan if spec.takes_labels else None,
                rewards=self._rewards(training, models, run_options) if spec.uses_rewards else None,
            )
        figures = trained.figures
        steps = f"{figures['steps']} steps in {figures['seconds']} s"
        last = cast("Mapping[str, object]", figures.get("train") or {})
        return ", ".join([steps if trained.is_new else "done before", *shown_metrics(last)])

    def caps_after(self, training: TrainStep, run_options: RunOptions) -> Caps:
        """The caps less what the judges of its rewards used."""
        judging = TrainFolder(self.out / training.name).judging
        if not judging.is_dir():
            return run_options.caps
        with RunFolder.existing(judging) as run:
            return run_options.caps.after(Ledger.of(run.database, load_prices(run_options.prices)))

    def _plan(self, training: TrainStep, default: str | None) -> TrainPlan:
        start = start_of(self.recipe, training)
        model = f"hf:{self.out / start.name}" if isinstance(start, TrainStep) else start or default
        out, given = self.out / training.name, training.part.settings
        places = dict.fromkeys(given, f"{SETTINGS_OF} {training.name}")
        # A folder that exists is of an earlier start of this recipe, which went on or is finished:
        # a name that is taken by anything else was refused by the checks.
        settings, resumes = TrainerSettings(given, places), out.exists()
        return TrainPlan(model or "", out, settings, self.recipe.seed, resumes=resumes)

    def _rewards(
        self, training: TrainStep, models: RoleModels, run_options: RunOptions
    ) -> "RewardSpec":
        # heavy: transformers
        from cai.training.rewards.spec import (
            JudgeRewardSpec,
            ModelRewardSpec,
            PenaltySpec,
            RewardSpec,
            ScoreRewardSpec,
        )

        part = training.part
        assert isinstance(part, RlTraining)
        judge = score = None
        # stored with the run as the command's own settings, without what only recipes have
        if part.judge is not None:
            judging = JudgeSettings.from_settings(part.judge)
            judge = JudgeRewardSpec(
                models.judges(judging),
                self.constitution,
                judging,
                opponents=part.judge.opponents,
                weight=part.judge.weight,
                apart=part.judge.apart,
            )
        if part.score is not None:
            scoring = ScoreSettings.from_settings(part.score)
            judges, weight, apart = models.judges(scoring), part.score.weight, part.score.apart
            score = ScoreRewardSpec(judges, self.constitution, scoring, weight, apart)
        weights = part.penalties
        return RewardSpec(
            trained=tuple(
                ModelRewardSpec(
                    str(self.out / model.name) if isinstance(model, TrainStep) else model, weight
                )
                for model, weight in reward_models(self.recipe, training)
            ),
            judge=judge,
            score=score,
            penalties=PenaltySpec(
                weights.length, weights.free_tokens, evasiveness=weights.evasiveness
            ),
            caps=run_options.caps,
            prices=load_prices(run_options.prices),
            concurrency=run_options.concurrency,
            seed=self.recipe.seed,
        )


@contextmanager
def _interruptible() -> Generator[None]:
    """Lets Ctrl-C and SIGTERM end a training at once."""
    # The training blocks the event loop, whose own handlers only set a flag for the loop to read:
    # it would hear of neither. Python's default handler raises in the middle of the training.
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = {each: signal.signal(each, signal.default_int_handler) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
