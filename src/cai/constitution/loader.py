"""Constitutions from YAML files: shipped ones by name, others by path, with all that they extend.

`extends` names a shipped constitution or a file inside the folder of the file that says it. The
extended principles come first, in order; a constitution that is reached twice counts once.
"""

import os
from collections.abc import Iterator, Mapping
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
    """A file as messages name it, and as the file system knows it; `path` is None for mere text."""

    name: str
    path: Path | None
    folder: Path | None


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A constitution with the file that each of its principles was written in."""

    constitution: Constitution
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Loading:
    """The files that led here, and those that are done, in one call."""

    chain: tuple[_Source, ...] = ()
    done: dict[Path, _Loaded] = field(default_factory=dict[Path, _Loaded])

    def inside(self, source: _Source) -> "_Loading":
        return _Loading((*self.chain, source), self.done)


def load_constitution(name_or_path: str | Path) -> Constitution:
    """The shipped constitution of that name, or that of a YAML file, with all that it extends.

    A text is a path if it has a slash or ends in .yaml or .yml, or if there is such a file and no
    shipped constitution of that name.

    Raises:
        ConstitutionError: There is none, or it breaks the schema; the message names every place.
    """
    path = name_or_path if isinstance(name_or_path, Path) else _path_of(name_or_path)
    return _load_file(path, str(path), _Loading()).constitution


def parse_constitution(text: str | bytes, source: str, folder: Path | None) -> Constitution:
    """The constitution that the text holds; `source` names it in messages.

    It may extend files of `folder`, or only shipped constitutions where that is None.
    """
    return _parse(text, _Source(source, None, folder), _Loading()).constitution


def constitutions_folder() -> Path:
    """Where the shipped constitutions are: inside an installed package, or in the checkout."""
    installed = Path(__file__).parents[1] / "_shipped" / "constitutions"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "constitutions"


def shipped_constitutions() -> list[str]:
    """The names of the shipped constitutions, sorted."""
    return sorted(path.stem for path in constitutions_folder().glob("*.yaml"))


def _path_of(name: str) -> Path:
    if "/" in name or "\\" in name or name.endswith(_SUFFIXES):
        return Path(name)
    if name not in shipped_constitutions() and os.path.exists(name):
        return Path(name)
    return _shipped_path(name, "")


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
    data = _read_bytes(path, name)
    source = _Source(name, path.resolve(), path.parent.resolve())
    return _parse(data, source, loading)


def _read_bytes(path: Path, name: str) -> bytes:
    """The file's bytes, one more than allowed at most; the YAML reader refuses those."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise ConstitutionError(f"{name}: this is no file. Name a YAML file.")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConstitutionError(
            f"{name}: there is no such file. Check the path, or name a shipped constitution: "
            f"{', '.join(shipped_constitutions())}."
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConstitutionError(
            f"{name}: the file cannot be read ({reason}). Check its name and its permissions."
        ) from None


def _parse(data: str | bytes, source: _Source, loading: _Loading) -> _Loaded:
    document = read_yaml(data, source.name)
    root = document.root
    if root.kind != "mapping":
        raise ConstitutionError(
            f"{source.name}:{root.line}: the file is a {root.kind} and no constitution. "
            "It needs fields such as 'name: …' and 'principles: …' at the top level."
        )
    inherited, origins = _inherited(root, source, loading)
    problems = [*document.problems, *_clashes(root, origins, source.name)]
    constitution = _validated(root, inherited, source.name, problems)
    own = {principle.id: _identity(source) for principle in constitution.principles}
    return _Loaded(constitution, own | origins)


def _validated(
    root: Node, inherited: tuple[Principle, ...], name: str, problems: list[Problem]
) -> Constitution:
    """The pydantic object of a file; its problems and those found before are in one error."""
    data = root.plain()
    assert isinstance(data, dict)
    own = data.get("principles", [] if inherited else None)
    merged = {**data, "principles": [*inherited, *own]} if isinstance(own, list) else data
    try:
        constitution = Constitution.model_validate(merged)
    except ValidationError as error:
        found = schema_problems(error, root, len(inherited))
        raise failure(name, [*problems, *found]) from None
    if problems:
        raise failure(name, problems)
    return constitution


