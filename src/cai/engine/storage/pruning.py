"""The answers that a journal holds, counted, and those that nobody needs any more taken out."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cai.engine.storage.database import JOURNAL_FILE, Database
from cai.engine.storage.lock import FolderLock
from cai.engine.storage.recipe import read_description

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Stock:
    """The answers to one role of one model. `n_unused` made none of the present records."""

    role: str
    model: str
    n_calls: int
    n_unused: int
    n_bytes: int
    oldest_s: float
    newest_s: float


@dataclass(frozen=True, slots=True)
class Choice:
    """Which answers are meant: those that all of the given conditions hold for."""

    model: str | None = None
    role: str | None = None
    older_than_days: float | None = None
    unused: bool = False


def stocks(database: Database) -> list[Stock]:
    """What the journal holds, by role and model."""
    return [Stock(*row) for row in database.rows(_STOCKS)]


def count_chosen(database: Database, choice: Choice) -> tuple[int, int]:
    """How many answers are meant, and how many bytes they take."""
    condition, values = _condition(choice)
    sql = f"SELECT count(*), coalesce(sum(length(answer)), 0) FROM calls WHERE {condition}"
    return database.rows(sql, *values)[0]


def prune(folder: Path, choice: Choice) -> int:
    """Takes the answers out and gives their room back to the disk; how many there were.

    The records that they made stay. What is taken out is asked anew if it is needed again.

    Raises:
        JournalError: The folder is no run, another process writes it, or the disk is full.
    """
    read_description(folder)
    condition, values = _condition(choice)
    lock = FolderLock(folder)
    try:
        with closing(Database(folder / JOURNAL_FILE)) as database:
            n = database.write(f"DELETE FROM calls WHERE {condition}", *values)
            database.rows("VACUUM")
            database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return n
    finally:
        lock.release()


def _condition(choice: Choice) -> tuple[str, Sequence[object]]:
    parts: list[tuple[str, object]] = []
    if choice.model is not None:
        parts.append(("model = ?", choice.model))
    if choice.role is not None:
        parts.append(("role = ?", choice.role))
    if choice.older_than_days is not None:
        parts.append(("created < ?", time.time() - choice.older_than_days * _DAY_S))
    if choice.unused:
        parts.append(("generation < (SELECT value FROM state WHERE name = ?)", "generation"))
    return " AND ".join(part for part, _ in parts) or "1", [value for _, value in parts]


_STOCKS = """SELECT role, model, count(*),
    sum(generation < (SELECT value FROM state WHERE name = 'generation')),
    sum(length(answer)), min(created), max(created) FROM calls GROUP BY role, model"""
