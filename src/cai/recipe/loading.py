"""Recipes from YAML files: the presets by name, others by path."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cai.constitution.nodes import Node, nearest
from cai.constitution.yaml_reader import MAX_BYTES, Document, read_yaml
from cai.errors import ConstitutionError, UsageError
from cai.recipe.schema import (
    ExportStep,
    JudgeStep,
    Recipe,
    ReviseStep,
    SampleStep,
    ScoreStep,
)
from cai.recipe.trainings import (
    PARTS,
    TRAINERS,
    JudgeReward,
    PenaltyWeights,
    ScoreReward,
    TrainStep,
)

_PRESETS = Path(__file__).parent / "presets"
_STEPS: dict[str, type[BaseModel]] = {
    "revise": ReviseStep,
    "sample": SampleStep,
    "judge": JudgeStep,
    "score": ScoreStep,
    "export": ExportStep,
}
_REWARDS: dict[str, type[BaseModel]] = {
    "judge": JudgeReward,
    "score": ScoreReward,
    "penalties": PenaltyWeights,
}
_WANTED = {
    "model_type": "a mapping of settings is wanted, such as `{}`",
    "mapping_type": "a mapping is wanted",
    "dict_type": "a mapping is wanted",
    "tuple_type": "a list is wanted, such as `[…]`",
    "string_type": "a text is wanted; put it in quotes",
    "bool_type": "true or false is wanted",
}
"""What a file may be wrong in, in the words of YAML; all else the schema says itself."""


def load_recipe(name_or_path: str) -> Recipe:
    """The preset of that name, or the recipe of a YAML file.

    Raises:
        UsageError: There is none, or it breaks the schema; the message names every place.
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
    document = _read(data, source)
    lines = [f"{source}:{problem.line}: {problem.message}" for problem in document.problems]
    lines += [
        f"{source}:{node.line}: {name} is empty. Write `{name}: {{}}` for its defaults, or remove "
        "the line."
        for name in _STEPS
        if (node := document.root.fields.get(name)) is not None and node.kind == "null"
    ]
    try:
        recipe = Recipe.model_validate(document.root.plain())
    except ValidationError as error:
        lines += _problems(error, document.root, source)
    else:
        if not lines:
            return recipe
    raise UsageError("\n".join(lines[:10]))


def _read(data: bytes, source: str) -> Document:
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{source}: the file is over the limit of {MAX_BYTES:,} bytes. A recipe is a page: is "
            "this the file you meant?"
        )
    if not any(line.split(b"#")[0].strip() for line in data.splitlines()):
        raise UsageError(f"{source}: the file is empty. A recipe needs a name and a step.")
    try:
        return read_yaml(data, source)
    except ConstitutionError as error:  # the reader is the constitutions' own
        raise UsageError(str(error)) from None


def _problems(error: ValidationError, root: Node, source: str) -> list[str]:
    """One line for each place to mend."""
    found: dict[str, list[str]] = {}
    for details in error.errors(include_url=False):
        path = _path(root, details["loc"])
        if details["type"] == "too_short" and nearest(root, path).items:
            continue  # its items are wrong, and that is said of each
        where = ".".join(str(part) for part in path) or "the file"
        place = f"{source}:{nearest(root, path).line}: {where}"
        if details["type"] == "extra_forbidden":
            found[f"{place} is not known.{_nearest_field(path)}"] = []
        else:
            told = details["msg"].removeprefix("Value error, ")
            said = _WANTED.get(details["type"], told)
            found.setdefault(f"{place}: ", []).append(said)
    return [f"{place}{', or: '.join(said)}{'.' if said else ''}" for place, said in found.items()]


def _path(root: Node, location: Sequence[str | int]) -> tuple[str | int, ...]:
    """The place in the file, without the schema's own names of kinds below a plain value."""
    path: tuple[str | int, ...] = ()
    for part in location:
        if part != "[key]" and nearest(root, path).kind in ("mapping", "list"):
            path = (*path, part)
    return path


def _nearest_field(path: Sequence[str | int]) -> str:
    """The field that was probably meant, among those that stand at that place."""
    names = [field.alias or name for name, field in _part_at(path).model_fields.items()]
    close = get_close_matches(str(path[-1]), names, n=1)
    known = ", ".join(names)
    return f" Did you mean {close[0]!r}?" if close else f" Known here: {known}."


def _part_at(path: Sequence[str | int]) -> type[BaseModel]:
    """The part of the schema in which the last name of the path stands."""
    match path:
        case [_]:
            return Recipe
        case ["train", int(), _]:
            return TrainStep
        case ["train", int(), trainer, _]:
            return next(PARTS[each] for each in TRAINERS if each == trainer)
        case ["train", int(), _, str(below), _]:
            return _REWARDS[below]
        case [step, *_]:
            return _STEPS[str(step)]
        case _:
            return Recipe
