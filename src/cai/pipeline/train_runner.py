"""The trainings of a recipe, and the models of its roles."""

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
from cai.methods.settings import DecodingSettings, JudgeSettings, ScoreSettings
from cai.models.base import Model
from cai.models.registry import open_model
from cai.pipeline.checks import reward_models
from cai.pipeline.order import data_of, is_trained, start_of
from cai.pipeline.schema import Recipe
from cai.pipeline.train_steps import STEP_NAMES, RlTraining, Role, TrainStep
from cai.runs.job import SIGNALS
from cai.runs.options import RunOptions
from cai.training.data.load import TrainingData, load_training_data
from cai.training.folder import TrainFolder
from cai.training.plan import TrainPlan
from cai.training.settings import Settings
from cai.training.trainers import shown_metrics

if TYPE_CHECKING:
    from cai.training.rewards.spec import JudgeRewardSpec, RewardSpec, ScoreRewardSpec
    from cai.training.run import Trained


S = TypeVar("S", bound=DecodingSettings | JudgeSettings | ScoreSettings)


@dataclass(frozen=True, slots=True)
class RoleModels:
    """The model of each role with its templates; roles that are not named have the default.

    `start` is the spec of the model that trainings start from where the recipe says nothing. The
    `jury` judges beside the judge.
    """

    default: Model
    roles: Mapping[Role, Model]
    templates: str | None = None
    start: str | None = None
    jury: tuple[Model, ...] = ()

    def sampled(self, role: Role, settings: DecodingSettings, temperature: float) -> RoleModel:
        """The model of the role, sampled as the step says."""
        model = self.roles.get(role, self.default)
        return self._with_templates(settings).role_model(model, temperature)

    def judges(self, settings: JudgeSettings | ScoreSettings) -> tuple[RoleModel, ...]:
        """The judge, and the jury after it."""
        with_templates = self._with_templates(settings)
        models = (self.roles.get("judge", self.default), *self.jury)
        return tuple(with_templates.role_model(model) for model in models)

    def with_model(self, model: Model, roles: tuple[Role, ...]) -> "RoleModels":
        """The same, with that model in these roles."""
        return replace(self, roles={**self.roles, **dict.fromkeys(roles, model)})

    def _with_templates(self, settings: S) -> S:
        """The settings with the recipe's templates where the step names none."""
        return settings.model_copy(update={"templates": settings.templates or self.templates})


def open_role_models(recipe: Recipe, model: str | None) -> RoleModels:
    """The recipe's models, opened, but of trainings; one that is named twice is opened once.

    `model` plays every role that has none.

    Raises:
        UsageError: No model is named, or the jury has one that is yet to be trained.
        ModelError: A model is not there or cannot be loaded.
    """
    specs: dict[Role, str] = {
        role: spec for role, spec in recipe.models.items() if not is_trained(spec)
    }
    for spec in recipe.jury:
        if is_trained(spec):
            raise UsageError(
                f"The jury of the recipe {recipe.name!r} has {spec!r}, which is yet to be trained. "
                "A policy of the recipe can be its judge; name the others of the jury as models."
            )
    default = model or specs.get("respond")
    if default is None:
        raise UsageError("Name a model with -m, or in the recipe under models: respond.")
    named = {default, *specs.values(), *recipe.jury}
    opened: dict[str, Model] = {spec: open_model(spec) for spec in sorted(named)}
    by_role: dict[Role, Model] = {role: opened[spec] for role, spec in specs.items()}
    jury = tuple(opened[spec] for spec in recipe.jury)
    start = recipe.models.get("respond", model)
    return RoleModels(opened[default], by_role, recipe.templates, start, jury)


