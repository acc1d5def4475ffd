"""Repair of a damaged journal: what can be read goes into a new file, the old one stays beside it.

Rows are read in the order of their numbers; where a page cannot be read, its rows are skipped. An
answer or a record counts only if its checksum is right. Where the header or the schema is damaged,
which stand on the first page, a copy of the file is read with the first page of an empty journal:
all journals are made by the same statements, so their tables begin on the same pages.
"""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from cai.engine.database import JOURNAL_FILE, Database, Row
from cai.engine.journal import is_intact_call
from cai.engine.run_files import FolderLock, read_description
from cai.engine.run_folder import is_intact_record
from cai.errors import JournalError

DAMAGED_FILE = f"{JOURNAL_FILE}.damaged"
_REPAIRED_FILE = f"{JOURNAL_FILE}.repaired"
_COPY_FILE = f"{JOURNAL_FILE}.copy"
_LAYOUT = "SELECT name, rootpage, sql FROM sqlite_master ORDER BY name"
PAGE_BYTES = 4096
_SIZE = slice(28, 32)  # of a database in pages, in its header: sqlite.org/fileformat.html, 1.3
_LOG, _INDEX = "-wal", "-shm"  # SQLite's own, beside each database; it can rebuild an index
_MOST_PARTS = 100  # a damaged page may hold any number
_ROWS_A_PAGE = 40  # no page of 4,096 bytes holds more calls or records


@dataclass(frozen=True, slots=True)
class Salvaged:
    """The size of the new journal, and the path of the old one."""

    n_calls: int
    n_records: int
    damaged: Path


def salvage(folder: Path) -> Salvaged:
    """Replaces the journal of the folder by a sound one of what can be read of it.

    Raises:
        JournalError: The folder is not a run, another process writes it, there is no journal, or
            nothing of it can be read.
    """
    read_description(folder)
    lock = FolderLock(folder)
    try:
        path, repaired = folder / JOURNAL_FILE, folder / _REPAIRED_FILE
        earlier: list[Path] = []  # the damaged files of earlier repairs
        damaged = folder / DAMAGED_FILE
        while damaged.exists():
            earlier.append(damaged)
            damaged = folder / f"{DAMAGED_FILE}-{len(earlier) + 1}"
        source = path
        if earlier and not path.exists():
            # A repair was killed between its two renamings, so the newest damaged file is still to
            # be read. Its log may still have the name of the journal.
            source = damaged = earlier[-1]
            _move_log(path, damaged)
        if not source.is_file():
            raise JournalError(f"{path} is missing. Restore a copy of it, or use another folder.")
        _remove(repaired)
        try:
            n_calls, n_records = _copy_rows(source, repaired)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            _remove(repaired)
            raise JournalError(
                f"{source}: nothing of it can be read ({error}). Restore a copy of it, or use "
                "another folder."
            ) from error
        if source == path:
            path.replace(damaged)
            _move_log(path, damaged)
        repaired.replace(path)
        return Salvaged(n_calls, n_records, damaged)
    finally:
        lock.release()


def _move_log(path: Path, damaged: Path) -> None:
    """The log goes with its database: SQLite would replay it into the new file beside it."""
    path.with_name(path.name + _INDEX).unlink(missing_ok=True)
    log = path.with_name(path.name + _LOG)
    if log.exists() and log.stat().st_size:
        log.replace(damaged.with_name(damaged.name + _LOG))
    log.unlink(missing_ok=True)


def _remove(database: Path) -> None:
    for end in ("", _LOG, _INDEX):
        database.with_name(database.name + end).unlink(missing_ok=True)


def _copy_rows(source: Path, repaired: Path) -> tuple[int, int]:
    """Copies the intact rows into a new journal; the numbers of calls and records.

    Raises:
        sqlite3.Error: The first page is damaged, and no row is left.
    """
    Database(repaired).close()  # its log, which is merged into the file only now, had the page
    first_page = repaired.read_bytes()[:PAGE_BYTES]
    with closing(Database(repaired)) as new, new.transaction():
        counts, damage = _copy_tables(source, new)
        if damage is not None:
            copy = source.with_name(_COPY_FILE)
            try:
                _replace_first_page(source, copy, first_page)
                counts += _copy_tables(copy, new)[0]
            finally:
                _remove(copy)
            if not counts.total():
                raise damage
    return counts["calls"], counts["records"]


def _copy_tables(
    path: Path, new: Database
) -> tuple[Counter[str], sqlite3.Error | UnicodeDecodeError | None]:
    """Copies what can be read of each table; how much, and what was wrong with the first page."""
    counts = Counter[str]()
    damage: sqlite3.Error | UnicodeDecodeError | None = None
    with closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)) as old:
        for table in ("calls", "records"):
            try:
                # otherwise a truncated file cannot be opened
                old.execute("PRAGMA writable_schema = ON")
                if old.execute(_LAYOUT).fetchall() != new.rows(_LAYOUT):
                    damage = sqlite3.DatabaseError("its tables are not those of a journal")
                counts[table] = _copy(old, new, table)
            except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter in a column's name
                damage = error
    return counts, damage


def _replace_first_page(source: Path, copy: Path, first_page: bytes) -> None:
    """Copies a database and its log, with that first page and the size of the file in it."""
    shutil.copyfile(source, copy)
    log = source.with_name(source.name + _LOG)
    if log.exists():
        shutil.copyfile(log, copy.with_name(copy.name + _LOG))
    n_pages = -(-source.stat().st_size // PAGE_BYTES)
    page = bytearray(first_page)
    page[_SIZE] = n_pages.to_bytes(4, "big")
    with copy.open("r+b") as file:
        file.write(page)
        file.truncate(max(n_pages, 1) * PAGE_BYTES)


def _copy(old: sqlite3.Connection, new: Database, table: str) -> int:
    """Copies the intact rows of the table that are not there yet; the number of them."""
    is_intact = is_intact_call if table == "calls" else is_intact_record
    n = 0
    for row in _readable_rows(old, table):
        if is_intact(row):
            marks = ", ".join("?" * len(row))
            n += new.write(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", *row)
    return n


def _readable_rows(old: sqlite3.Connection, table: str) -> Iterator[Row]:
    """The rows that can be read, by number; a `sqlite3.Error` where not even the tables can be."""
    ((n_pages,),) = old.execute("PRAGMA page_count").fetchall()
    if (table,) not in old.execute("SELECT name FROM sqlite_master").fetchall():
        raise sqlite3.DatabaseError(f"it has no table of {table}")
    # In a part of a run (`--part`) the positions are not dense, so the last number that can be read
    # from the end of the table counts too.
    last = n_pages * _ROWS_A_PAGE
    with suppress(sqlite3.DatabaseError):
        ((highest,),) = old.execute(f"SELECT max(rowid) FROM {table}").fetchall()
        last = min(max(last, highest or 0), last * _MOST_PARTS)
    next_number = 0
    while next_number <= last:
        sql = f"SELECT rowid, * FROM {table} WHERE rowid >= ? ORDER BY rowid"
        try:
            for number, *row in old.execute(sql, (next_number,)):
                next_number = max(next_number, number + 1)  # a damaged page may hold any number
                yield tuple(row)
            return
        except sqlite3.DatabaseError:
            next_number += 1
