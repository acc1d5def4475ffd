"""Constitutions from YAML files: shipped ones by name, others by path, with all that they extend.

`extends` names shipped constitutions, or files inside the folder of the extending file. The
principles of those come first, in order; a constitution that is reached twice counts once.

Example:
    constitution = load_constitution("harmless")
    mine = load_constitution("mine.yaml")  # with `extends: harmless` in it
    assert mine.principles[: len(constitution.principles)] == constitution.principles
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from cai.constitution.diagnostics import failure, schema_problems
from cai.constitution.schema import Constitution, Principle
from cai.constitution.yaml import MAX_BYTES, Node, Problem, read_yaml, shortened
from cai.errors import ConstitutionError
from cai.suggest import did_you_mean

_SUFFIXES = (".yaml", ".yml")
_MAX_CHAIN = 20


@dataclass(frozen=True, slots=True)
class _Source:
    """A file by its name in messages and its real path; `path` is None for a text without a file.

    `folder` is where the files that it extends must be; None allows shipped ones only.
    """

    name: str
    path: Path | None
    folder: Path | None


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A constitution, with the file of each of its principles by id."""

    constitution: Constitution
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Loading:
    """The files from the requested one to the present one, and those already loaded."""

    chain: tuple[_Source, ...] = ()
    done: dict[Path, _Loaded] = field(default_factory=dict[Path, _Loaded])


def load_constitution(name_or_path: str | Path) -> Constitution:
    """The shipped constitution of that name, or that of a YAML file, with all that it extends.

    A text is a path if it contains a slash or ends in .yaml or .yml, or if there is such a file and
    no shipped constitution of that name.

    Raises:
        ConstitutionError: There is none, or it breaks the schema; the message names every place.
    """
    text, path = str(name_or_path), Path(name_or_path)
    is_path = isinstance(name_or_path, Path) or "/" in text or "\\" in text
    is_path = is_path or text.endswith(_SUFFIXES)
    if not is_path and (text in shipped_constitutions() or not os.path.exists(text)):
        path = _shipped_path(text, "")
    return _load_file(path, str(path), _Loading()).constitution


def parse_constitution(text: str | bytes, source: str, folder: Path | None) -> Constitution:
    """The constitution in the text; `source` names it in messages.

    It may extend files of `folder`, or only shipped constitutions if that is None.
    """
    return _parse(text, _Source(source, None, folder), _Loading()).constitution


def constitutions_folder() -> Path:
    """The folder of the shipped constitutions: in an installed package, or in the checkout."""
    installed = Path(__file__).parents[1] / "_shipped" / "constitutions"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "constitutions"


def shipped_constitutions() -> list[str]:
    """The names of the shipped constitutions, sorted."""
    return sorted(path.stem for path in constitutions_folder().glob("*.yaml"))


def _shipped_path(name: str, where: str) -> Path:
    shipped = shipped_constitutions()
    if name in shipped:
        return constitutions_folder() / f"{name}.yaml"
    hint = did_you_mean(name, shipped)
    raise ConstitutionError(
        f"{where}there is no constitution {shortened(name)}. {hint}{' ' if hint else ''}"
        f"The shipped ones are {', '.join(shipped)}; a file of your own needs its ending .yaml."
    )


def _load_file(path: Path, name: str, loading: _Loading) -> _Loaded:
    try:
        # Opening a FIFO would wait for a writer for ever, and a device may have no end.
        if os.path.exists(path) and not os.path.isfile(path):
            raise ConstitutionError(f"{name}: this is not a file. Name a YAML file.")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # one more than allowed, which the YAML reader refuses
    except FileNotFoundError:
        raise ConstitutionError(
            f"{name}: there is no such file. Check the path, or name a shipped constitution: "
            f"{', '.join(shipped_constitutions())}."
        ) from None
    except (OSError, ValueError) as error:  # a ValueError for a null character in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConstitutionError(
            f"{name}: the file cannot be read ({reason}). Check its name and its permissions."
        ) from None
    return _parse(data, _Source(name, path.resolve(), path.parent.resolve()), loading)


