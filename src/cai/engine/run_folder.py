"""A run is one folder: `run.yaml`, the journal of its calls, and a record for each example.

A folder is a run from the moment its `run.yaml` stands, which is written last: what a killed
creation leaves behind is taken over by the next one.
"""

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from cai.engine.database import JOURNAL_FILE, Database
from cai.engine.journal import Journal
from cai.engine.lock import LOCK_FILE, FolderLock
from cai.engine.recipe import (
    PART_FILE,
    RUN_FILE,
    JsonValue,
    RunDescription,
    describe,
    differences,
    read_description,
    write_description,
)
from cai.engine.records import Counts, Record, Status, read_records, store_record
from cai.errors import JournalError

# what stands in a folder before it is a run
_BEGINNINGS = {
    LOCK_FILE,
    PART_FILE,
    JOURNAL_FILE,
    f"{JOURNAL_FILE}-journal",  # SQLite's own, until its write-ahead log stands
    f"{JOURNAL_FILE}-wal",
    f"{JOURNAL_FILE}-shm",
}

_logger = logging.getLogger(__name__)


class RunFolder:
    """An open run; close it, or hold it in a `with` statement.

    `version_changes` says which packages are not in the version that the run began with, as
    "name: old → new".
    """

    def __init__(
        self,
        path: Path,
        description: RunDescription,
        database: Database,
        lock: FolderLock | None = None,
        version_changes: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.recipe = description.recipe
        self.versions = description.versions
        self.created = description.created
        self.version_changes = version_changes
        self.journal = Journal(database)
        self._database = database
        self._lock = lock

    @classmethod
    def open(
        cls, path: Path, recipe: Mapping[str, JsonValue], versions: Mapping[str, str]
    ) -> "RunFolder":
        """The run in that folder, made if absent, with the sole right to write it.

        `recipe` holds what decides the results and nothing else: only the same recipe goes on.

        Raises:
            JournalError: The folder cannot be written, is not empty and no run, is a run of another
                recipe or being written by another process; or the recipe holds a secret.
        """
        asked = describe(recipe, versions)
        was_empty = _make_folder(path)
        lock = _lock(path)
        is_run = (path / RUN_FILE).exists()
        try:
            stored = _checked(path, asked) if is_run else asked
            database = Database(path / JOURNAL_FILE) if is_run else _create(path, asked)
        except BaseException:
            if was_empty and not is_run:
                _remove_beginnings(path)
            lock.release()
            raise
        return cls(path, stored, database, lock, _version_changes(path, stored, asked))

    @classmethod
    def existing(cls, path: Path) -> "RunFolder":
        """The run in that folder, to read; also while it is being written.

        Raises:
            JournalError: The folder is not a run, or cannot be read.
        """
        description = read_description(path)
        return cls(path, description, Database(path / JOURNAL_FILE, is_read_only=True))

    def add(self, record: Record) -> None:
        """Stores the record; it replaces one of the same example that failed.

        Raises:
            JournalError: The example is done already, or another one has its position.
        """
        try:
            is_stored = store_record(self._database, record)
        except sqlite3.IntegrityError as conflict:
            raise self._conflict(record, "another example has that position") from conflict
        if not is_stored:
            raise self._conflict(record, "it is done already")

    def to_do(self, id: str, retry_failed: bool = False) -> bool:
        """Whether it is still to be done: new, failed for a passing cause, or to be retried."""
        found = self._database.rows("SELECT status, is_retryable FROM records WHERE id = ?", id)
        if not found:
            return True
        status, is_retryable = found[0]
        return status == "failed" and (retry_failed or bool(is_retryable))

    def records(self, status: Status | None = None) -> Iterator[Record]:
        """The records of that status, or all, by position; a page at a time in memory."""
        return read_records(self._database, status)

    def record_ids(self, status: Status | None = None) -> list[str]:
        """The ids of the records of that status, or of all, by position."""
        rows = self._database.rows(
            "SELECT id FROM records WHERE ? IS NULL OR status = ? ORDER BY position", status, status
        )
        return [id for (id,) in rows]

    def counts(self) -> Counts:
        by_status: dict[str, int] = dict(
            self._database.rows("SELECT status, count(*) FROM records GROUP BY status")
        )
        return Counts(by_status.get("done", 0), by_status.get("failed", 0))

    def close(self) -> None:
        """Closes the journal and lets others write the run; a second time does nothing."""
        self._database.close()
        if self._lock:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _conflict(self, record: Record, found: str) -> JournalError:
        return JournalError(
            f"{self.path}: example {record.id!r} cannot be stored at position {record.position}: "
            f"{found}. The source is not the one that the run began with: use another folder."
        )


def _make_folder(path: Path) -> bool:
    """Makes the folder unless it is there; whether it is empty now."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = {inner.name for inner in path.iterdir()}
    except FileExistsError as error:
        raise JournalError(f"{path}: is a file, not a folder. Use another name.") from error
    except OSError as error:
        raise JournalError(
            f"{path}: cannot be made or read as a folder ({error.strerror}). Use another place."
        ) from error
    if RUN_FILE not in names and not names <= _BEGINNINGS:
        raise JournalError(
            f"{path}: holds other files and is not a run (it has no {RUN_FILE}). Use an empty or "
            "a new folder."
        )
    return not names


def _lock(path: Path) -> FolderLock:
    try:
        return FolderLock(path)
    except JournalError:
        with suppress(OSError):  # not empty: then it is not ours to remove
            path.rmdir()
        raise


def _create(path: Path, description: RunDescription) -> Database:
    database = Database(path / JOURNAL_FILE)
    try:
        if database.rows("SELECT 1 FROM calls UNION ALL SELECT 1 FROM records LIMIT 1"):
            raise JournalError(
                f"{path}: has the {JOURNAL_FILE} of a run but no {RUN_FILE}. Put the file back, or "
                "use another folder."
            )
        write_description(path, description)
    except BaseException:
        database.close()
        raise
    return database


def _checked(path: Path, asked: RunDescription) -> RunDescription:
    """The description of the run that is there, which must be of the recipe asked for."""
    stored = read_description(path)
    if lines := differences(stored.recipe, asked.recipe):
        raise JournalError(
            f"{path}: is a run of another recipe:\n  "
            + "\n  ".join(lines)
            + "\nUse another folder, or the settings that the run began with."
        )
    if not (path / JOURNAL_FILE).is_file():
        raise JournalError(f"{path / JOURNAL_FILE} is missing. Put it back, or use another folder.")
    return stored


def _remove_beginnings(path: Path) -> None:
    """Undoes a creation that failed, as far as the disk lets it."""
    with suppress(OSError):
        for name in _BEGINNINGS:
            (path / name).unlink(missing_ok=True)
        path.rmdir()


def _version_changes(path: Path, old: RunDescription, new: RunDescription) -> tuple[str, ...]:
    changes = tuple(differences(old.versions, new.versions))
    if changes:
        _logger.warning("%s: other versions than the run began with: %s", path, "; ".join(changes))
    return changes
