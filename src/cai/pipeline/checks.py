"""Whether the steps and trainings of a recipe can be done, checked before its first call.

A recipe may take days, and its last step must not fail on what its first line says. `check_steps`
needs the recipe alone, `check_plans` the constitution too, `check_start` the model as well.

Example:
    >>> check_steps(Recipe(name="mine", judge={}))
    Traceback (most recent call last):
    cai.errors.UsageError: The step judge of the recipe 'mine' has nothing to work on. …
"""

from pathlib import Path
from typing import get_args

from cai.constitution.schema import Constitution
from cai.errors import UsageError
from cai.export.data_files import DataFile
from cai.export.formats import METHODS_OF, Format, check_balance
from cai.export.writers import check_mixing
from cai.methods.judging.pairwise import check_judging
from cai.methods.roles import candidates
from cai.methods.settings import JudgeSettings
from cai.models.registry import parse_spec
from cai.pipeline.order import (
    TRAINED,
    data_of,
    is_trained,
    label_of,
    ordered,
    start_of,
    trained_before,
)
from cai.pipeline.schema import (
    STEP_NAMES,
    ExportStep,
    Recipe,
    ResponseStep,
    RlTraining,
    StepName,
    StepOfResponses,
    TrainStep,
)
from cai.runs.records import is_run
from cai.training.rewards.spec import weighted


def check_steps(recipe: Recipe) -> None:
    """Checks that every step, export and training has what it works on.

    Raises:
        UsageError: One has not; the message says which step to add or what to name.
        ExportError, SourceError: An export cannot be made so, or a file cannot be read.
        TrainingError: Labels cannot be made so.
    """
    steps = recipe.steps
    if not steps and not recipe.train:
        raise UsageError(
            f"The recipe {recipe.name!r} has no step. Give it one of {', '.join(STEP_NAMES)}, "
            "train."
        )
    for name, step in recipe.blocks.items():
        if not isinstance(step, StepOfResponses):
            continue
        if step.of is not None and step.of not in steps:
            raise UsageError(
                f"The step {name} of the recipe {recipe.name!r} is of {step.of!r}, which the "
                "recipe does not have. Add that step."
            )
        if not set(get_args(ResponseStep)) & set(steps):
            raise UsageError(
                f"The step {name} of the recipe {recipe.name!r} has nothing to work on. Add the "
                "step sample or revise before it."
            )
    # All outputs lie in one folder: a step's run, an export's file and a training's model must
    # not have the same name.
    taken: set[str] = set(steps)
    for format, step in recipe.export.items():
        exported = exported_step(recipe, format, step)
        # The same check as in the export itself, and the files to mix in are read once to the end.
        step.selection.check(format)
        check_mixing(step.mixing(recipe.seed), format, reads=True)
        file = step.file_name(format)
        if file in taken:
            raise UsageError(
                f"The export {format} of the recipe {recipe.name!r} goes to {file!r}, where "
                "another output of it goes. Name another file."
            )
        if step.balance_length:
            check_balance(format, exported, f"The export {format} of the recipe {recipe.name!r}")
        taken.add(file)
    ordered(recipe)
    # names of steps are reserved even where the recipe has no such step: `data: judge` means a step
    taken |= set(STEP_NAMES)
    for training in recipe.train:
        if training.name in taken:
            raise UsageError(
                f"{label_of(recipe, training)} goes to {training.name!r}, where another output of "
                "it goes. Give it another name:."
            )
        taken.add(training.name)
        _check_training(recipe, training)


def _check_training(recipe: Recipe, training: TrainStep) -> None:
    part, kind, label = training.part, training.spec.rows, label_of(recipe, training)
    part.selection.check(kind)
    _ = part.label_plan  # making it raises where the trainer would
    mixing = part.mixing(recipe.seed)
    mixing.check(kind)
    check_mixing(mixing, kind, reads=True)
    for name in data_of(recipe, training):
        if name not in STEP_NAMES and not is_run(name):
            DataFile(name, kind, skip_bad_rows=part.skip_bad_rows).check()
    start = start_of(recipe, training)
    if isinstance(start, str):
        _check_trainable(recipe, training, start)
    if not isinstance(part, RlTraining):
        return
    # The judge of a reward is called while the policy trains, so it must be complete by then; a
    # policy that judges itself would move with its own rewards.
    judge = recipe.models.get("judge", "")
    earlier = [f"{TRAINED}{each.name}" for each in trained_before(recipe, training)]
    if part.judged_rewards and is_trained(judge) and judge not in earlier:
        raise UsageError(
            f"{label} is rewarded by the judge, which is {judge!r} and not trained before it. "
            "Train it before, or name another judge under models:."
        )
    for model, _ in reward_models(recipe, training):
        if isinstance(model, str) and not model.startswith("hf:") and not Path(model).is_dir():
            raise UsageError(
                f"{label} is rewarded by {model!r}, which is neither a reward training of the "
                "recipe nor a folder. Name one of them."
            )


