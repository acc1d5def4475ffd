"""Files that a recipe names: beside the recipe's own file first, else where the user is."""

from collections.abc import Mapping
from pathlib import Path

from cai.export.formats import Format
from cai.recipe.parts import STEP_NAMES, Role
from cai.recipe.schema import ExportStep, Recipe
from cai.recipe.trainings import AnyTraining, RlTraining, TrainStep


def located(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with every file and folder that lies in `folder` under its whole name."""
    models: Mapping[Role, str] = {
        role: located_model(spec, folder) for role, spec in recipe.models.items()
    }
    export: Mapping[Format, ExportStep] = {
        format: step.model_copy(update={"mix": _each(step.mix, folder)})
        for format, step in recipe.export.items()
    }
    constitution, templates = recipe.constitution, recipe.templates
    return recipe.model_copy(
        update={
            "constitution": constitution and located_path(constitution, folder),
            "templates": templates and located_path(templates, folder),
            "prompts": _each(recipe.prompts, folder),
            "models": models,
            "jury": tuple(located_model(spec, folder) for spec in recipe.jury),
            "export": export,
            "train": tuple(_training(step, folder) for step in recipe.train),
        }
    )


def located_file(name: str, folder: Path) -> str:
    """The name, or where it lies in the folder; what stands behind `:` or `*` is kept.

    A file name may hold both itself, so the longest that lies there is taken.
    """
    ends = [len(name), *(n for n, character in enumerate(name) if character in ":*")]
    for end in sorted(ends, reverse=True):
        beside = folder / name[:end]
        if name[:end] and not Path(name[:end]).is_absolute() and beside.exists():
            return f"{beside}{name[end:]}"
    return name


def located_path(name: str, folder: Path) -> str:
    """As `located_file`, of what is a path only where it looks like one: else it is what ships."""
    return located_file(name, folder) if "/" in name or "." in name else name


def located_model(spec: str, folder: Path) -> str:
    """As `located_file`, of a model's spec."""
    scheme, colon, rest = spec.partition(":")
    if scheme != "hf" or not colon:
        return spec
    target, mark, options = rest.partition("?")
    return f"hf:{located_file(target, folder)}{mark}{options}"


def _training(step: TrainStep, folder: Path) -> TrainStep:
    part: AnyTraining = step.part
    data = tuple(name if name in STEP_NAMES else located_file(name, folder) for name in part.data)
    update: dict[str, object] = {"data": data, "mix": _each(part.mix, folder)}
    if part.start is not None:
        update["start"] = located_model(part.start, folder)
    if isinstance(part, RlTraining):
        update["reward_models"] = _each(part.reward_models, folder)
    return step.model_copy(update={step.trainer: part.model_copy(update=update)})


def _each(names: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    return tuple(located_file(name, folder) for name in names)
