"""The SQLite file of a run: one connection, with every failure as a `JournalError` that advises.

Write-ahead logging with `synchronous=FULL`: committed data survives SIGKILL and, on disks that
honour a flush, a power cut; readers in other threads and processes never wait for the writer.

Example:
    database = Database(folder / JOURNAL_FILE)
    with database.transaction():
        n_changed = database.write("DELETE FROM records WHERE id = ?", "7")
    rows = database.rows("SELECT id FROM records")
"""

import sqlite3
import zlib
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cai.errors import JournalError

JOURNAL_FILE = "journal.sqlite"
APPLICATION_ID = 0x63616A31  # "caj1" in the file's header: no other program's SQLite file has it
SCHEMA_VERSION = 3
BUSY_TIMEOUT_S = 30.0

# The answer is the last column, so that counting calls and tokens does not read the texts. SQLite
# notices a damaged page, but not a changed value, so every row has a checksum (`checksum_of`) of
# the others; that of a call leaves out its generation, which changes.
SCHEMA = (
    """CREATE TABLE calls (
        key BLOB PRIMARY KEY, kind TEXT NOT NULL, role TEXT NOT NULL, model TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, created REAL NOT NULL,
        generation INTEGER NOT NULL, checksum INTEGER NOT NULL, answer TEXT NOT NULL)""",
    """CREATE TABLE records (
        position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, status TEXT NOT NULL,
        body TEXT NOT NULL, error TEXT, error_kind TEXT, error_cause TEXT,
        is_retryable INTEGER NOT NULL, checksum INTEGER NOT NULL)""",
    "CREATE TABLE state (name TEXT PRIMARY KEY, value NOT NULL)",
    "INSERT INTO state VALUES ('generation', 1)",
)

_RECOVER = (
    "Recover what can be read with `cai cache repair RUN`, restore a copy of it, or use another "
    "folder."
)
DAMAGED = f"It is damaged. {_RECOVER}"
_ADVICE = {
    sqlite3.SQLITE_FULL: "The disk is full: free some space and give the same command again; it "
    "resumes from what is stored.",
    sqlite3.SQLITE_IOERR: "The disk could not be read or written: check its space, quota and "
    "health, then give the same command again.",
    sqlite3.SQLITE_READONLY: "It cannot be written: use another folder.",
    sqlite3.SQLITE_PERM: "It may not be opened: check its permissions, or use another folder.",
    sqlite3.SQLITE_CANTOPEN: "It cannot be opened: check its permissions, or copy the whole "
    "run folder to a place that can be written and use that.",
    sqlite3.SQLITE_BUSY: "Another program has locked it: close that and try again.",
    sqlite3.SQLITE_NOTADB: f"It is no journal, or its header is damaged. {_RECOVER}",
}

Row = tuple[Any, ...]


