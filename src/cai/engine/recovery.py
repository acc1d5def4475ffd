"""A damaged journal: what can be read of it goes into a new one, and the old one is kept beside it.

Rows are read in the order of their numbers; where a page cannot be read, the rows on it are passed
over. An answer counts only if it is still the one that was stored, by its checksum.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from cai.engine.database import JOURNAL_FILE, Database, Row
from cai.engine.journal import checksum_of
from cai.engine.lock import FolderLock
from cai.engine.run_files import read_description
from cai.errors import JournalError

DAMAGED_FILE = f"{JOURNAL_FILE}.damaged"
_REPAIRED_FILE = f"{JOURNAL_FILE}.repaired"
_LOG, _INDEX = "-wal", "-shm"  # SQLite's own, beside each database; an index is made anew
_ROWS_A_PAGE = 40  # no page of 4,096 bytes holds more calls or records


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What the new journal holds, and where the old one is."""

    n_calls: int
    n_records: int
    damaged: Path


def salvage(folder: Path) -> Salvaged:
    """Makes a sound journal of what can be read of the one in the folder.

    Raises:
        JournalError: The folder is no run, another process writes it, there is no journal, or
            nothing of it can be read.
    """
    read_description(folder)
    lock = FolderLock(folder)
    try:
        return _salvage(folder)
    finally:
        lock.release()


def _salvage(folder: Path) -> Salvaged:
    path = folder / JOURNAL_FILE
    *earlier, free = _damaged(folder)
    if earlier and not path.exists():  # killed between the renamings
        source = damaged = earlier[-1]
        _put_logs_aside(path, damaged)
    else:
        source, damaged = path, free
    if not source.is_file():
        raise JournalError(f"{path} is missing. Put a copy of it back, or use another folder.")
    repaired = folder / _REPAIRED_FILE
    _remove(repaired)
    try:
        with (
            closing(sqlite3.connect(source.absolute().as_uri() + "?mode=ro", uri=True)) as old,
            closing(Database(repaired)) as new,
            new.transaction(),
        ):
            n_calls, n_records = _copy_calls(old, new), _copy_records(old, new)
    except sqlite3.Error as error:
        _remove(repaired)
        raise JournalError(
            f"{source}: nothing of it can be read ({error}). Put back a copy of it, or use another "
            "folder."
        ) from error
    if source == path:
        path.replace(damaged)
        _put_logs_aside(path, damaged)
    repaired.replace(path)
    return Salvaged(n_calls, n_records, damaged)


def _damaged(folder: Path) -> Iterator[Path]:
    """Where earlier repairs put the damaged files, and the first place that is free."""
    for number in count(1):
        path = folder / (DAMAGED_FILE if number == 1 else f"{DAMAGED_FILE}-{number}")
        yield path
        if not path.exists():
            return


def _put_logs_aside(path: Path, damaged: Path) -> None:
    """The log goes with its database: beside another one SQLite would write it into that."""
    path.with_name(path.name + _INDEX).unlink(missing_ok=True)
    log = path.with_name(path.name + _LOG)
    if log.exists() and log.stat().st_size:
        log.replace(damaged.with_name(damaged.name + _LOG))
    log.unlink(missing_ok=True)


def _remove(database: Path) -> None:
    for end in ("", _LOG, _INDEX):
        database.with_name(database.name + end).unlink(missing_ok=True)


def _copy_calls(old: sqlite3.Connection, new: Database) -> int:
    n = 0
    for row in _readable(old, "calls"):
        *_, checksum, answer = row
        if isinstance(answer, str) and checksum_of(answer) == checksum:
            marks = ", ".join("?" * len(row))
            n += new.write(f"INSERT OR IGNORE INTO calls VALUES ({marks})", *row)
    return n


def _copy_records(old: sqlite3.Connection, new: Database) -> int:
    n = 0
    for row in _readable(old, "records"):
        _, _, status, body, *_ = row
        if status == "failed" or _is_json(body):
            marks = ", ".join("?" * len(row))
            n += new.write(f"INSERT OR IGNORE INTO records VALUES ({marks})", *row)
    return n


def _readable(old: sqlite3.Connection, table: str) -> Iterator[Row]:
    """The rows of the table that can be read, in the order of their numbers.

    Raises:
        sqlite3.Error: Not even the list of tables can be read, or the table is not in it.
    """
    old.execute("PRAGMA writable_schema = ON")  # else a file that was cut short is not opened
    ((n_pages,),) = old.execute("PRAGMA page_count").fetchall()
    if (table,) not in old.execute("SELECT name FROM sqlite_master").fetchall():
        raise sqlite3.DatabaseError(f"it has no table of {table}")
    next_number, last = 0, n_pages * _ROWS_A_PAGE
    while next_number <= last:
        sql = f"SELECT rowid, * FROM {table} WHERE rowid >= ? ORDER BY rowid"
        try:
            for number, *row in old.execute(sql, (next_number,)):
                next_number = max(next_number, number + 1)  # a damaged page may say any number
                yield tuple(row)
            return
        except sqlite3.DatabaseError:
            next_number += 1


def _is_json(body: object) -> bool:
    try:
        json.loads(str(body))
    except ValueError:
        return False
    return True
