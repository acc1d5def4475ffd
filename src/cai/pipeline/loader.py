"""A YAML file into a part of the schema; every place that is wrong is named with its line.

Recipes from YAML files: the presets by name, others by path.

Files that a recipe names: beside the recipe's own file first, else where the user is.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from cai.constitution.yaml import MAX_BYTES, Document, Node, nearest, read_yaml
from cai.errors import ConstitutionError, UsageError
from cai.export.formats import Format
from cai.methods.settings import DecodingSettings, JudgeSettings, ScoreSettings
from cai.pipeline.schema import ExportStep, Recipe
from cai.pipeline.train_steps import STEP_NAMES, RlTraining, Role, TrainStep
from cai.suggest import did_you_mean

P = TypeVar("P", bound=BaseModel)

_WANTED = {
    "model_type": "a mapping of settings is wanted, such as `{}`",
    "mapping_type": "a mapping is wanted",
    "dict_type": "a mapping is wanted",
    "tuple_type": "a list is wanted, such as `[…]`",
    "string_type": "a text is wanted; put it in quotes",
    "bool_type": "true or false is wanted",
}
"""What a file may be wrong in, in the words of YAML; all else the schema says itself."""


def read_part(path: Path, kind: type[P]) -> P:
    """The part that the file holds.

    Raises:
        OSError: The file cannot be read.
        UsageError: It breaks the schema; the message names every place, the first ten of them.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    source = str(path)
    document = _document(data, source)
    lines = [f"{source}:{problem.line}: {problem.message}" for problem in document.problems]
    lines += _empty(kind, document.root, source)
    try:
        found = kind.model_validate(document.root.plain())
    except ValidationError as error:
        lines += _problems(error, kind, document.root, source)
    else:
        if not lines:
            return found
    raise UsageError("\n".join(lines[:10]))


def _document(data: bytes, source: str) -> Document:
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


def _empty(kind: type[BaseModel], node: Node, source: str) -> Iterator[str]:
    """A line for each part that is named and has nothing in it."""
    for name, part in _parts_of(kind).items():
        child = node.fields.get(name)
        if child is None:
            continue
        if child.kind == "null":
            yield (
                f"{source}:{child.line}: {name} is empty. Write `{name}: {{}}` for its defaults, "
                "or remove the line."
            )
        elif child.kind == "mapping":
            yield from _empty(part, child, source)


def _problems(error: ValidationError, kind: type[BaseModel], root: Node, source: str) -> list[str]:
    """One line for each place to mend."""
    found: dict[str, list[str]] = {}
    for details in error.errors(include_url=False):
        path = _path(root, details["loc"])
        if details["type"] == "too_short" and nearest(root, path).items:
            continue  # its items are wrong, and that is said of each
        where = ".".join(str(part) for part in path) or "the file"
        place = f"{source}:{nearest(root, path).line}: {where}"
        if details["type"] == "extra_forbidden":
            found[f"{place} is not known.{_nearest_field(kind, path)}"] = []
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


def _nearest_field(kind: type[BaseModel], path: Sequence[str | int]) -> str:
    """The field that was probably meant, among those that stand at that place."""
    names = list(_fields_at(kind, path[:-1]))
    return " " + did_you_mean(str(path[-1]), names, f"Known here: {', '.join(names)}.")


def _fields_at(kind: type[BaseModel], path: Sequence[str | int]) -> Mapping[str, object]:
    """The names that stand in the part at the end of the path."""
    for step in path:
        if isinstance(step, str):
            kind = _parts_of(kind).get(step, kind)
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def _parts_of(kind: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The fields that hold parts, alone, in a list or by name."""
    found = {
        field.alias or name: _part_in(field.annotation) for name, field in kind.model_fields.items()
    }
    return {name: part for name, part in found.items() if part is not None}


def _part_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Annotated, Union, UnionType, tuple):
        found = (_part_in(each) for each in get_args(annotation))
        return next((part for part in found if part is not None), None)
    if get_origin(annotation) is Mapping or get_origin(annotation) is dict:
        return _part_in(get_args(annotation)[1])
    return None


def located(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with every file and folder that lies in `folder` under its whole name."""
    models: Mapping[Role, str] = {
        role: located_model(spec, folder) for role, spec in recipe.models.items()
    }
    export: Mapping[Format, ExportStep] = {
        format: step.model_copy(update={"mix": _each(step.mix, folder)})
        for format, step in recipe.export.items()
    }
    steps: dict[str, object] = {}
    for name in STEP_NAMES:
        step: DecodingSettings | JudgeSettings | ScoreSettings | None = getattr(recipe, name)
        if step is not None and step.templates is not None:
            found = located_path(step.templates, folder)
            steps[name] = step.model_copy(update={"templates": found})
    constitution, templates = recipe.constitution, recipe.templates
    return recipe.model_copy(
        update={
            **steps,
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
    part = step.part
    data = tuple(name if name in STEP_NAMES else located_file(name, folder) for name in part.data)
    update: dict[str, object] = {"data": data, "mix": _each(part.mix, folder)}
    if part.start is not None:
        update["start"] = located_model(part.start, folder)
    if isinstance(part, RlTraining):
        update["reward_models"] = _each(part.reward_models, folder)
    return step.with_part(**update)


def _each(names: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    return tuple(located_file(name, folder) for name in names)


_PRESETS = Path(__file__).parent / "presets"


def load_recipe(name_or_path: str) -> Recipe:
    """The preset of that name, or the recipe of a YAML file, whose files may lie beside it.

    Raises:
        UsageError: There is none, or it breaks the schema; the message names every place.
    """
    presets = shipped_presets()
    path = _PRESETS / f"{name_or_path}.yaml" if name_or_path in presets else Path(name_or_path)
    try:
        recipe = read_part(path, Recipe)
    except OSError as error:
        listed = f"The presets are {', '.join(presets)}."
        hint = did_you_mean(name_or_path, presets, listed)
        raise UsageError(
            f"{name_or_path}: cannot be read as a recipe ({error.strerror}). {hint}"
        ) from error
    except UsageError as error:
        if "round is not known." not in str(error):
            raise
        raise UsageError(f"{path}: is a series of rounds. Do it with `cai rounds`.") from None
    return located(recipe, path.parent)


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
