"""Recipes from YAML files: the presets by name, others by path."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cai.constitution.nodes import Node, nearest
from cai.constitution.yaml_reader import MAX_BYTES, read_yaml
from cai.errors import UsageError
from cai.recipe.schema import (
    ExportStep,
    JudgeStep,
    Recipe,
    ReviseStep,
    SampleStep,
    ScoreStep,
)

_PRESETS = Path(__file__).parent / "presets"
_STEPS: dict[str, type[BaseModel]] = {
    "revise": ReviseStep,
    "sample": SampleStep,
    "judge": JudgeStep,
    "score": ScoreStep,
    "export": ExportStep,
}


def load_recipe(name_or_path: str) -> Recipe:
    """The preset of that name, or the recipe of a YAML file.

    Raises:
        UsageError: There is none, or it breaks the schema; the message names every place.
        ConstitutionError: It is no YAML.
    """
    presets = shipped_presets()
    path = _PRESETS / f"{name_or_path}.yaml" if name_or_path in presets else Path(name_or_path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        close = get_close_matches(name_or_path, presets, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise UsageError(
            f"{name_or_path}: cannot be read as a recipe ({error.strerror}). {hint}"
            f"The presets are {', '.join(presets)}."
        ) from error
    return _parsed(data, str(path))


def shipped_presets() -> list[str]:
    """The names of the presets, sorted."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def preset_text(name: str) -> str:
    """The YAML of a preset, to copy and change.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in shipped_presets():
        raise UsageError(
            f"There is no preset {name!r}. The presets are {', '.join(shipped_presets())}."
        )
    return (_PRESETS / f"{name}.yaml").read_text("utf-8")


def _parsed(data: bytes, source: str) -> Recipe:
    document = read_yaml(data, source)
    lines = [f"{source}:{problem.line}: {problem.message}" for problem in document.problems]
    try:
        recipe = Recipe.model_validate(document.root.plain())
    except ValidationError as error:
        lines += _problems(error, document.root, source)
    else:
        if not lines:
            return recipe
    raise UsageError("\n".join(lines[:10]))


def _problems(error: ValidationError, root: Node, source: str) -> list[str]:
    """One line for each thing to mend."""
    lines: list[str] = []
    for details in error.errors(include_url=False):
        path = tuple(part for part in details["loc"] if part != "[key]")
        where = ".".join(str(part) for part in path) or "the file"
        line = nearest(root, path).line
        if details["type"] == "extra_forbidden":
            lines.append(f"{source}:{line}: {where} is not known.{_nearest_field(path)}")
        else:
            lines.append(f"{source}:{line}: {where}: {details['msg']}.")
    return lines


def _nearest_field(path: Sequence[str | int]) -> str:
    """The field that was probably meant, among those that stand at that place."""
    model = _STEPS.get(str(path[0]), Recipe) if path[1:] else Recipe
    close = get_close_matches(str(path[-1]), list(model.model_fields), n=1)
    known = ", ".join(model.model_fields)
    return f" Did you mean {close[0]!r}?" if close else f" Known here: {known}."