def _clashes(root: Node, origins: Mapping[str, str], name: str) -> Iterator[Problem]:
    """Ids that stand twice in a file, or in it and in a file that it extends."""
    first_lines: dict[str, int] = {}
    principles = root.fields.get("principles")
    for principle in principles.items if principles else []:
        id = principle.fields.get("id")
        if id is None or id.kind != "text":
            continue
        if id.written in first_lines:
            where = f"in line {first_lines[id.written]}"
        elif id.written in origins:
            where = f"in {origins[id.written]}, which {name} extends"
        else:
            first_lines[id.written] = id.line
            continue
        yield Problem(
            id.line, f"principle {shortened(id.written)} is there already, {where}. Rename one."
        )


def _inherited(
    root: Node, source: _Source, loading: _Loading
) -> tuple[tuple[Principle, ...], dict[str, str]]:
    """The principles of all that a file extends, each with the file that it was written in."""
    principles: dict[str, Principle] = {}
    origins: dict[str, str] = {}
    for entry in _entries(root):
        where = f"{source.name}:{entry.line}: "
        base = _load_base(entry.written, where, source, loading.inside(source))
        for principle in base.constitution.principles:
            origin = base.origins[principle.id]
            if origins.setdefault(principle.id, origin) != origin:
                raise ConstitutionError(
                    f"{where}principle {shortened(principle.id)} is both in "
                    f"{origins[principle.id]} and in {origin}. Rename one, or extend one of them."
                )
            principles[principle.id] = principle
    return tuple(principles.values()), origins


def _entries(root: Node) -> list[Node]:
    node = root.fields.get("extends")
    if node is None:
        return []
    entries = node.items if node.kind == "list" else [node]
    return [entry for entry in entries if entry.kind == "text"]


def _load_base(entry: str, where: str, source: _Source, loading: _Loading) -> _Loaded:
    path = _base_path(entry, where, source)
    names = [step.name for step in loading.chain]
    if any(step.path == path for step in loading.chain):
        shown = [Path(name).name for name in [*names, path.name]]
        raise ConstitutionError(
            f"{where}the constitutions extend one another in a circle: {' → '.join(shown)}. "
            "Take one of them out of 'extends'."
        )
    if len(loading.chain) > _MAX_CHAIN:
        raise ConstitutionError(
            f"{where}more than {_MAX_CHAIN} constitutions extend one another. Merge some of them."
        )
    if path not in loading.done:
        loading.done[path] = _load_file(path, _shown(path, source), loading)
    return loading.done[path]


def _base_path(entry: str, where: str, source: _Source) -> Path:
    """The real path of what `extends` names.

    Only a YAML file inside the folder will do, also behind a symlink: a constitution from elsewhere
    must not be a way to read, or to show in a message, other files of the machine.
    """
    if "://" in entry:
        raise ConstitutionError(
            f"{where}'extends' names the address {shortened(entry)}. "
            "Nothing is fetched; save that constitution into the folder of this file."
        )
    if not entry.endswith(_SUFFIXES) and "/" not in entry and "\\" not in entry:
        return _shipped_path(entry, where).resolve()
    if source.folder is None:
        raise ConstitutionError(
            f"{where}'extends' names the file {shortened(entry)}, but this text is in no folder. "
            "Extend a shipped constitution, or load it from a file."
        )
    path = _real_path(source.folder / entry)
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


def _real_path(path: Path) -> Path | None:
    """The path with its links followed; None if they run in a circle or the name is impossible."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return None


def _shown(path: Path, source: _Source) -> str:
    """The path of an extended file as the user would write it, seen from the file they named."""
    if source.folder is None or not path.is_relative_to(source.folder):
        return str(path)
    return str(Path(source.name).parent / path.relative_to(source.folder))


def _identity(source: _Source) -> str:
    return str(source.path or source.name)
