"""Recipes from YAML files: presets by name, others by path; every error names its line.

Files that a recipe names are looked up beside the recipe's own file first, then in the working
directory, so that a recipe can be shared together with its data.

Example:
    >>> load_recipe("bai2022").steps
    ('revise', 'sample', 'judge')
    >>> load_recipe("my-recipe.yaml").train
    ()
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from cai.constitution.yaml import MAX_BYTES, Node, nearest, read_yaml
from cai.errors import ConstitutionError, UsageError
from cai.pipeline.schema import STEP_NAMES, Recipe, RlTraining
from cai.suggest import did_you_mean

P = TypeVar("P", bound=BaseModel)

_PRESETS = Path(__file__).parent / "presets"
# pydantic's messages are in the terms of Python ("valid tuple"); these are in those of YAML.
_MOST_DETAILS = 200
_EXPECTED = {
    "model_type": "expected a mapping of settings, such as `{}`",
    "mapping_type": "expected a mapping",
    "dict_type": "expected a mapping",
    "tuple_type": "expected a list, such as `[…]`",
    "string_type": "expected a text; put it in quotes",
    "bool_type": "expected true or false",
}


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
        # The other kind of file has a field of its own; name the command for it.
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


def read_part(path: Path, kind: type[P]) -> P:
    """The part that the file holds.

    Raises:
        OSError: The file cannot be read.
        UsageError: It breaks the schema; the message names the first ten places with their lines.
    """
    # One byte beyond the limit tells an oversized file without reading all of it.
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{path}: the file is over the limit of {MAX_BYTES:,} bytes. A recipe is a page: is "
            "this the file you meant?"
        )
    if not any(line.split(b"#")[0].strip() for line in data.splitlines()):
        raise UsageError(f"{path}: the file is empty. A recipe needs a name and a step.")
    try:
        document = read_yaml(data, str(path))
    except ConstitutionError as error:  # the reader is shared with constitutions, and so its error
        raise UsageError(str(error)) from None
    errors = [f"{path}:{problem.line}: {problem.message}" for problem in document.problems]
    errors += (f"{path}:{line}" for line in _empty_parts(kind, document.root))
    try:
        part = kind.model_validate(document.root.plain())
    except ValidationError as error:
        errors += (f"{path}:{line}" for line in _schema_errors(error, kind, document.root))
    else:
        if not errors:
            return part
    raise UsageError("\n".join(errors[:10]))


def _empty_parts(kind: type[BaseModel], node: Node) -> Iterator[str]:
    """A line for each part that is named and has nothing in it.

    To pydantic it is None, as if the step were absent; who writes `judge:` wants it done.
    """
    for name, part in _parts_of(kind).items():
        child = node.fields.get(name)
        if child is None:
            continue
        if child.kind == "null":
            yield (
                f"{child.line}: {name} is empty. Write `{name}: {{}}` for its defaults, or remove "
                "the line."
            )
        elif child.kind == "mapping":
            yield from _empty_parts(part, child)


def _schema_errors(error: ValidationError, kind: type[BaseModel], root: Node) -> Iterator[str]:
    """One line for each place that is wrong, with all that is expected of it."""
    messages: dict[str, list[str]] = {}
    # A file may be wrong in as many places as it has lines: the messages of a few are enough.
    for details in error.errors(include_url=False, include_input=False)[:_MOST_DETAILS]:
        # A location ends in names of the schema's own, such as the members of a union, which are
        # not in the file: of them nothing is left below a plain value.
        path: tuple[str | int, ...] = ()
        for part in details["loc"]:
            if part != "[key]" and nearest(root, path).kind in ("mapping", "list"):
                path = (*path, part)
        # A tuple of two with a wrong item is reported by pydantic as too short as well.
        if details["type"] == "too_short" and nearest(root, path).items:
            continue  # its items are wrong, and each has a message of its own
        where = ".".join(str(part)[:60] for part in path) or "the file"
        place = f"{nearest(root, path).line}: {where}"
        if details["type"] != "extra_forbidden":
            message = details["msg"].removeprefix("Value error, ")
            message = _EXPECTED.get(details["type"], message)
            messages.setdefault(f"{place}: ", []).append(message)
            continue
        parent = kind
        for step in path[:-1]:
            if isinstance(step, str):
                parent = _parts_of(parent).get(step, parent)
        names = [field.alias or name for name, field in parent.model_fields.items()]
        hint = did_you_mean(str(details["loc"][-1]), names, f"Known here: {', '.join(names)}.")
        messages[f"{place} is not known. {hint}"] = []
    for place, expected in messages.items():
        yield f"{place}{', or: '.join(expected)}{'.' if expected else ''}"


def _parts_of(kind: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The fields that hold parts, alone, in a list or by name."""

    def part_in(annotation: object) -> type[BaseModel] | None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        if get_origin(annotation) in (Annotated, Union, UnionType, tuple):
            parts = (part_in(each) for each in get_args(annotation))
            return next((part for part in parts if part is not None), None)
        if get_origin(annotation) is Mapping or get_origin(annotation) is dict:
            return part_in(get_args(annotation)[1])
        return None

    parts = {
        field.alias or name: part_in(field.annotation) for name, field in kind.model_fields.items()
    }
    return {name: part for name, part in parts.items() if part is not None}


def located(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with every file and folder that lies in `folder` under its whole name."""

    def files(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(located_file(name, folder) for name in names)

    def path(name: str | None) -> str | None:
        return name and located_path(name, folder)

    steps = {name: getattr(recipe, name) for name in recipe.steps}
    trainings: list[object] = []
    for training in recipe.train:
        part = training.part
        # the name of a step is never a file, even where a file of that name lies there
        data = (name if name in STEP_NAMES else located_file(name, folder) for name in part.data)
        changes: dict[str, object] = {"data": tuple(data), "mix": files(part.mix)}
        if part.start is not None:
            changes["start"] = located_model(part.start, folder)
        if isinstance(part, RlTraining):
            changes["reward_models"] = files(part.reward_models)
        trainings.append(training.with_part(**changes))
    return recipe.model_copy(
        update={
            **{
                name: step.model_copy(update={"templates": path(step.templates)})
                for name, step in steps.items()
            },
            "constitution": path(recipe.constitution),
            "templates": path(recipe.templates),
            "prompts": files(recipe.prompts),
            "models": {role: located_model(spec, folder) for role, spec in recipe.models.items()},
            "jury": tuple(located_model(spec, folder) for spec in recipe.jury),
            "export": {
                format: step.model_copy(update={"mix": files(step.mix)})
                for format, step in recipe.export.items()
            },
            "train": tuple(trainings),
        }
    )


def located_file(name: str, folder: Path) -> str:
    """The name, or its path in the folder; what follows `:` or `*` is preserved."""
    # A file name may hold both itself, so the longest prefix that exists is the file.
    ends = [len(name), *(n for n, character in enumerate(name) if character in ":*")]
    for end in sorted(ends, reverse=True):
        beside = folder / name[:end]
        if name[:end] and not Path(name[:end]).is_absolute() and beside.exists():
            return f"{beside}{name[end:]}"
    return name


def located_path(name: str, folder: Path) -> str:
    """As `located_file`, for names with a slash or a dot; others are names of what ships."""
    return located_file(name, folder) if "/" in name or "." in name else name


def located_model(spec: str, folder: Path) -> str:
    """As `located_file`, for the spec of a model."""
    scheme, colon, rest = spec.partition(":")
    if scheme != "hf" or not colon:
        return spec
    target, mark, options = rest.partition("?")
    return f"hf:{located_file(target, folder)}{mark}{options}"
