"""A YAML file into a part of the schema; every place that is wrong is named with its line."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError

from cai.constitution.nodes import Node, nearest
from cai.constitution.yaml_reader import MAX_BYTES, Document, read_yaml
from cai.errors import ConstitutionError, UsageError
from cai.recipe.parts import Part

P = TypeVar("P", bound=Part)

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


def _empty(kind: type[Part], node: Node, source: str) -> Iterator[str]:
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


def _problems(error: ValidationError, kind: type[Part], root: Node, source: str) -> list[str]:
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


def _nearest_field(kind: type[Part], path: Sequence[str | int]) -> str:
    """The field that was probably meant, among those that stand at that place."""
    names = list(_fields_at(kind, path[:-1]))
    close = get_close_matches(str(path[-1]), names, n=1)
    known = ", ".join(names)
    return f" Did you mean {close[0]!r}?" if close else f" Known here: {known}."


def _fields_at(kind: type[Part], path: Sequence[str | int]) -> Mapping[str, object]:
    """The names that stand in the part at the end of the path."""
    for step in path:
        if isinstance(step, str):
            kind = _parts_of(kind).get(step, kind)
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def _parts_of(kind: type[Part]) -> dict[str, type[Part]]:
    """The fields that hold parts, alone, in a list or by name."""
    found = {
        field.alias or name: _part_in(field.annotation) for name, field in kind.model_fields.items()
    }
    return {name: part for name, part in found.items() if part is not None}


def _part_in(annotation: object) -> type[Part] | None:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    if get_origin(annotation) in (Annotated, Union, UnionType, tuple):
        found = (_part_in(each) for each in get_args(annotation))
        return next((part for part in found if part is not None), None)
    if get_origin(annotation) is Mapping or get_origin(annotation) is dict:
        return _part_in(get_args(annotation)[1])
    return None
