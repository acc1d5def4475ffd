"""`run.yaml`: what a run was told to do, with which versions, since when. Never a secret.

What became of each example, and how that is kept in the table `records`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml

from cai.atomic_write import atomic_write, part_path
from cai.engine.database import Database, Row, storable
from cai.errors import CaiError, JournalError

RUN_FILE = "run.yaml"
PART_FILE = part_path(Path(RUN_FILE)).name
FORMAT = 2
SECRET_NAMES = ("_KEY", "_TOKEN", "_SECRET")
SHORTEST_SECRET = 8  # characters; what is shorter is more likely a word such as "chat"

JsonValue: TypeAlias = (
    "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)


@dataclass(frozen=True, slots=True)
class RunDescription:
    """The content of a `run.yaml`. `config` holds all that decides what the examples become."""

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
    """A new description, as it will read once it has been through the file.

    Raises:
        JournalError: A value of the config contains a secret of the environment.
    """
    _refuse_secrets(config)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return _parsed(RunDescription(config, versions, now).text, Path(RUN_FILE))


def read_description(folder: Path) -> RunDescription:
    """The description of an existing run.

    Raises:
        JournalError: There is none, or it is damaged or from a newer cai.
    """
    path = folder / RUN_FILE
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise JournalError(
            f"{folder}: is not a run (it has no {RUN_FILE}). Give the folder of a finished or "
            "interrupted run."
        ) from error
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}. Look at its permissions.") from error
    except UnicodeDecodeError as error:
        raise _damaged(path, "it is not UTF-8") from error
    return _parsed(text, path)


def write_description(folder: Path, description: RunDescription) -> None:
    """Puts the file in place whole or not at all."""
    advice = "Free some space, or use another folder."
    atomic_write(folder / RUN_FILE, description.text, JournalError, advice, is_durable=True)


def differences(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> list[str]:
    """A line "field: old → new" for each field of the run configs that differs."""
    before, after = dict(_fields(old)), dict(_fields(new))
    return [
        f"{name}: {_shown(before, name)} → {_shown(after, name)}"
        for name in [*before, *(name for name in after if name not in before)]
        if name not in before or name not in after or before[name] != after[name]
    ]


def _parsed(text: str, path: Path) -> RunDescription:
    try:
        content: Any = yaml.safe_load(text)
        if content["cai"] != FORMAT:
            age = "a newer" if content["cai"] > FORMAT else "an older"
            raise JournalError(
                f"{path} was written by {age} cai (format {content['cai']}; this one reads "
                f"{FORMAT}). Use that version, or another folder."
            )
        description = RunDescription(content["config"], content["versions"], content["created"])
        are_mappings = isinstance(content["config"], dict) and isinstance(content["versions"], dict)
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise _damaged(path, " ".join(f"{type(error).__name__}: {error}".split())) from error
    if not are_mappings:
        raise _damaged(path, "'config' and 'versions' are not mappings")
    return description


def _damaged(path: Path, found: str) -> JournalError:
    return JournalError(
        f"{path}: cannot be read as the description of a run ({found}). Put back a copy of it, or "
        "use another folder."
    )


def _fields(value: JsonValue, name: str = "") -> Iterator[tuple[str, JsonValue]]:
    """Each leaf under its dotted name; a list of scalars, or an empty mapping, is one leaf."""
    if isinstance(value, Mapping) and (value or not name):
        for key, inner in value.items():
            yield from _fields(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        for index, inner in enumerate(value):
            yield from _fields(inner, f"{name}[{index}]")
    else:
        yield name, value


def _shown(fields: Mapping[str, JsonValue], name: str) -> str:
    if name not in fields:
        return "(absent)"
    text = repr(fields[name])
    return text if len(text) <= 80 else f"{text[:79]}…"


def _refuse_secrets(config: Mapping[str, JsonValue]) -> None:
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


def _strings(value: JsonValue, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence):
        for index, inner in enumerate(value):
            yield from _strings(inner, f"{name}[{index}]")


Status = Literal["done", "failed"]

PAGE = 256  # records read at a time: no read stays open, which would make the writer's log grow


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an example has no result. What is retryable is done again by the same command.

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
    """What became of one example: `body` is JSON, or empty where there is an `error`.

    `position` is its place in the source, and so in every export.
    """

    position: int
    id: str
    body: str
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    done: int
    failed: int


def storing(record: Record) -> tuple[str, *tuple[object, ...]]:
    """The statement and its values that store the record.

    It changes one row where the record is new or replaces a failed one, none where the example is
    done already, and breaks a rule of the table where another example has its position.
    """
    assert record.position >= 0
    error = record.error
    return (
        _ADD,
        record.position,
        record.id,
        "failed" if error else "done",
        storable(record.body),
        storable(error.message) if error else None,
        error.kind if error else None,
        error.cause if error else None,
        error.is_retryable if error else False,
    )


def count_failures(database: Database) -> dict[str, int]:
    """How many examples failed for each cause, the most frequent first."""
    return dict(database.rows(_CAUSES))


def read_records(database: Database, status: Status | None) -> Iterator[Record]:
    """The records of that status, or all, by position; a page at a time in memory."""
    last = -1
    while page := database.rows(_PAGE, last, status, status, PAGE):
        yield from map(_record, page)
        last = page[-1][0]


def _record(row: Row) -> Record:
    position, id, body, message, kind, cause, is_retryable = row
    error = None if kind is None else Failure(kind, message, bool(is_retryable), cause)
    return Record(position, id, body, error)


_ADD = """INSERT INTO records
    (position, id, status, body, error, error_kind, error_cause, is_retryable)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET position = excluded.position, status = excluded.status,
        body = excluded.body, error = excluded.error, error_kind = excluded.error_kind,
        error_cause = excluded.error_cause, is_retryable = excluded.is_retryable
    WHERE records.status = 'failed'"""
_PAGE = """SELECT position, id, body, error, error_kind, error_cause, is_retryable FROM records
    WHERE position > ? AND (? IS NULL OR status = ?) ORDER BY position LIMIT ?"""
_CAUSES = """SELECT error_cause, count(*) FROM records WHERE status = 'failed'
    GROUP BY error_cause ORDER BY count(*) DESC, error_cause"""
