"""What a run folder contains: the content of `run.yaml`, a record for each example, and the lock.

`run.yaml` describes what a run was made with: its run config, the versions of packages and the time
of its creation. It never contains a secret. One process writes a folder at a time: the system
releases its lock when the process dies.

Example:
    description = describe({"method": "revise", "seed": 0}, {"cai": "0.2.0"})
    write_description(folder, description)
    assert read_description(folder) == description

    lock = FolderLock(folder)  # JournalError if another process writes it
"""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml

from cai.atomic_write import atomic_write, part_path
from cai.constitution.yaml import read_plain
from cai.errors import CaiError, ConstitutionError, JournalError

RUN_FILE = "run.yaml"
PART_FILE = part_path(Path(RUN_FILE)).name
FORMAT = 2
_MAX_BYTES = 16_000_000  # it holds the constitution, and the templates
SECRET_NAMES = ("_KEY", "_TOKEN", "_SECRET")
SHORTEST_SECRET = 8  # characters; a shorter value is more likely a word such as "chat"

JsonValue: TypeAlias = (
    "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
Status = Literal["done", "failed"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an example has no result. A retryable failure is retried by the same command.

    `kind` is the class of the error, `cause` the words under which it is counted.
    """

    kind: str
    message: str
    is_retryable: bool
    cause: str = "error"

    @classmethod
    def of(cls, error: CaiError) -> "Failure":
        return cls(type(error).__name__, str(error), error.retryable, error.cause)


@dataclass(frozen=True, slots=True)
class Record:
    """The result of one example: `body` is JSON, or empty if there is an `error`.

    `position` (0, 1, …) is its place in the source, and so in every export.
    """

    position: int
    id: str
    body: str
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class RunDescription:
    """The content of a `run.yaml`. `config` holds everything that decides the results."""

    config: Mapping[str, JsonValue]
    versions: Mapping[str, str]
    created: str

    @property
    def text(self) -> str:
        content = {
            "cai": FORMAT,
            "created": self.created,
            "config": self.config,
            "versions": dict(self.versions),
        }
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def describe(config: Mapping[str, JsonValue], versions: Mapping[str, str]) -> RunDescription:
    """A new description, as it will read after a round trip through the file.

    Raises:
        JournalError: A value of the config contains a secret of the environment.
    """
    secrets = {
        name: value
        for name, value in os.environ.items()
        if name.upper().endswith(SECRET_NAMES) and len(value) >= SHORTEST_SECRET
    }
    for field, text in _strings(config):
        for name, secret in secrets.items():
            if secret in text:
                raise JournalError(
                    f"The run config's field {field!r} contains the value of the environment "
                    f"variable {name}, and the config is written to {RUN_FILE}. Leave the value to "
                    "the variable, which is read when the run starts."
                )
    # As it reads from the file, where a tuple is a list: it will be compared with such a one.
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return _parse(RunDescription(config, versions, now).text, Path(RUN_FILE))


def _strings(value: JsonValue, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence):
        for index, inner in enumerate(value):
            yield from _strings(inner, f"{name}[{index}]")


def read_description(folder: Path) -> RunDescription:
    """The description of an existing run.

    Raises:
        JournalError: There is none, or it is damaged or from another version of cai.
    """
    path = folder / RUN_FILE
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise JournalError(
            f"{folder}: is not a run (it has no {RUN_FILE}). Give the folder of a finished or "
            "interrupted run."
        ) from error
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}. Check its permissions.") from error
    return _parse(data, path)


def _parse(data: str | bytes, path: Path) -> RunDescription:
    try:
        content: Any = read_plain(data, str(path), _MAX_BYTES, has_surrogates=True)
        if content["cai"] != FORMAT:
            age = "a newer" if content["cai"] > FORMAT else "an older"
            raise JournalError(
                f"{path} was written by {age} cai (format {content['cai']}; this one reads "
                f"{FORMAT}). Use that version, or another folder."
            )
        description = RunDescription(content["config"], content["versions"], content["created"])
        are_mappings = isinstance(content["config"], dict) and isinstance(content["versions"], dict)
        are_mappings = are_mappings and isinstance(content["created"], str)
    except ConstitutionError as error:  # the reader is that of constitutions
        raise _damaged(path, str(error).removesuffix(".")) from error
    except (KeyError, TypeError) as error:
        raise _damaged(path, " ".join(f"{type(error).__name__}: {error}".split())) from error
    if not are_mappings:
        raise _damaged(path, "'config' and 'versions' are not mappings, or 'created' is no text")
    return description


def _damaged(path: Path, reason: str) -> JournalError:
    return JournalError(
        f"{path}: cannot be read as the description of a run ({reason}). Restore a copy of it, or "
        "use another folder."
    )


def write_description(folder: Path, description: RunDescription) -> None:
    """Writes the file whole or not at all. Raises JournalError if it cannot be written."""
    advice = "Free some space, or use another folder."
    atomic_write(folder / RUN_FILE, description.text, JournalError, advice, is_durable=True)


def differences(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> list[str]:
    """A line "field: old → new" for each field of the run configs that differs."""
    before, after = dict(_leaves(old)), dict(_leaves(new))

    def shown(fields: Mapping[str, JsonValue], name: str) -> str:
        text = repr(fields[name]) if name in fields else "(absent)"
        return text if len(text) <= 80 else f"{text[:79]}…"

    # A field of one side alone differs even where its value on the other side would be None.
    return [
        f"{name}: {shown(before, name)} → {shown(after, name)}"
        for name in dict.fromkeys([*before, *after])
        if name not in before or name not in after or before[name] != after[name]
    ]


def _leaves(value: JsonValue, name: str = "") -> Iterator[tuple[str, JsonValue]]:
    """Each leaf under its dotted name; a list of scalars, or an empty mapping, is one leaf."""
    if isinstance(value, Mapping) and (value or not name):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{name}[{index}]")
    else:
        yield name, value


LOCK_FILE = "lock"
_TRIES, _PAUSE_S = 5, 0.01


class FolderLock:
    """The right to write a folder, from creation to `release`.

    Raises:
        JournalError: Another process has it, or the folder cannot be locked.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._descriptor = os.open(
                folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666
            )
        except OSError as error:
            raise JournalError(
                f"{folder}: cannot be written ({error.strerror}). Use another folder."
            ) from error
        try:
            # Several tries, because `writer_of` in another process holds the lock for a moment too:
            # `cai status` must not make a run fail that starts just then.
            for n_left in reversed(range(_TRIES)):
                try:
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not n_left:
                        raise
                    time.sleep(_PAUSE_S)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
        except BlockingIOError as error:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace") or "unknown"
            self.release()
            raise JournalError(
                f"{folder}: another process writes this run (pid {owner}). Wait for it or stop it; "
                "`cai export` reads what is finished while it runs."
            ) from error
        except OSError as error:
            self.release()
            raise JournalError(
                f"{folder}: cannot be locked ({error.strerror}). Use a folder on a local disk."
            ) from error

    def release(self) -> None:
        os.close(self._descriptor)


def writer_of(folder: Path) -> int | None:
    """The id of the process on this machine that writes the folder now; None if there is none."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        # Only the lock proves that there is a writer. The number alone may by now be that of
        # another process, as it is in every new container.
        pid = os.pread(descriptor, 20, 0)
        return int(pid) if pid.isdigit() else None
    except OSError:  # a file system without locks, on which no run can be written
        return None
    finally:
        os.close(descriptor)
    return None