def _parse(data: str | bytes, source: _Source, loading: _Loading) -> _Loaded:
    document = read_yaml(data, source.name)
    root = document.root
    if root.kind != "mapping":
        raise ConstitutionError(
            f"{source.name}:{root.line}: the file is a {root.kind} and not a constitution. "
            "It needs fields such as 'name: …' and 'principles: …' at the top level."
        )
    # Before the schema, which is checked on the merged principles: "at least one" is about all that
    # is judged under, and not about one file.
    inherited, origins = _load_extended(root, source, loading)
    problems = list(document.problems)
    # Ids that occur twice in the file, or in it and in a file that it extends. The schema checks
    # this too, but knows neither lines nor files.
    first_lines: dict[str, int] = {}
    principles = root.fields.get("principles")
    for principle in principles.items if principles else []:
        id = principle.fields.get("id")
        if id is None or id.kind != "text":
            continue
        where = ""
        if id.written in first_lines:
            where = f"in line {first_lines[id.written]}"
        elif id.written in origins:
            where = f"in {origins[id.written]}, which {source.name} extends"
        first_lines.setdefault(id.written, id.line)
        if where:
            message = f"principle {shortened(id.written)} already exists {where}. Rename one."
            problems.append(Problem(id.line, message))
    content = root.plain()
    assert isinstance(content, dict)
    own = content.get("principles", [] if inherited else None)
    if isinstance(own, list):  # otherwise the schema reports it
        content = {**content, "principles": [*inherited, *own]}
    try:
        constitution = Constitution.model_validate(content)
    except ValidationError as error:
        schema = schema_problems(error, root, len(inherited))
        raise failure(source.name, [*problems, *schema]) from None
    if problems:
        raise failure(source.name, problems)
    origin = str(source.path or source.name)
    return _Loaded(constitution, {each.id: origin for each in constitution.principles} | origins)


def _load_extended(
    root: Node, source: _Source, loading: _Loading
) -> tuple[tuple[Principle, ...], dict[str, str]]:
    """The principles of all that a file extends, and the file of each by id."""
    principles: dict[str, Principle] = {}
    origins: dict[str, str] = {}
    chain = (*loading.chain, source)
    extends = root.fields.get("extends")
    entries = [] if extends is None else extends.items if extends.kind == "list" else [extends]
    for entry in entries:
        if entry.kind != "text":  # the schema reports it
            continue
        where = f"{source.name}:{entry.line}: "
        path = _extended_path(entry.written, where, source)
        if any(step.path == path for step in chain):
            names = " → ".join(Path(name).name for name in [*(s.name for s in chain), path.name])
            raise ConstitutionError(
                f"{where}the constitutions extend one another in a circle: {names}. "
                "Take one of them out of 'extends'."
            )
        if len(chain) > _MAX_CHAIN:
            raise ConstitutionError(
                f"{where}more than {_MAX_CHAIN} constitutions extend one another. Merge some."
            )
        if path not in loading.done:
            name = str(path)
            if source.folder is not None and path.is_relative_to(source.folder):
                # As the user would write it, relative to the file that they named.
                name = str(Path(source.name).parent / path.relative_to(source.folder))
            loading.done[path] = _load_file(path, name, _Loading(chain, loading.done))
        base = loading.done[path]
        for principle in base.constitution.principles:
            origin = base.origins[principle.id]
            # The same principle by two routes is fine; two principles with one id are not.
            if origins.setdefault(principle.id, origin) != origin:
                raise ConstitutionError(
                    f"{where}principle {shortened(principle.id)} is both in "
                    f"{origins[principle.id]} and in {origin}. Rename one, or extend one of them."
                )
            principles[principle.id] = principle
    return tuple(principles.values()), origins


def _extended_path(entry: str, where: str, source: _Source) -> Path:
    """The real path of what `extends` names: a YAML file inside the folder, also through links."""
    # A constitution from elsewhere must not be able to read other files of the machine, or to show
    # them in a message.
    if "://" in entry:
        raise ConstitutionError(
            f"{where}'extends' names the address {shortened(entry)}. "
            "Nothing is downloaded; save that constitution into the folder of this file."
        )
    if not entry.endswith(_SUFFIXES) and "/" not in entry and "\\" not in entry:
        return _shipped_path(entry, where).resolve()
    if source.folder is None:
        raise ConstitutionError(
            f"{where}'extends' names the file {shortened(entry)}, but this text is in no folder. "
            "Extend a shipped constitution, or load it from a file."
        )
    try:
        path = (source.folder / entry).resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, or an impossible name
        path = None
    if path is None or Path(entry).is_absolute() or not path.is_relative_to(source.folder):
        raise ConstitutionError(
            f"{where}'extends' names {shortened(entry)}, which leads out of the file's folder. "
            "Copy that file into the folder, or a folder below it."
        )
    if path.suffix not in _SUFFIXES or not os.path.isfile(path):
        raise ConstitutionError(
            f"{where}'extends' names {shortened(entry)}, and there is no such YAML file. "
            "Check the name and its ending, .yaml or .yml."
        )
    return path
