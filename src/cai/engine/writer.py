"""The one thread that writes a run: it commits in groups, so that no caller waits for another.

While one group is on its way to the disk the next one gathers; where many calls are in flight it
is given some milliseconds for it, since a commit costs the same for one change as for fifty. Who
puts a change waits for its own group only, and the event loop waits for nothing. The order of the
changes is that of their coming.
"""

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from cai.engine.database import Database
from cai.errors import JournalError

FAULT_VARIABLE = "CAI_TEST_KILL_AT_COMMIT"
GATHER_S = 0.025
_LARGEST_GROUP = 1000
_BEFORE_A_KILL_S = 0.1  # what is handed on too early goes on meanwhile, and is seen


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """One statement, and whom to tell how many rows it changed or why it failed."""

    sql: str
    values: tuple[object, ...]
    loop: asyncio.AbstractEventLoop | None
    future: "asyncio.Future[int] | Future[int]"


_Result = int | Exception


class Writer:
    """Commits changes until `close`. After a failed commit every later change fails likewise."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[PendingWrite] = []
        self._wake = threading.Condition()
        self._is_open = True
        self._failure: JournalError | None = None
        self._before, self._after = _kills_asked_for()
        self.n_commits = 0
        self.gathers = False  # set by who knows that many changes are about to come
        self._thread = threading.Thread(target=self._run, name="cai-journal", daemon=True)
        self._thread.start()

    async def write(self, sql: str, *values: object) -> int:
        """How many rows changed; they are committed when this returns.

        Raises:
            JournalError: The disk is full or the file damaged.
            sqlite3.IntegrityError: A rule of the table forbids it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._put(PendingWrite(sql, values, loop, future))
        return await future

    def write_and_wait(self, sql: str, *values: object) -> int:
        """As `write`, for callers without an event loop."""
        future: Future[int] = Future()
        self._put(PendingWrite(sql, values, None, future))
        return future.result()

    def put(self, sql: str, *values: object) -> None:
        """Hands a change over that nobody waits for; `close` waits for it."""
        self._put(PendingWrite(sql, values, None, Future()))

    def close(self) -> None:
        """Commits what is waiting and ends the thread; a second time does nothing."""
        with self._wake:
            self._is_open = False
            self._wake.notify()
        self._thread.join()

    def _put(self, change: PendingWrite) -> None:
        with self._wake:
            assert self._is_open, "a change after the end of the writer"
            self._waiting.append(change)
            self._wake.notify()

    def _run(self) -> None:
        while group := self._next_group():
            results = self._commit(group)
            _tell(group, results)

    def _next_group(self) -> list[PendingWrite]:
        """The changes that wait now, once there are any; none at the end."""
        with self._wake:
            while self._is_open and not self._waiting:
                self._wake.wait()
        if self.gathers and self._is_open:
            time.sleep(GATHER_S)
        with self._wake:
            group = self._waiting[:_LARGEST_GROUP]
            del self._waiting[:_LARGEST_GROUP]
            return group

    def _commit(self, group: Sequence[PendingWrite]) -> list[_Result]:
        if self._failure is not None:
            return [self._failure] * len(group)
        try:
            with self._database.transaction():
                results = [self._execute(change) for change in group]
                self._before(self.n_commits)
        except JournalError as error:
            self._failure = error
            return [error] * len(group)
        self._after(self.n_commits)
        self.n_commits += 1
        return results

    def _execute(self, change: PendingWrite) -> _Result:
        try:
            return self._database.write(change.sql, *change.values)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, ValueError) as error:
            return error  # of this change alone: the others of its group are well


def _tell(group: Sequence[PendingWrite], results: Sequence[_Result]) -> None:
    """Gives each its result; a loop is woken once for all of its changes."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[PendingWrite, _Result]]] = {}
    for change, result in zip(group, results, strict=True):
        if change.loop is None:
            _settle(change, result)
        else:
            by_loop.setdefault(change.loop, []).append((change, result))
    for loop, settled in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle_all, settled)


def _settle_all(settled: Sequence[tuple[PendingWrite, _Result]]) -> None:
    for change, result in settled:
        _settle(change, result)


def _settle(change: PendingWrite, result: _Result) -> None:
    if change.future.done():  # who asked was cancelled
        return
    if isinstance(result, Exception):
        change.future.set_exception(result)
    else:
        change.future.set_result(result)


def _kills_asked_for() -> tuple[Callable[[int], None], Callable[[int], None]]:
    """What is done before and after the nth commit: nothing, or SIGKILL where a test asks for it.

    The variable holds "before:N" or "after:N". A fault hook in the manner of SQLite's own tests: no
    test outside of the process could hit the very boundary.
    """
    side, _, number = os.environ.get(FAULT_VARIABLE, "").partition(":")

    def kill(n_commits: int) -> None:
        if str(n_commits) == number:
            time.sleep(_BEFORE_A_KILL_S)
            os.kill(os.getpid(), signal.SIGKILL)

    def nothing(n_commits: int) -> None:
        pass

    return (kill if side == "before" else nothing, kill if side == "after" else nothing)
