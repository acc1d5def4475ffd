"""Which folders a report is of: found below the paths given, in the order of the chain."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal, cast

import yaml

from cai.engine.run_files import RUN_FILE, read_description
from cai.errors import UsageError
from cai.evaluation.policies.results import FILE as EVALUATION_FILE
from cai.evaluation.suites.run import FILE as SUITES_FILE
from cai.rounds.state import FILE as ROUNDS_FILE
from cai.runs.config import CHOICE, REWARD
from cai.training.folder import ASKED

Kind = Literal["series", "evaluation", "suites", "truth", "run", "training"]

_FILES: tuple[tuple[str, Kind], ...] = (
    (ROUNDS_FILE, "series"),
    (EVALUATION_FILE, "evaluation"),
    (SUITES_FILE, "suites"),
    (RUN_FILE, "run"),
    (ASKED, "training"),
)
_DEEPEST = 4
_CLOSED: frozenset[Kind] = frozenset({"run", "training"})  # what lies inside is no step of its own


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of one kind, which its `file` makes it, below the root that it was found from."""

    kind: Kind
    path: Path
    root: Path
    file: str

    def holds(self, other: "Place") -> bool:
        """Whether the other lies inside."""
        return self.path in other.path.parents


def find_places(paths: Sequence[Path], truth_file: str | None = None) -> list[Place]:
    """The places in the order of the chain; those that others hold, as a series does, come last.

    A folder with a file of the name `truth_file` is one too.

    Raises:
        UsageError: A path is no folder, cannot be read, or holds nothing to report.
        JournalError: The description of a run is damaged.
    """
    files = list(_FILES)
    if truth_file is not None:
        files.append((truth_file, "truth"))
    found: dict[Path, Place] = {}
    for path in paths:
        if not path.is_dir():
            what = "is a file" if path.exists() else "is not there"
            raise UsageError(
                f"{path}: {what}. Name the folder of a run, a training, an evaluation or rounds."
            )
        listed = list(_below(path, path, files))
        if not listed:
            raise UsageError(
                f"{path}: holds no run, training, evaluation or rounds. Name the folder of one, or "
                "a folder that holds several."
            )
        for place in listed:
            found.setdefault(place.path.resolve(), place)
    places = list(found.values())
    return sorted(places, key=lambda place: any(each.holds(place) for each in places))


def _below(
    folder: Path, root: Path, files: Sequence[tuple[str, Kind]], depth: int = 0
) -> Iterator[Place]:
    places = [Place(kind, folder, root, file) for file, kind in files if (folder / file).is_file()]
    yield from (place for place in places if not _has_no_examples(place.kind, folder))
    if depth == _DEEPEST or any(place.kind in _CLOSED for place in places):
        return
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({error.strerror}).") from error
    shown = [path for path in inner if not path.name.startswith(".")]
    groups = {path: list(_below(path, root, files, depth + 1)) for path in shown}
    for path in _ordered({path: places for path, places in groups.items() if places}):
        yield from groups[path]


def _has_no_examples(kind: Kind, folder: Path) -> bool:
    """Whether it holds answers alone: of judges to a training, or of a policy to a suite."""
    return kind == "run" and read_description(folder).config.get("method") in (REWARD, CHOICE)


def _ordered(groups: Mapping[Path, Sequence[Place]]) -> list[Path]:
    """Folders beside each other: what another was made from before it, else by their age."""
    by_age = sorted(groups, key=lambda path: (min(map(_began, groups[path])), path.name))
    names = {path.name: path for path in by_age}
    graph: dict[Path, set[Path]] = {}
    for path in by_age:
        made_from = {names[name] for place in groups[path] for name in _inputs(place) & set(names)}
        graph[path] = made_from - {path}
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError:
        return by_age
    ordered: list[Path] = []
    ready: list[Path] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=by_age.index)
        first = ready.pop(0)
        ordered.append(first)
        sorter.done(first)
    return ordered


def _began(place: Place) -> float:
    """When it was begun, in seconds; of a run what it says itself, which a copy keeps."""
    if place.kind == "run":
        try:
            return datetime.fromisoformat(read_description(place.path).created).timestamp()
        except ValueError:
            pass
    return (place.path / place.file).stat().st_mtime


def _inputs(place: Place) -> set[str]:
    """The last parts of all paths that its description names: folders it may be made from."""
    if place.kind == "run":
        described: object = read_description(place.path).config
    elif place.kind == "training":
        try:
            described = yaml.safe_load((place.path / ASKED).read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            return set()
    else:
        return set()
    texts = _texts(described)
    return {part for text in texts for part in text.partition("@")[0].replace(":", "/").split("/")}


def _texts(value: object) -> Iterator[str]:
    """Every text in it, names of mappings too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in cast(Mapping[object, object], value).items():
            yield str(name)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in cast(Sequence[object], value):
            yield from _texts(inner)
