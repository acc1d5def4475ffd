"""Whether a recipe can be done, found out before its first call is paid for."""

from collections.abc import Sequence

from cai.constitution.schema import Constitution
from cai.drawing import candidates
from cai.errors import UsageError
from cai.export.formats import Format
from cai.export.mixed import check_mixing
from cai.recipe.ordering import GIVING
from cai.recipe.parts import StepName
from cai.recipe.schema import ExportStep, Recipe
from cai.recipe.train_checks import check_train_plans, check_trainings


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
        recipe.judge.plan.check((), constitution)
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