def check_start(recipe: Recipe, default: str | None) -> None:
    """Checks that trainings which name no model have the default to start from.

    Raises:
        UsageError: It is needed, and is missing or cannot be trained.
    """
    for training in recipe.train:
        if start_of(recipe, training) is None:
            if default is None:
                raise UsageError(
                    f"{label_of(recipe, training)} starts from the model of respond, and there is "
                    "none. Name a model under from:."
                )
            _check_trainable(recipe, training, default)


def _check_trainable(recipe: Recipe, training: TrainStep, spec: str) -> None:
    if is_trained(spec):
        raise UsageError(
            f"{label_of(recipe, training)} starts from the model of respond, which is {spec!r} and "
            "does not exist at the start. Name another under from:."
        )
    if parse_spec(spec).is_remote:
        raise UsageError(
            f"{label_of(recipe, training)} starts from {spec!r}, whose weights are behind a "
            "server. Name local weights under from:, as hf:NAME_OR_PATH."
        )


def check_plans(recipe: Recipe, constitution: Constitution) -> None:
    """Checks that the constitution has what every step and every reward needs of it.

    Raises:
        UsageError: It has not; the message says what is missing.
    """
    rewards = [each.part for each in recipe.train if isinstance(each.part, RlTraining)]
    plans = [*recipe.blocks.values(), *(x for each in rewards for x in each.judged_rewards)]
    for plan in plans:
        tags: tuple[str, ...] | None = getattr(plan, "tags", None)
        if isinstance(plan, JudgeSettings):
            check_judging(plan, constitution)
        elif tags is not None:  # None: a step under no principle, such as sampling
            candidates(constitution, tags)


def exported_step(recipe: Recipe, format: Format, step: ExportStep) -> StepName:
    """The step whose run is exported.

    Raises:
        UsageError: The recipe has none with rows of this format.
    """
    able = METHODS_OF[format]
    if step.of is not None and step.of not in recipe.steps:
        raise UsageError(
            f"The export {format} of the recipe {recipe.name!r} is of {step.of!r}, which the "
            "recipe does not have. Add that step."
        )
    if step.of is not None and step.of not in able:
        raise UsageError(
            f"The export {format} of the recipe {recipe.name!r} is of {step.of!r}, which has no "
            f"rows of that format. It is of {', '.join(able)}."
        )
    first: StepName | None = next((name for name in able if name in recipe.steps), None)
    exported = step.of or first
    if exported is None:
        raise UsageError(
            f"The recipe {recipe.name!r} has no step whose run can be exported as {format}. Add "
            f"one of {', '.join(able)}."
        )
    return exported


def reward_models(recipe: Recipe, training: TrainStep) -> list[tuple[TrainStep | str, float]]:
    """The reward models of a training with their weights; by default the last that was trained.

    Raises:
        UsageError: A name or a weight is wrong, or there is no reward at all.
    """
    part = training.part
    assert isinstance(part, RlTraining)
    label = label_of(recipe, training)
    trained = [x for x in trained_before(recipe, training) if not x.spec.is_policy]
    models: list[tuple[TrainStep | str, float]] = []
    for each in part.reward_models:
        name, weight = weighted(each)
        model = next((x for x in trained if x.name == name), None)
        # any other name is a folder or a model of the hub, unless a training of the recipe has it
        if model is None and any(x.name == name for x in recipe.train):
            raise UsageError(
                f"{label} is rewarded by {name!r}, which is not a reward model trained before it. "
                "Name one that is, or a folder."
            )
        models.append((model or name, weight))
    if models or part.judged_rewards:
        return models
    if not trained:
        raise UsageError(
            f"{label} has no reward. Train a reward model before it, or give it judge:, score: or "
            "reward_models:."
        )
    return [(trained[-1], 1.0)]
