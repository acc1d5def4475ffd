"""The folders that a report is about, below the given paths, in the order of the chain."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal, cast

from cai.constitution.yaml import read_plain
from cai.engine.run_files import RUN_FILE, read_description
from cai.errors import ConstitutionError, UsageError
from cai.evaluation.policies.results import FILE as EVALUATION_FILE
from cai.evaluation.suites.run import FILE as SUITES_FILE
from cai.rounds.state import FILE as ROUNDS_FILE
from cai.runs.config import CHOICE, REWARD
from cai.training.folder import CONFIG_FILE

Kind = Literal["series", "evaluation", "suites", "truth", "run", "training"]

# A folder with several of these files has its sections in this order.
_FILES: tuple[tuple[str, Kind], ...] = (
    (ROUNDS_FILE, "series"),
    (EVALUATION_FILE, "evaluation"),
    (SUITES_FILE, "suites"),
    (RUN_FILE, "run"),
    (CONFIG_FILE, "training"),
)
_MAX_DEPTH = 4  # demo/rounds/round-1/steps/policy; deeper, a wrong path would search a whole disk
_CLOSED: frozenset[Kind] = frozenset({"run", "training"})  # folders inside are not steps


@dataclass(frozen=True, slots=True)
class ReportFolder:
    """A folder of one kind, made so by its `file`; `root` is the given path that it lies below."""

    kind: Kind
    path: Path
    root: Path
    file: str


def find_folders(paths: Sequence[Path], truth_file: str | None = None) -> list[ReportFolder]:
    """The folders in the order of the chain; those inside of others, as of a series, come last.

    A folder with a file of the name `truth_file` is one too.

    Raises:
        UsageError: A path is not a folder, cannot be read, or holds nothing to report.
        JournalError: The description of a run is damaged.
    """
    files = list(_FILES)
    if truth_file is not None:
        files.append((truth_file, "truth"))
    found: dict[Path, ReportFolder] = {}
    for path in paths:
        if not path.is_dir():
            what = "is a file" if path.exists() else "is not there"
            raise UsageError(
                f"{path}: {what}. Name the folder of a run, a training, an evaluation or rounds."
            )
        below = list(_below(path, path, files))
        if not below:
            raise UsageError(
                f"{path}: holds no run, training, evaluation or rounds. Name the folder of one, or "
                "a folder that holds several."
            )
        # Given twice, as by `demo demo/sl`, a folder is shown once, under the first of the paths.
        for folder in below:
            found.setdefault(folder.path.resolve(), folder)
    # The sort is stable: within either half the order of the chain stays.
    paths_found = {folder.path for folder in found.values()}
    return sorted(found.values(), key=lambda each: not paths_found.isdisjoint(each.path.parents))


def _below(
    folder: Path, root: Path, files: Sequence[tuple[str, Kind]], depth: int = 0
) -> Iterator[ReportFolder]:
    here = [
        ReportFolder(kind, folder, root, file) for file, kind in files if (folder / file).is_file()
    ]
    for each in here:
        # Runs of a training's judges, and of a suite's choices, hold no examples to show.
        is_run = each.kind == "run"
        if not is_run or read_description(folder).config.get("method") not in (REWARD, CHOICE):
            yield each
    if depth == _MAX_DEPTH or any(each.kind in _CLOSED for each in here):
        return
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read ({error.strerror}).") from error
    shown = [path for path in inner if not path.name.startswith(".")]
    groups = {path: list(_below(path, root, files, depth + 1)) for path in shown}
    # Sorted folder by folder: what was made in one round stays together.
    for path in _sort({path: group for path, group in groups.items() if group}):
        yield from groups[path]


def _sort(groups: Mapping[Path, Sequence[ReportFolder]]) -> list[Path]:
    """Folders beside each other: what another was made from before it, else by their age."""
    by_age = sorted(groups, key=lambda path: (min(map(_started, groups[path])), path.name))
    by_name = {path.name: path for path in by_age}
    # By age alone a copied or restored folder would stand before what it was made from.
    sorter = TopologicalSorter[Path]()
    for path in by_age:
        inputs = {name for each in groups[path] for name in _inputs(each)}
        sorter.add(path, *({by_name[name] for name in inputs & set(by_name)} - {path}))
    try:
        sorter.prepare()
    except CycleError:  # names are compared, not contents, so that a circle is possible
        return by_age
    ordered: list[Path] = []
    ready: list[Path] = []
    while sorter.is_active():
        # One at a time: of all that may be next the oldest, whenever it became possible.
        ready = sorted([*ready, *sorter.get_ready()], key=by_age.index)
        ordered.append(ready.pop(0))
        sorter.done(ordered[-1])
    return ordered


def _started(folder: ReportFolder) -> float:
    """When it was started, in seconds; of a run what its file says, as a copy has a new time."""
    if folder.kind == "run":
        try:
            return datetime.fromisoformat(read_description(folder.path).created).timestamp()
        except ValueError:
            pass
    return (folder.path / folder.file).stat().st_mtime


def _inputs(folder: ReportFolder) -> set[str]:
    """The parts of all paths that its description names: folders it may be made from."""
    if folder.kind == "run":
        described: object = read_description(folder.path).config
    elif folder.kind == "training":
        try:
            described = read_plain((folder.path / CONFIG_FILE).read_bytes(), CONFIG_FILE)
        except (OSError, ConstitutionError):
            return set()
    else:
        return set()
    # The hash after "@" and the scheme before ":" are not folders: hf:models/sl@bf1af314f94a.
    return {
        part
        for text in _texts(described)
        for part in text.partition("@")[0].replace(":", "/").split("/")
    }


def _texts(value: object) -> Iterator[str]:
    """Every text in it, keys of mappings too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in cast(Mapping[object, object], value).items():
            yield str(name)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in cast(Sequence[object], value):
            yield from _texts(inner)
