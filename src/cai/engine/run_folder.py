"""A run is one folder: `run.yaml`, the journal of its calls, and a record for each example.

A folder is a run as soon as it has a `run.yaml`, which is written last: the next command reuses
whatever a killed creation left.

Example:
    with RunFolder.open(Path("runs/first"), config, versions) as run:
        model = journaled(model, run.journal)  # from cai.engine.journal
        for position, prompt in enumerate(prompts):
            if run.to_do(prompt.id):
                chain = await revise(model, prompt)
                await run.store(Record(position, prompt.id, dump(chain)))  # cai.runs.records
"""

import logging
import sqlite3
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cai.engine.database import DAMAGED, JOURNAL_FILE, Database, Row, checksum_of, storable
from cai.engine.journal import Journal
from cai.engine.run_files import (
    LOCK_FILE,
    PART_FILE,
    RUN_FILE,
    Counts,
    Failure,
    FolderLock,
    JsonValue,
    Record,
    RunDescription,
    Status,
    describe,
    differences,
    read_description,
    write_description,
)
from cai.engine.writer import Writer
from cai.errors import JournalError

# Files that a creation may leave when it is killed before `run.yaml` is written.
_UNFINISHED = {
    LOCK_FILE,
    PART_FILE,
    JOURNAL_FILE,
    f"{JOURNAL_FILE}-journal",  # SQLite's own, until it has changed to a write-ahead log
    f"{JOURNAL_FILE}-wal",
    f"{JOURNAL_FILE}-shm",
}

PAGE = 256  # records read at a time: no read stays open, which would make the writer's log grow

# Inserts a new record or replaces a failed one: one row changes. No row changes if the example is
# done already; if another example has its position, SQLite raises IntegrityError.
_STORE = """INSERT INTO records
    (position, id, status, body, error, error_kind, error_cause, is_retryable, checksum)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET position = excluded.position, status = excluded.status,
        body = excluded.body, error = excluded.error, error_kind = excluded.error_kind,
        error_cause = excluded.error_cause, is_retryable = excluded.is_retryable,
        checksum = excluded.checksum
    WHERE records.status = 'failed'"""
_READ_PAGE = "SELECT * FROM records WHERE position > ? ORDER BY position LIMIT ?"
_BEFORE_THE_FIRST = -(2**63)  # a damaged position may be negative; it must not be passed over
_CAUSES = """SELECT error_cause, count(*) FROM records WHERE status = 'failed'
    GROUP BY error_cause ORDER BY count(*) DESC, error_cause"""
# SQLite takes the other columns from the row that has the minimum.
_REASONS = """SELECT error_cause, error, min(position) FROM records WHERE status = 'failed'
    GROUP BY error_cause"""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _WriteAccess:
    """What only the one process has that writes the run."""

    database: Database
    writer: Writer
    lock: FolderLock


