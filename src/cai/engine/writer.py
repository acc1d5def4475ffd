"""The one thread that writes a run: it commits in groups, so that callers do not wait in turn.

While one group is being flushed to the disk, the next one forms. A caller waits only for the group
of its own change, and the event loop never waits. Changes are committed in the order of arrival.
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


class Writer:
    """Commits changes until `close`. After a failed commit every later change fails likewise.

    `is_busy` is set while many calls are in flight: a group then waits some milliseconds for more
    changes, since a commit costs the same for one as for fifty.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[PendingWrite] = []
        self._wake = threading.Condition()
        self._is_open = True
        self._failure: JournalError | None = None
        self._kill_at = os.environ.get(FAULT_VARIABLE, "")
        self.n_commits = 0
        self.is_busy = False
        self._thread = threading.Thread(target=self._run, name="cai-journal", daemon=True)
        self._thread.start()

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
            self._waiting.append(change)
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while self._is_open and not self._waiting:
                    self._wake.wait()
            # Outside the lock, so that callers can add to the group that is forming.
            if self.is_busy and self._is_open:
                time.sleep(GROUP_DELAY_S)
            with self._wake:
                group = self._waiting[:_LARGEST_GROUP]
                del self._waiting[:_LARGEST_GROUP]
            if not group:  # closed, and everything is committed
                return
            # The results of each loop go to it in one callback: waking a loop costs a system call,
            # so one per change would undo what grouping saves.
            by_loop: dict[asyncio.AbstractEventLoop | None, list[tuple[PendingWrite, _Result]]] = {}
            for change, result in zip(group, self._commit(group), strict=True):
                by_loop.setdefault(change.loop, []).append((change, result))
            for loop, results in by_loop.items():
                if loop is None:
                    _set_results(results)
                elif not loop.is_closed():
                    loop.call_soon_threadsafe(_set_results, results)

    def _commit(self, group: Sequence[PendingWrite]) -> Sequence[_Result]:
        if self._failure is not None:
            return [self._failure] * len(group)
        results: list[_Result] = []
        try:
            with self._database.transaction():
                for change in group:
                    try:
                        results.append(self._database.write(change.sql, *change.values))
                    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, ValueError) as error:
                        results.append(error)  # of this change alone: the rest of its group is fine
                self._kill_if_requested("before")
        except JournalError as error:
            self._failure = error
            return [error] * len(group)
        self._kill_if_requested("after")
        self.n_commits += 1
        return results

    def _kill_if_requested(self, side: str) -> None:
        if self._kill_at == f"{side}:{self.n_commits}":
            time.sleep(_BEFORE_A_KILL_S)
            os.kill(os.getpid(), signal.SIGKILL)


def _set_results(results: Sequence[tuple[PendingWrite, _Result]]) -> None:
    for change, result in results:
        if change.future.done():  # its caller was cancelled
            continue
        if isinstance(result, Exception):
            change.future.set_exception(result)
        else:
            change.future.set_result(result)