PLACE = "settings of the training"


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
        from cai.training.setup import configure  # heavy: torch, trl

        for training in self.recipe.train:
            labels = training.part.label_plan if training.spec.takes_labels else None
            configure(training.spec, self._plan(training, None), labels)

    def train(
        self, training: TrainStep, models: RoleModels, run_options: RunOptions, console: Console
    ) -> str:
        """Trains, or finds that it was done before; a line about it.

        Raises:
            CaiError: As the functions of `cai.training`.
        """
        data = self._data(training, run_options)
        for line in data.describe():
            console.print(line, markup=False, highlight=False)
        with _interruptible():
            trained = self._trained(training, data, models, run_options, console)
        return _summary(trained)

    def caps_after(self, training: TrainStep, run_options: RunOptions) -> Caps:
        """What the judges of its rewards left of the caps."""
        judging = TrainFolder(self.out / training.name).judging
        if not judging.is_dir():
            return run_options.caps
        with RunFolder.existing(judging) as run:
            return run_options.caps.after(Ledger.of(run.database, load_prices(run_options.prices)))

    def _trained(
        self,
        training: TrainStep,
        data: TrainingData,
        models: RoleModels,
        run_options: RunOptions,
        console: Console,
    ) -> "Trained":
        from cai.training.run import train  # heavy: torch, trl

        spec, part = training.spec, training.part
        return train(
            spec.name,
            data,
            self._plan(training, models.start),
            console,
            labels=part.label_plan if spec.takes_labels else None,
            rewards=self._rewards(training, models, run_options) if spec.uses_rewards else None,
        )

    def _plan(self, training: TrainStep, default: str | None) -> TrainPlan:
        start = start_of(self.recipe, training)
        model = f"hf:{self.out / start.name}" if isinstance(start, TrainStep) else start or default
        out, given = self.out / training.name, training.part.settings
        places = dict.fromkeys(given, f"{PLACE} {training.name}")
        return TrainPlan(
            model or "", out, Settings(given, places), self.recipe.seed, resumes=out.exists()
        )

    def _data(self, training: TrainStep, run_options: RunOptions) -> TrainingData:
        part = training.part
        names = data_of(self.recipe, training)
        places = [str(self.out / name) if name in STEP_NAMES else name for name in names]
        return load_training_data(
            places or self.prompts,
            training.spec.rows,
            part.mixing(self.recipe.seed).mixes,
            selection=part.selection,
            eval_share=part.eval_share,
            seed=self.recipe.seed,
            limit=None if places else run_options.limit,
            skip_bad_rows=part.skip_bad_rows,
        )

    def _rewards(
        self, training: TrainStep, models: RoleModels, run_options: RunOptions
    ) -> "RewardSpec":
        from cai.training.rewards.spec import ModelRewardSpec, PenaltySpec, RewardSpec

        part = training.part
        assert isinstance(part, RlTraining)
        trained = tuple(
            ModelRewardSpec(
                str(self.out / model.name) if isinstance(model, TrainStep) else model, w
            )
            for model, w in reward_models(self.recipe, training)
        )
        weights = part.penalties
        return RewardSpec(
            trained=trained,
            judge=self._judge(part, models),
            score=self._score(part, models),
            penalties=PenaltySpec(
                weights.length, weights.free_tokens, evasiveness=weights.evasiveness
            ),
            caps=run_options.caps,
            prices=load_prices(run_options.prices),
            concurrency=run_options.concurrency,
            seed=self.recipe.seed,
        )

    def _judge(self, part: RlTraining, models: RoleModels) -> "JudgeRewardSpec | None":
        from cai.training.rewards.spec import JudgeRewardSpec

        asked = part.judge
        if asked is None:
            return None
        settings = JudgeSettings.from_settings(asked)
        return JudgeRewardSpec(
            models.judges(settings),
            self.constitution,
            settings,
            opponents=asked.opponents,
            weight=asked.weight,
            apart=asked.apart,
        )

    def _score(self, part: RlTraining, models: RoleModels) -> "ScoreRewardSpec | None":
        from cai.training.rewards.spec import ScoreRewardSpec

        asked = part.score
        if asked is None:
            return None
        settings = ScoreSettings.from_settings(asked)
        return ScoreRewardSpec(
            models.judges(settings),
            self.constitution,
            settings,
            weight=asked.weight,
            apart=asked.apart,
        )


def _summary(trained: "Trained") -> str:
    figures = trained.figures
    how = f"{figures['steps']} steps in {figures['seconds']} s" if trained.is_new else "done before"
    last = cast("Mapping[str, object]", figures.get("train") or {})
    return ", ".join([how, *shown_metrics(last)])


@contextmanager
def _interruptible() -> Generator[None]:
    """Lets Ctrl-C and SIGTERM end a training at once: a loop that waits for it hears of neither."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, signal.default_int_handler) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
