"""What became of each example, and how that is kept in the table `records`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cai.engine.database import Database, Row, storable
from cai.errors import CaiError

Status = Literal["done", "failed"]

PAGE = 256  # records read at a time: no read stays open, which would make the writer's log grow


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an example has no result. What is retryable is done again by the same command."""

    kind: str
    message: str
    is_retryable: bool

    @classmethod
    def of(cls, error: CaiError) -> "Failure":
        return cls(type(error).__name__, str(error), error.retryable)


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


def store_record(database: Database, record: Record) -> bool:
    """Whether it was stored, anew or in place of a failed one; a done one is never replaced.

    Raises:
        sqlite3.IntegrityError: Another example has its position.
    """
    assert record.position >= 0
    error = record.error
    values = (
        record.position,
        record.id,
        "failed" if error else "done",
        storable(record.body),
        storable(error.message) if error else None,
        error.kind if error else None,
        error.is_retryable if error else False,
    )
    return database.write(_ADD, *values) == 1


def read_records(database: Database, status: Status | None) -> Iterator[Record]:
    """The records of that status, or all, by position; a page at a time in memory."""
    last = -1
    while page := database.rows(_PAGE, last, status, status, PAGE):
        yield from map(_record, page)
        last = page[-1][0]


def _record(row: Row) -> Record:
    position, id, body, message, kind, is_retryable = row
    error = None if kind is None else Failure(kind, message, bool(is_retryable))
    return Record(position, id, body, error)


_ADD = """INSERT INTO records (position, id, status, body, error, error_kind, is_retryable)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET position = excluded.position, status = excluded.status,
        body = excluded.body, error = excluded.error, error_kind = excluded.error_kind,
        is_retryable = excluded.is_retryable
    WHERE records.status = 'failed'"""
_PAGE = """SELECT position, id, body, error, error_kind, is_retryable FROM records
    WHERE position > ? AND (? IS NULL OR status = ?) ORDER BY position LIMIT ?"""
