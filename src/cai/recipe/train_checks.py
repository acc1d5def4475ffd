"""Whether the trainings of a recipe can be done, found out before its first call is paid for."""

from pathlib import Path

from cai.constitution.schema import Constitution
from cai.drawing import candidates
from cai.errors import UsageError
from cai.export.data_files import DataFile
from cai.export.mixed import check_mixing
from cai.jobs.run_source import is_run
from cai.models.opening import parse_spec
from cai.recipe.ordering import (
    TRAINED,
    data_of,
    is_trained,
    ordered,
    reward_of,
    said,
    start_of,
    trained_before,
)
from cai.recipe.parts import STEP_NAMES
from cai.recipe.schema import Recipe
from cai.recipe.trainings import KINDS, RlTraining, TrainStep
from cai.training.rewards.weighted import weighted


def check_trainings(recipe: Recipe) -> None:
    """Finds out whether every training has what it starts from, learns from and is rewarded by.

    Raises:
        UsageError: One has not; the message says what to name.
        ExportError, SourceError: Its rows cannot be chosen so, or a file cannot be read.
        TrainingError: Its labels cannot be made so.
    """
    ordered(recipe)
    taken: set[str] = {*STEP_NAMES, *(step.file_name(name) for name, step in recipe.export.items())}
    for training in recipe.train:
        if training.name in taken:
            raise UsageError(
                f"{said(recipe, training)} goes to {training.name!r}, where something else of it "
                "goes. Give it another name:."
            )
        taken.add(training.name)
        _check_data(recipe, training)
        start = start_of(recipe, training)
        if isinstance(start, str):
            _check_start(recipe, training, start)
        if isinstance(training.part, RlTraining):
            _check_rewards(recipe, training, training.part)


def check_start(recipe: Recipe, default: str | None) -> None:
    """Finds out whether there is a model for the trainings that name none: the default.

    Raises:
        UsageError: It is needed, and is not there or cannot be trained.
    """
    for training in recipe.train:
        if start_of(recipe, training) is None:
            if default is None:
                raise UsageError(
                    f"{said(recipe, training)} starts from the model of respond, and there is "
                    "none. Name a model under from:."
                )
            _check_start(recipe, training, default)


def check_train_plans(recipe: Recipe, constitution: Constitution) -> None:
    """Finds out whether the constitution has what rewards ask of it. Raises UsageError."""
    for training in recipe.train:
        if isinstance(training.part, RlTraining):
            for reward in (training.part.judge, training.part.score):
                if reward is not None:
                    candidates(constitution, reward.tags)


def reward_models(recipe: Recipe, training: TrainStep) -> list[tuple[TrainStep | str, float]]:
    """The reward models of a training with their weights; by default the last that was trained.

    Raises:
        UsageError: A name or a weight is wrong, or there is no reward at all.
    """
    part = training.part
    assert isinstance(part, RlTraining)
    named = [weighted(each) for each in part.reward_models]
    found = [(reward_of(recipe, training, name), weight) for name, weight in named]
    if found or part.judge is not None or part.score is not None:
        return found
    earlier = reversed(trained_before(recipe, training))
    last = next((each for each in earlier if not each.is_policy), None)
    if last is None:
        raise UsageError(
            f"{said(recipe, training)} has no reward. Train a reward model before it, or give it "
            "judge:, score: or reward_models:."
        )
    return [(last, 1.0)]


def _check_data(recipe: Recipe, training: TrainStep) -> None:
    part, kind = training.part, KINDS[training.trainer]
    part.selection.check(kind)
    _ = part.label_plan  # refuses what the trainer would
    mixing = part.mixing(recipe.seed)
    mixing.check(kind)
    check_mixing(mixing, kind, reads=True)
    for name in data_of(recipe, training):
        if name not in STEP_NAMES and not is_run(name):
            DataFile(name, kind, skip_bad_rows=part.skip_bad_rows).check()


def _check_start(recipe: Recipe, training: TrainStep, spec: str) -> None:
    if is_trained(spec):
        raise UsageError(
            f"{said(recipe, training)} starts from the model of respond, which is {spec!r} and not "
            "there at the start. Name another under from:."
        )
    if parse_spec(spec).scheme == "openai":
        raise UsageError(
            f"{said(recipe, training)} starts from {spec!r}, whose weights are behind a server. "
            "Name weights that are here under from:, as hf:NAME_OR_PATH."
        )


def _check_rewards(recipe: Recipe, training: TrainStep, part: RlTraining) -> None:
    judge = recipe.models.get("judge", "")
    earlier = [f"{TRAINED}{each.name}" for each in trained_before(recipe, training)]
    asks = part.judge is not None or part.score is not None
    if asks and is_trained(judge) and judge not in earlier:
        raise UsageError(
            f"{said(recipe, training)} is rewarded by the judge, which is {judge!r} and not "
            "trained before it. Train it before, or name another judge under models:."
        )
    for model, _ in reward_models(recipe, training):
        if isinstance(model, str) and not model.startswith("hf:") and not Path(model).is_dir():
            raise UsageError(
                f"{said(recipe, training)} is rewarded by {model!r}, which is no reward training "
                "of the recipe, and no folder. Name one of them."
            )
