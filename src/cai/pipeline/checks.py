"""Whether the steps and trainings of a recipe can be done, found out before its first call."""

from collections.abc import Sequence
from pathlib import Path

from cai.constitution.schema import Constitution
from cai.errors import UsageError
from cai.export.data_files import DataFile
from cai.export.formats import Format
from cai.export.writers import check_mixing
from cai.methods.judging.pairwise import check_judging
from cai.methods.roles import candidates
from cai.models.registry import parse_spec
from cai.pipeline.order import (
    GIVING,
    TRAINED,
    data_of,
    is_trained,
    ordered,
    reward_of,
    said,
    start_of,
    trained_before,
)
from cai.pipeline.schema import ExportStep, Recipe
from cai.pipeline.train_steps import STEP_NAMES, RlTraining, StepName, TrainStep
from cai.runs.records import is_run
from cai.training.rewards.spec import weighted


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
    last = next((each for each in earlier if not each.spec.is_policy), None)
    if last is None:
        raise UsageError(
            f"{said(recipe, training)} has no reward. Train a reward model before it, or give it "
            "judge:, score: or reward_models:."
        )
    return [(last, 1.0)]


def _check_data(recipe: Recipe, training: TrainStep) -> None:
    part, kind = training.part, training.spec.rows
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
    if parse_spec(spec).is_remote:
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


def check_steps(recipe: Recipe) -> None:
    """Finds out before a call whether every step, export and training has what it works on.

    Raises:
        UsageError: One has not; the message says which step to add.
        ExportError, SourceError: An export cannot be made so, or a file cannot be read.
        TrainingError: Labels cannot be made so.
    """
    here = recipe.steps
    if not here and not recipe.train:
        raise UsageError(
            f"The recipe {recipe.name!r} has no step. Give it one of revise, sample, judge, score, "
            "train."
        )
    for name, step in (("judge", recipe.judge), ("score", recipe.score)):
        if step is not None and step.of is not None and step.of not in here:
            raise UsageError(
                f"The step {name} of the recipe {recipe.name!r} is of {step.of!r}, which the "
                "recipe does not have. Add that step."
            )
        if step is not None and not {"sample", "revise"} & set(here):
            raise UsageError(
                f"The step {name} of the recipe {recipe.name!r} has nothing to work on. Add the "
                "step sample or revise before it."
            )
    written: set[str] = set()
    for format, step in recipe.export.items():
        exported = exported_step(recipe, format, step)
        step.selection.check(format)
        check_mixing(step.mixing(recipe.seed), format, reads=True)
        file = step.file_name(format)
        if file in (*written, *here):
            raise UsageError(
                f"The export {format} of the recipe {recipe.name!r} goes to {file!r}, where "
                "something else of it goes. Name another file."
            )
        if step.balance_length and exported == "score":
            raise UsageError(
                f"The export {format} of the recipe {recipe.name!r} is of scores, which have no "
                "pairs whose lengths could be balanced. Leave balance_length out."
            )
        written.add(file)
    check_trainings(recipe)


def check_plans(recipe: Recipe, constitution: Constitution) -> None:
    """Finds out before a call whether the constitution has what every step asks of it.

    Raises:
        UsageError: It has not; the message says what is missing.
    """
    if recipe.revise is not None:
        candidates(constitution, recipe.revise.tags)
    if recipe.judge is not None:
        check_judging(recipe.judge, constitution)
    if recipe.score is not None:
        candidates(constitution, recipe.score.tags)
    check_train_plans(recipe, constitution)


def exported_step(recipe: Recipe, format: Format, step: ExportStep) -> StepName:
    """The step whose run is exported.

    Raises:
        UsageError: The recipe has none that gives this format.
    """
    here = recipe.steps
    able: Sequence[StepName] = GIVING[format]
    if step.of is not None and step.of not in here:
        raise UsageError(
            f"The export {format} of the recipe {recipe.name!r} is of {step.of!r}, which the "
            "recipe does not have. Add that step."
        )
    if step.of is not None and step.of not in able:
        raise UsageError(
            f"The export {format} of the recipe {recipe.name!r} is of {step.of!r}, which has no "
            f"rows of that format. It is of {', '.join(able)}."
        )
    first: StepName | None = next((name for name in able if name in here), None)
    found = step.of or first
    if found is None:
        raise UsageError(
            f"The recipe {recipe.name!r} has no step whose run can be exported as {format}. Add "
            f"one of {', '.join(able)}."
        )
    return found
