"""A run is one folder: `run.yaml`, the journal of its calls, and a record for each example.

A folder is a run from the moment its `run.yaml` stands, which is written last: what a killed
creation leaves behind is taken over by the next one.
"""

import logging
import sqlite3
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cai.engine.database import JOURNAL_FILE, Database
from cai.engine.journal import Journal
from cai.engine.lock import LOCK_FILE, FolderLock
from cai.engine.run_files import (
    PART_FILE,
    RUN_FILE,
    Counts,
    JsonValue,
    Record,
    RunDescription,
    Status,
    count_failures,
    describe,
    differences,
    read_description,
    read_records,
    storing,
    write_description,
)
from cai.engine.writer import Writer
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

    One connection reads, so that looking up never waits for a commit; another, in a thread of its
    own, writes. `version_changes` says which packages are not in the version that the run began
    with, as "name: old → new".
    """

    def __init__(
        self,
        path: Path,
        description: RunDescription,
        reader: Database,
        written: "_Written | None" = None,
        version_changes: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.config = description.config
        self.versions = description.versions
        self.created = description.created
        self.version_changes = version_changes
        self.database = reader
        self._written = written
        self.journal = Journal(reader, written.writer if written else None)

    @classmethod
    def open(
        cls,
        path: Path,
        config: Mapping[str, JsonValue],
        versions: Mapping[str, str],
        *,
        update: bool = False,
    ) -> "RunFolder":
        """The run in that folder, made if absent, with the sole right to write it.

        `config` holds what decides the results and nothing else: only the same config goes on. With
        `update` a run with other settings takes these: its records are made anew, and the journal
        answers every call that the change does not touch.

        Raises:
            JournalError: The folder cannot be written, is not empty and no run, is a run of another
                config or being written by another process, or is damaged; or the config has a
                secret.
        """
        asked = describe(config, versions)
        was_empty = _make_folder(path)
        lock = _lock(path)
        is_run = (path / RUN_FILE).exists()
        try:
            stored = _checked(path, asked, update) if is_run else asked
            database = _opened(path) if is_run else _create(path, asked)
        except BaseException:
            if was_empty and not is_run:
                _remove_beginnings(path)
            lock.release()
            raise
        try:
            if stored.config != asked.config:
                stored = _begin_again(path, database, asked)
            changes = _version_changes(path, stored, asked)
            reader = Database(path / JOURNAL_FILE, is_read_only=True)
        except BaseException:
            database.close()
            lock.release()
            raise
        return cls(path, stored, reader, _Written(database, Writer(database), lock), changes)

    @classmethod
    def existing(cls, path: Path) -> "RunFolder":
        """The run in that folder, to read; also while it is being written.

        Raises:
            JournalError: The folder is not a run, or cannot be read.
        """
        description = read_description(path)
        return cls(path, description, Database(path / JOURNAL_FILE, is_read_only=True))

    async def store(self, record: Record) -> None:
        """Stores the record, safely once this returns; it replaces one of the example that failed.

        Raises:
            JournalError: The example is done already, or another one has its position; or the disk
                is full or the file damaged.
        """
        with self._as_journal_error(record):
            self._check(record, await self._writer.write(*storing(record)))

    def add(self, record: Record) -> None:
        """As `store`, for callers without an event loop. Raises the same."""
        with self._as_journal_error(record):
            self._check(record, self._writer.write_and_wait(*storing(record)))

    def to_do(self, id: str, retry_failed: bool = False) -> bool:
        """Whether it is still to be done: new, failed for a passing cause, or to be retried."""
        found = self.database.rows("SELECT status, is_retryable FROM records WHERE id = ?", id)
        if not found:
            return True
        status, is_retryable = found[0]
        return status == "failed" and (retry_failed or bool(is_retryable))

    def records(self, status: Status | None = None) -> Iterator[Record]:
        """The records of that status, or all, by position; a page at a time in memory."""
        return read_records(self.database, status)

    def record_ids(self, status: Status | None = None) -> list[str]:
        """The ids of the records of that status, or of all, by position."""
        rows = self.database.rows(
            "SELECT id FROM records WHERE ? IS NULL OR status = ? ORDER BY position", status, status
        )
        return [id for (id,) in rows]

    def counts(self) -> Counts:
        by_status: dict[str, int] = dict(
            self.database.rows("SELECT status, count(*) FROM records GROUP BY status")
        )
        return Counts(by_status.get("done", 0), by_status.get("failed", 0))

    def failures(self) -> dict[str, int]:
        """How many examples failed for each cause, the most frequent first."""
        return count_failures(self.database)

    def state(self, name: str) -> object:
        """What is kept under that name beside the records; None where nothing is."""
        found = self.database.rows("SELECT value FROM state WHERE name = ?", name)
        return found[0][0] if found else None

    def put_state(self, name: str, value: str) -> None:
        """Keeps the value under that name in place of the one before; nobody waits for it."""
        self._writer.put("INSERT OR REPLACE INTO state VALUES (?, ?)", name, value)

    def close(self) -> None:
        """Closes the journal and lets others write the run; a second time does nothing."""
        self.database.close()  # the last to close tidies up, and a reader could not
        if self._written:
            self._written.close()
            self._written = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def _writer(self) -> Writer:
        if self._written is None:
            raise JournalError(f"{self.path}: was opened to be read. Open it to write.")
        return self._written.writer

    @contextmanager
    def _as_journal_error(self, record: Record) -> Generator[None]:
        try:
            yield
        except sqlite3.IntegrityError as conflict:
            raise self._conflict(record, "another example has that position") from conflict

    def _check(self, record: Record, n_changed: int) -> None:
        if not n_changed:
            raise self._conflict(record, "it is done already")

    def _conflict(self, record: Record, found: str) -> JournalError:
        return JournalError(
            f"{self.path}: example {record.id!r} cannot be stored at position {record.position}: "
            f"{found}. The source is not the one that the run began with: use another folder."
        )


@dataclass(frozen=True, slots=True)
class _Written:
    """What only the one process has that writes the run."""

    database: Database
    writer: Writer
    lock: FolderLock

    def close(self) -> None:
        self.writer.close()
        self.database.close()
        self.lock.release()


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


def _opened(path: Path) -> Database:
    """The journal that is there, sound from end to end.

    An empty file was truncated: the tables stood in it before the folder was a run.
    """
    if not (path / JOURNAL_FILE).stat().st_size:
        raise JournalError(
            f"{path / JOURNAL_FILE} is empty, and every answer in it is lost. Put back a copy of "
            "it, or use another folder."
        )
    database = Database(path / JOURNAL_FILE)
    try:
        database.check()
    except BaseException:
        database.close()
        raise
    return database


def _begin_again(path: Path, database: Database, asked: RunDescription) -> RunDescription:
    """Makes the run one with other settings; a kill in between leaves one that says to do so again.

    The records go and the journal stays: whatever it still answers is not asked again.
    """
    with database.transaction():
        database.write("DELETE FROM records")
        database.write("UPDATE state SET value = value + 1 WHERE name = 'generation'")
    write_description(path, asked)
    return asked


def _checked(path: Path, asked: RunDescription, update: bool) -> RunDescription:
    """The description of the run that is there, which must be of the config requested."""
    stored = read_description(path)
    lines = differences(stored.config, asked.config)
    if lines and not update:
        raise JournalError(
            f"{path}: is a run with other settings:\n  "
            + "\n  ".join(lines)
            + "\nUse another folder, or the settings that the run began with; or --update, which "
            "makes the records anew and asks only what the change touches."
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
