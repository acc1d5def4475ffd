"""What became of each example, and how that is kept in the table `records`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cai.engine.storage.database import Database, Row, storable
from cai.errors import CaiError

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