class RunFolder:
    """An open run; close it, or use it in a `with` statement.

    One connection reads, so that a lookup never waits for a commit; another one writes, in its own
    thread. `version_changes` lists the packages whose version is not the one that the run was
    created with, as "name: old → new".
    """

    def __init__(
        self,
        path: Path,
        description: RunDescription,
        reader: Database,
        access: _WriteAccess | None = None,
        version_changes: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.config = description.config
        self.versions = description.versions
        self.created = description.created
        self.version_changes = version_changes
        self.database = reader
        self._access = access
        self.journal = Journal(reader, access.writer if access else None)

    @classmethod
    def open(
        cls,
        path: Path,
        config: Mapping[str, JsonValue],
        versions: Mapping[str, str],
        *,
        update: bool = False,
    ) -> "RunFolder":
        """The run in that folder, created if absent, with the exclusive right to write it.

        `config` holds everything that decides the results, and nothing else: a run resumes with an
        equal config only. With `update`, a run with other settings changes to these: its records
        are made again, and the journal answers every call that the change does not affect.

        Raises:
            JournalError: The folder cannot be written, contains other files than a run's, is a run
                with other settings, is being written by another process, or is damaged; or the
                config contains a secret.
        """
        requested = describe(config, versions)
        was_empty = _make_folder(path)
        try:
            lock = FolderLock(path)
        except JournalError:
            with suppress(OSError):  # not empty: then it is not ours to remove
                path.rmdir()
            raise
        with ExitStack() as undo:
            undo.callback(lock.release)
            is_run = (path / RUN_FILE).exists()
            # A folder with the remains of a killed creation keeps them: the next command uses them.
            if was_empty:
                undo.callback(_remove_unfinished, path)
            stored = _check_existing(path, requested, update) if is_run else requested
            database = Database(path / JOURNAL_FILE)
            undo.callback(database.close)
            if is_run:
                database.check()
            elif database.rows("SELECT 1 FROM calls UNION ALL SELECT 1 FROM records LIMIT 1"):
                raise JournalError(
                    f"{path}: has the {JOURNAL_FILE} of a run but no {RUN_FILE}. Restore that file,"
                    " or use another folder."
                )
            else:
                write_description(path, requested)
            if stored.config != requested.config:
                # The records go and the journal stays, so calls that it can still answer are not
                # repeated. A kill between the two steps leaves the old config without records: the
                # next command reports other settings again, and --update repeats the change.
                with database.transaction():
                    database.write("DELETE FROM records")
                    database.write("UPDATE state SET value = value + 1 WHERE name = 'generation'")
                write_description(path, requested)
                stored = requested
            # Last, as it needs the tables, which the first connection has created by now.
            reader = Database(path / JOURNAL_FILE, is_read_only=True)
            undo.callback(reader.close)
            access = _WriteAccess(database, Writer(database), lock)
            undo.pop_all()
        changes = tuple(differences(stored.versions, requested.versions))
        if changes:
            _logger.warning("%s: other versions than at its creation: %s", path, "; ".join(changes))
        return cls(path, stored, reader, access, changes)

    @classmethod
    def existing(cls, path: Path) -> "RunFolder":
        """The run in that folder, read-only; also while another process writes it.

        Raises:
            JournalError: The folder is not a run, or cannot be read.
        """
        description = read_description(path)
        return cls(path, description, Database(path / JOURNAL_FILE, is_read_only=True))

    async def store(self, record: Record) -> None:
        """Stores the record durably before it returns; it replaces a failed one of the example.

        Raises:
            JournalError: The example is done already, or another one has its position; or the disk
                is full or the file damaged.
        """
        with self._as_journal_error(record):
            if not await self._writer.write(_STORE, *_values(record)):
                raise self._conflict(record, "it is done already")

    def add(self, record: Record) -> None:
        """As `store`, for callers without an event loop. Raises the same."""
        with self._as_journal_error(record):
            if not self._writer.put(_STORE, *_values(record)).result():
                raise self._conflict(record, "it is done already")

    def to_do(self, id: str, retry_failed: bool = False) -> bool:
        """Whether the example is still to do: new, failed for a retryable cause, or to retry."""
        rows = self.database.rows("SELECT * FROM records WHERE id = ?", id)
        if not rows:
            return True
        error = self._read(rows[0]).error
        return error is not None and (retry_failed or error.is_retryable)

    def records(self, status: Status | None = None) -> Iterator[Record]:
        """The records with that status, or all, by position; a page at a time in memory.

        Raises:
            JournalError: One of the records is damaged, whatever its status, or some are lost.
        """
        self.database.check("records")
        position = _BEFORE_THE_FIRST
        while page := self.database.rows(_READ_PAGE, position, PAGE):
            for row in page:
                record = self._read(row)
                # Rows that are out of order would be read again and again.
                if record.position <= position:
                    raise self._damaged("the order of its records")
                position = record.position
                if status is None or (status == "done") == (record.error is None):
                    yield record

    def counts(self) -> Counts:
        by_status: dict[str, int] = dict(
            self.database.rows("SELECT status, count(*) FROM records GROUP BY status")
        )
        if not by_status.keys() <= {"done", "failed"}:
            raise self._damaged("the status of a record")
        return Counts(by_status.get("done", 0), by_status.get("failed", 0))

    def failures(self) -> dict[str, int]:
        """The number of failed examples by cause, the most frequent first."""
        causes = dict(self.database.rows(_CAUSES))
        if not all(isinstance(cause, str) for cause in causes):
            raise self._damaged("the cause of a failure")
        return causes

    def _read(self, row: Row) -> Record:
        """The record in a row of its table."""
        if not is_intact_record(row):
            raise self._damaged(f"the record at position {row[0]}")
        position, id, _, body, message, kind, cause, is_retryable, _ = row
        error = None if kind is None else Failure(kind, message, bool(is_retryable), cause)
        return Record(position, id, body, error)

    def _damaged(self, what: str) -> JournalError:
        return JournalError(f"{self.database.path}: {what} has changed on the disk. {DAMAGED}")

    def reasons(self) -> dict[str, str]:
        """The message of the first failed example of each cause."""
        return {cause: message for cause, message, _ in self.database.rows(_REASONS)}

    def state(self, name: str) -> object:
        """The value stored under that name beside the records; None if there is none."""
        rows = self.database.rows("SELECT value FROM state WHERE name = ?", name)
        return rows[0][0] if rows else None

    def put_state(self, name: str, value: str) -> None:
        """Replaces the value stored under that name; returns before it is committed."""
        self._writer.put("INSERT OR REPLACE INTO state VALUES (?, ?)", name, value)

    def close(self) -> None:
        """Closes the journal and releases the run for other writers; repeated calls do nothing."""
        # The reader first: the last connection to close merges SQLite's log into the file, and a
        # read-only one could not.
        self.database.close()
        if self._access:
            self._access.writer.close()
            self._access.database.close()
            self._access.lock.release()
            self._access = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def _writer(self) -> Writer:
        if self._access is None:
            raise JournalError(f"{self.path}: was opened to be read. Open it to write.")
        return self._access.writer

    @contextmanager
    def _as_journal_error(self, record: Record) -> Generator[None]:
        try:
            yield
        except sqlite3.IntegrityError as conflict:
            raise self._conflict(record, "another example has that position") from conflict

    def _conflict(self, record: Record, reason: str) -> JournalError:
        return JournalError(
            f"{self.path}: example {record.id!r} cannot be stored at position {record.position}: "
            f"{reason}. The source is not the one of the run: use another folder."
        )


def _values(record: Record) -> tuple[object, ...]:
    """The parameters of `_STORE`."""
    assert record.position >= 0
    position, id, body, error = record.position, record.id, storable(record.body), record.error
    values: tuple[object, ...] = (position, id, "done", body, None, None, None, 0)
    if error is not None:
        failure = (storable(error.message), error.kind, error.cause, int(error.is_retryable))
        values = (position, id, "failed", body, *failure)
    return (*values, checksum_of(body, *values[:3], *values[4:]))


def is_intact_record(row: Row) -> bool:
    """Whether a row of the table `records` is as it was written."""
    *values, checksum = row
    return checksum_of(values[3], *values[:3], *values[4:]) == checksum


def _make_folder(path: Path) -> bool:
    """Creates the folder if it does not exist; whether it is empty now."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {inner.name for inner in path.iterdir()}
    except FileExistsError as error:
        raise JournalError(f"{path}: is a file, not a folder. Use another name.") from error
    except OSError as error:
        raise JournalError(
            f"{path}: cannot be made or read as a folder ({error.strerror}). Use another place."
        ) from error
    if RUN_FILE not in names and not names <= _UNFINISHED:
        raise JournalError(
            f"{path}: contains other files and is not a run (it has no {RUN_FILE}). Use an empty "
            "or a new folder."
        )
    return not names


def _remove_unfinished(path: Path) -> None:
    """Undoes a creation that failed before the folder was a run, as far as the disk allows."""
    if (path / RUN_FILE).exists():
        return
    with suppress(OSError):
        for name in _UNFINISHED:
            (path / name).unlink(missing_ok=True)
        path.rmdir()


def _check_existing(path: Path, requested: RunDescription, update: bool) -> RunDescription:
    """The description of the existing run, whose settings must be those requested."""
    stored = read_description(path)
    before, now = stored.config.get("method"), requested.config.get("method")
    # Also of an update, which would replace the records of the other method, perhaps its own input.
    if before != now:
        raise JournalError(
            f"{path}: holds a run of the method {before!r}, and this is one of {now!r}. Use "
            "another folder."
        )
    lines = differences(stored.config, requested.config)
    if lines and not update:
        raise JournalError(
            f"{path}: is a run with other settings:\n  "
            + "\n  ".join(lines)
            + "\nUse another folder, or the settings that the run was created with; or --update, "
            "which makes the records again and repeats only the calls that the change affects."
        )
    journal = path / JOURNAL_FILE
    if not journal.is_file():
        raise JournalError(f"{journal} is missing. Restore it, or use another folder.")
    # The tables were committed before the folder became a run, so an empty file was truncated.
    if not journal.stat().st_size:
        raise JournalError(
            f"{journal} is empty, and every answer in it is lost. Restore a copy of it, or use "
            "another folder."
        )
    return stored
