"""The one thread that writes a run: it commits in groups, so that callers do not wait in turn.

While one group is being flushed to the disk, the next one forms. A caller waits only for the group
of its own change, and the event loop never waits. Changes are committed in the order of arrival.

Example:
    writer = Writer(Database(folder / JOURNAL_FILE))
    n_changed = await writer.write("DELETE FROM calls WHERE key = ?", key)  # durable on return
    writer.put("INSERT OR REPLACE INTO state VALUES (?, ?)", "progress", "{}")  # not yet
    writer.close()
"""

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from cai.engine.database import Database
from cai.errors import JournalError

# "before:N" or "after:N": the process kills itself with SIGKILL just before or after commit N. A
# fault hook like those of SQLite's own tests, because no test outside the process could hit exactly
# that moment.
FAULT_VARIABLE = "CAI_TEST_KILL_AT_COMMIT"
_BEFORE_A_KILL_S = 0.1  # lets code run that wrongly did not wait for the commit, so a test sees it

GROUP_DELAY_S = 0.025
_LARGEST_GROUP = 1000


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """One statement; `future` gets the number of rows it changed, or the error."""

    sql: str
    values: tuple[object, ...]
    loop: asyncio.AbstractEventLoop | None
    future: "asyncio.Future[int] | Future[int]"


_Result = int | Exception
# Errors of one change alone, a conflict or what SQLite cannot hold: the rest of its group is fine.
_OF_ONE_CHANGE = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    UnicodeEncodeError,
    OverflowError,
)


class Writer:
    """Commits changes until `close`. After any failure of its thread every later change fails.

    `is_busy` is set while many calls are in flight: a group then waits some milliseconds for more
    changes, since a commit costs the same for one as for fifty.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[PendingWrite] = []
        self._group: list[PendingWrite] = []  # being committed
        self._wake = threading.Condition()
        self._is_open = True
        self._failure: JournalError | None = None
        self._kill_at = os.environ.get(FAULT_VARIABLE, "")
        self.n_commits = 0
        self.is_busy = False
        self._thread = threading.Thread(target=self._run, name="cai-journal", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise JournalError(
                f"{database.path}: no thread can be started to write it ({error}). Close other "
                "programs, or raise the limit on processes."
            ) from error

    async def write(self, sql: str, *values: object) -> int:
        """The number of rows that changed, once they are committed.

        Raises:
            JournalError: The disk is full or the file damaged.
            sqlite3.IntegrityError: A constraint of the table forbids it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._put(PendingWrite(sql, values, loop, future))
        return await future

    def put(self, sql: str, *values: object) -> "Future[int]":
        """As `write` without waiting, also for callers without an event loop; `close` waits."""
        future: Future[int] = Future()
        self._put(PendingWrite(sql, values, None, future))
        return future

    def close(self) -> None:
        """Commits what is queued and ends the thread; repeated calls do nothing."""
        with self._wake:
            self._is_open = False
            self._wake.notify()
        self._thread.join()

    def _put(self, change: PendingWrite) -> None:
        with self._wake:
            assert self._is_open, "a change after the writer was closed"
            if self._failure is None:
                self._waiting.append(change)
                self._wake.notify()
                return
        change.future.set_exception(self._failure)

    def _run(self) -> None:
        try:
            while self._commit_next():
                pass
        # Whatever it is: if the thread ended without a word, its callers would wait for ever.
        except BaseException as error:  # noqa: BLE001
            self._poison(error)

    def _commit_next(self) -> bool:
        """Commits the next group and tells its callers; False once the writer is closed."""
        with self._wake:
            while self._is_open and not self._waiting:
                self._wake.wait()
        # Outside the lock, so that callers can add to the group that is forming.
        if self.is_busy and self._is_open:
            time.sleep(GROUP_DELAY_S)
        with self._wake:
            self._group = self._waiting[:_LARGEST_GROUP]
            del self._waiting[:_LARGEST_GROUP]
        if not self._group:  # closed, and everything is committed
            return False
        # The results of each loop go to it in one callback: waking a loop costs a system call,
        # so one per change would undo what grouping saves.
        by_loop: dict[asyncio.AbstractEventLoop | None, list[tuple[PendingWrite, _Result]]] = {}
        for change, result in zip(self._group, self._commit(self._group), strict=True):
            by_loop.setdefault(change.loop, []).append((change, result))
        for loop, results in by_loop.items():
            _deliver(loop, results)
        self._group = []
        return True

    def _poison(self, error: BaseException) -> None:
        """Lets every change fail that is not known to be committed, and all that come later."""
        if isinstance(error, JournalError):
            failure = error
        else:
            found = "memory ran out" if isinstance(error, MemoryError) else repr(error)
            failure = JournalError(
                f"{self._database.path}: cannot be written any more ({found}). What was committed "
                "is stored: give the same command again, and report it if it happens again."
            )
            failure.__cause__ = error
        with self._wake:
            self._failure = failure
            lost = [*self._group, *self._waiting]  # of the group some may have their result already
            self._group, self._waiting = [], []
        for change in lost:
            _deliver(change.loop, [(change, failure)])

    def _commit(self, group: Sequence[PendingWrite]) -> Sequence[_Result]:
        results: list[_Result] = []
        with self._database.transaction():
            for change in group:
                try:
                    results.append(self._database.write(change.sql, *change.values))
                except _OF_ONE_CHANGE as error:
                    results.append(error)
            self._kill_if_requested("before")
        self._kill_if_requested("after")
        self.n_commits += 1
        return results

    def _kill_if_requested(self, side: str) -> None:
        if self._kill_at == f"{side}:{self.n_commits}":
            time.sleep(_BEFORE_A_KILL_S)
            os.kill(os.getpid(), signal.SIGKILL)


def _deliver(
    loop: asyncio.AbstractEventLoop | None, results: Sequence[tuple[PendingWrite, _Result]]
) -> None:
    if loop is None:
        _set_results(results)
        return
    try:
        loop.call_soon_threadsafe(_set_results, results)
    except RuntimeError:
        if not loop.is_closed():  # else nobody waits there any more
            raise


def _set_results(results: Sequence[tuple[PendingWrite, _Result]]) -> None:
    for change, result in results:
        if change.future.done():  # its caller was cancelled
            continue
        if isinstance(result, Exception):
            change.future.set_exception(result)
        else:
            change.future.set_result(result)