class Database:
    """One open connection, for any thread; every SQLite failure becomes a `JournalError`."""

    def __init__(self, path: Path, is_read_only: bool = False) -> None:
        self.path = path
        if is_read_only and not path.is_file():
            raise JournalError(f"{path} is missing. Restore it, or use another run folder.")
        with ExitStack() as undo:
            with _as_journal_error(path):
                self._connection = _connect_to_read(path) if is_read_only else _connect(str(path))
                undo.callback(self._connection.close)
                if not is_read_only:
                    # FULL costs one flush of the disk per commit, which is why answers are
                    # committed in groups (`Writer`). With NORMAL a power cut would lose the
                    # last seconds of answers, and those are paid for.
                    self._connection.execute("PRAGMA journal_mode = WAL")
                    self._connection.execute("PRAGMA synchronous = FULL")
            self._check_version()
            if not is_read_only and self._is_empty():
                # All in one transaction, so that a kill leaves an empty file for the next attempt.
                with self.transaction():
                    for statement in SCHEMA:
                        self.write(statement)
                    self.write(f"PRAGMA application_id = {APPLICATION_ID}")
                    self.write(f"PRAGMA user_version = {SCHEMA_VERSION}")
            undo.pop_all()

    def rows(self, sql: str, *values: object) -> list[Row]:
        with _as_journal_error(self.path):
            return self._connection.execute(sql, values).fetchall()

    def write(self, sql: str, *values: object) -> int:
        """The number of rows that changed; outside a transaction they are durable on return.

        Raises:
            sqlite3.IntegrityError: A constraint of the table forbids it.
        """
        with _as_journal_error(self.path):
            return self._connection.execute(sql, values).rowcount

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Commits all writes inside the block when it ends; none of them after an error."""
        self.write("BEGIN IMMEDIATE")
        try:
            yield
            self.write("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk has ended it by itself
                self.write("ROLLBACK")
            raise

    def check(self, table: str | None = None) -> None:
        """Checks the structure of the whole file; or of one table, and that its index agrees.

        Raises:
            JournalError: It is damaged, for instance cut short.
        """
        check = "quick_check(3)" if table is None else f"integrity_check({table})"
        lines = [str(line) for (line,) in self.rows(f"PRAGMA {check}")]
        if lines != ["ok"]:
            shown = " ".join("; ".join(lines[:3]).split())
            raise JournalError(f"{self.path}: {shown}. {DAMAGED}")

    def close(self) -> None:
        self._connection.close()

    def _is_empty(self) -> bool:
        return not self.rows("SELECT 1 FROM sqlite_master LIMIT 1")

    def _check_version(self) -> None:
        application = self.rows("PRAGMA application_id")[0][0]
        version = self.rows("PRAGMA user_version")[0][0]
        if application == 0 and self._is_empty():
            return
        if application != APPLICATION_ID:
            raise JournalError(f"{self.path} is a database of another program. Use another folder.")
        if version != SCHEMA_VERSION:
            age, advice = "a newer", "Update cai"
            if version < SCHEMA_VERSION:
                age, advice = "an older", "Use the version that its run.yaml names"
            raise JournalError(
                f"{self.path} was written by {age} cai (format {version}; this one reads "
                f"{SCHEMA_VERSION}). {advice}, or use another folder."
            )
        tables = [sql for (sql,) in self.rows("SELECT sql FROM sqlite_master WHERE type = 'table'")]
        if tables != list(SCHEMA[:3]):  # a changed name or type would change what is read
            raise JournalError(f"{self.path}: its tables have other columns. {DAMAGED}")


def storable(text: str) -> str:
    r"""The text with lone surrogates, which a model may emit and SQLite refuses, as `\udXXX`.

    JSON has the same escape for them, so the meaning of a JSON text does not change.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def checksum_of(text: object, *values: object) -> int:
    """CRC-32 of a row: its longest text, and its other values."""
    # A damaged row may hold any type in any column, and must differ, not fail.
    content = (
        text.encode("utf-8", "surrogatepass") if isinstance(text, str) else repr(text).encode()
    )
    return zlib.crc32(repr((type(text).__name__, values)).encode(), zlib.crc32(content))


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that sees what a running writer commits, and that works on a read-only disk."""
    address = path.absolute().as_uri() + "?mode=ro"
    connection = _connect(address)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.OperationalError:
        connection.close()
        # On a read-only disk SQLite cannot create the index that it shares with a writer. A journal
        # that was closed properly has no log, is complete in its one file, and needs no index.
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
        # Autocommit: Python's own transaction control would open one before a write and hold it.
        isolation_level=None,
        check_same_thread=False,
    )


@contextmanager
def _as_journal_error(path: Path) -> Generator[None]:
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        raise  # our own mistake, or a conflict that the caller explains
    except sqlite3.Error as error:
        # The last byte of an extended code, such as SQLITE_IOERR_WRITE, is the basic one.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        reason = " ".join(str(error).split())
        raise JournalError(f"{path}: {reason}. {_ADVICE.get(code, DAMAGED)}") from error
    except UnicodeDecodeError as error:  # in a name of the file's own schema
        raise JournalError(f"{path}: {error}. {DAMAGED}") from error
