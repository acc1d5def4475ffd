"""The SQLite file of a run, with every failure told as a `JournalError`.

Write-ahead logging with `synchronous=FULL`: what is committed survives SIGKILL and, where the disk
keeps its word, a power cut; readers in other threads and processes never wait for the writer. FULL
costs one flush of the disk a commit, which is why answers are committed in groups (`writer.py`).
With NORMAL a power cut would take the last seconds with it, and those answers are paid for.
"""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cai.errors import JournalError

JOURNAL_FILE = "journal.sqlite"
APPLICATION_ID = (
    0x63616A31  # "caj1", in the header of the file: tells ours from any other SQLite file
)
SCHEMA_VERSION = 2
BUSY_TIMEOUT_S = 30.0

# The answer stands last, so that counting calls and tokens does not read the texts.
SCHEMA = (
    """CREATE TABLE calls (
        key BLOB PRIMARY KEY, kind TEXT NOT NULL, role TEXT NOT NULL, model TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, created REAL NOT NULL,
        generation INTEGER NOT NULL, checksum INTEGER NOT NULL, answer TEXT NOT NULL)""",
    """CREATE TABLE records (
        position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, status TEXT NOT NULL,
        body TEXT NOT NULL, error TEXT, error_kind TEXT, error_cause TEXT,
        is_retryable INTEGER NOT NULL)""",
    "CREATE TABLE state (name TEXT PRIMARY KEY, value NOT NULL)",
    "INSERT INTO state VALUES ('generation', 1)",
)

_ADVICE = {
    sqlite3.SQLITE_FULL: "The disk is full: free some space and give the same command again; it "
    "goes on from what is stored.",
    sqlite3.SQLITE_IOERR: "The disk could not be read or written: look at its space, quota and "
    "health, then give the same command again.",
    sqlite3.SQLITE_READONLY: "It cannot be written: use another folder.",
    sqlite3.SQLITE_PERM: "It may not be opened: look at its permissions, or use another folder.",
    sqlite3.SQLITE_CANTOPEN: "It cannot be opened: look at its permissions, or copy the whole "
    "run folder to a place that can be written and use that.",
    sqlite3.SQLITE_BUSY: "Another program holds it: close that and try again.",
    sqlite3.SQLITE_NOTADB: "It is not a journal, or its beginning is damaged: put back a copy of "
    "it, or use another folder.",
}
DAMAGED = (
    "It is damaged. Keep what can be read with `cai cache repair RUN`, put back a copy of it, or "
    "use another folder."
)

Row = tuple[Any, ...]


class Database:
    """One open connection. It may be used from any thread."""

    def __init__(self, path: Path, is_read_only: bool = False) -> None:
        self.path = path
        if is_read_only and not path.is_file():
            raise JournalError(f"{path} is missing. Put it back, or use another run folder.")
        with _as_journal_error(path):
            self._connection = _open_to_read(path) if is_read_only else _open_to_write(path)
        try:
            self._check_version()
            if not is_read_only:
                self._make_tables()
        except BaseException:
            self._connection.close()
            raise

    def rows(self, sql: str, *values: object) -> list[Row]:
        with _as_journal_error(self.path):
            return self._connection.execute(sql, values).fetchall()

    def write(self, sql: str, *values: object) -> int:
        """How many rows changed. Outside of a transaction they are safe when this returns.

        Raises:
            sqlite3.IntegrityError: A rule of the table forbids it; for the caller to explain.
        """
        with _as_journal_error(self.path):
            return self._connection.execute(sql, values).rowcount

    @contextmanager
    def transaction(self) -> Generator[None]:
        """What is written inside is safe, all of it, when this ends; none of it after an error."""
        self.write("BEGIN IMMEDIATE")
        try:
            yield
            self.write("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk has ended it already
                self.write("ROLLBACK")
            raise

    def check(self) -> None:
        """Reads the structure of the whole file.

        Raises:
            JournalError: It is damaged, for instance cut short.
        """
        found = [line for (line,) in self.rows("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            shown = " ".join("; ".join(found).split())
            raise JournalError(f"{self.path}: {shown}. {DAMAGED}")

    def close(self) -> None:
        self._connection.close()

    def _check_version(self) -> None:
        application = self.rows("PRAGMA application_id")[0][0]
        version = self.rows("PRAGMA user_version")[0][0]
        is_empty = not self.rows("SELECT 1 FROM sqlite_master LIMIT 1")
        if application != APPLICATION_ID and not (is_empty and application == 0):
            raise JournalError(f"{self.path} is a database of another program. Use another folder.")
        if version > SCHEMA_VERSION:
            raise JournalError(
                f"{self.path} was written by a newer cai (format {version}; this one reads "
                f"{SCHEMA_VERSION}). Update cai, or use another folder."
            )
        if not is_empty and version < SCHEMA_VERSION:
            raise JournalError(
                f"{self.path} was written by an older cai (format {version}; this one reads "
                f"{SCHEMA_VERSION}). Use the version that its run.yaml names, or another folder."
            )

    def _make_tables(self) -> None:
        """All or nothing, so that a kill in between leaves an empty file that is begun anew."""
        if self.rows("SELECT 1 FROM sqlite_master LIMIT 1"):
            return
        with self.transaction():
            for statement in SCHEMA:
                self.write(statement)
            self.write(f"PRAGMA application_id = {APPLICATION_ID}")
            self.write(f"PRAGMA user_version = {SCHEMA_VERSION}")


def storable(text: str) -> str:
    r"""The text with lone surrogates, which a model may give and SQLite refuses, as `\udXXX`.

    Inside JSON that is the very escape for them, so a JSON text keeps its meaning.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def _open_to_write(path: Path) -> sqlite3.Connection:
    connection = _connect(str(path))
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that sees what a running writer commits, and that works on a read-only medium.

    There SQLite cannot make the index that it shares with a writer; a journal that was closed
    properly is whole in its one file and is then read without any.
    """
    address = path.absolute().as_uri() + "?mode=ro"
    connection = _connect(address)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.OperationalError:
        connection.close()
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise
        return _connect(address + "&immutable=1")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(address: str) -> sqlite3.Connection:
    return sqlite3.connect(
        address,
        uri=address.startswith("file:"),
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,  # every statement is its own transaction
        check_same_thread=False,
    )


@contextmanager
def _as_journal_error(path: Path) -> Generator[None]:
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        raise
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        raise JournalError(f"{path}: {error}. {_ADVICE.get(code, DAMAGED)}") from error
