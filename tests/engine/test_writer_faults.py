"""A fault at any statement of the writing thread: every caller is told, nobody waits for ever."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from linecache import getline
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from cai.engine import writer as module
from cai.engine.database import Database
from cai.engine.writer import Writer
from cai.errors import JournalError

ADD = "INSERT INTO state VALUES (?, ?)"
# What the thread runs, but for the first lines of `_run`, which only begin to catch.
CODES: set[CodeType] = {
    Writer._commit_next.__code__,  # pyright: ignore[reportPrivateUsage]
    Writer._commit.__code__,  # pyright: ignore[reportPrivateUsage]
    Writer._kill_if_requested.__code__,  # pyright: ignore[reportPrivateUsage]
    Database.write.__code__,
    Database.transaction.__wrapped__.__code__,  # type: ignore[attr-defined]
    module._deliver.__code__,  # pyright: ignore[reportPrivateUsage]
}
LOCKS = "with self._wake:"
FAULTS: dict[str, Callable[[], BaseException]] = {
    "I/O": lambda: OSError(5, "Input/output error"),
    "SQLite": lambda: sqlite3.OperationalError("disk I/O error"),
    "memory": MemoryError,
    "bug": lambda: AttributeError("'NoneType' object has no attribute 'sql'"),
    "recursion": lambda: RecursionError("maximum recursion depth exceeded"),
    "exit": lambda: SystemExit(3),
}


@contextmanager
def fault_at(number: int, fault: Callable[[], BaseException]) -> Generator[list[str]]:
    """Raises at that statement of the threads that start inside; the list then has its place."""
    hit: list[str] = []
    n_seen = 0
    last: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal n_seen
        if frame.f_code not in CODES and event == "call":
            return trace if frame.f_code is Writer._run.__code__ else None  # pyright: ignore[reportPrivateUsage]
        if event == "line" and frame.f_code in CODES:
            line, before = frame.f_lineno, last.get(frame, 0)
            last[frame] = line
            # Python comes back to a `with` when its block ends. A fault before the lock is released
            # is none that a statement of ours could have.
            if line < before and getline(frame.f_code.co_filename, line).strip() == LOCKS:
                return trace
            n_seen += 1
            if n_seen == number and not hit:
                hit.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
                raise fault()
        return trace

    before = threading.gettrace()
    threading.settrace(trace)
    try:
        yield hit
    finally:
        threading.settrace(before)  # type: ignore[arg-type]


async def use(writer: Writer) -> list[int | BaseException]:
    """Three changes in two groups, one nobody waits for, and one after all of them."""
    first = await asyncio.gather(writer.write(ADD, "a", 1), return_exceptions=True)
    try:
        future = writer.put(ADD, "b", 2)
        both = await asyncio.gather(
            writer.write(ADD, "c", 3), writer.write(ADD, "d", 4), return_exceptions=True
        )
        waited: list[int | BaseException] = [future.exception(30) or future.result()]
        return [*first, *both, *waited]
    finally:
        writer.close()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_at_any_statement_fails_what_is_not_committed_and_all_that_follows(
    tmp_path: Path, name: str
):
    """A change that was reported as committed is, and one that was not is a sentence."""
    n_hits, number = 0, 0
    while True:
        number += 1
        path = tmp_path / f"{number}.sqlite"
        with closing(Database(path)) as database, fault_at(number, FAULTS[name]) as hit:
            writer = Writer(database)
            results = asyncio.run(asyncio.wait_for(use(writer), 60))
            assert not writer._thread.is_alive()  # pyright: ignore[reportPrivateUsage]
        if not hit:
            break
        n_hits += 1
        with closing(Database(path, is_read_only=True)) as reader:
            stored = dict(reader.rows("SELECT name, value FROM state WHERE name <> 'generation'"))
        for letter, result in zip("acdb", results, strict=True):
            if isinstance(result, BaseException):
                assert isinstance(result, JournalError), hit
                assert "give the same command again" in str(result) or "cai cache" in str(result)
            else:
                assert letter in stored, hit
    assert n_hits > 40
    assert results == [1, 1, 1, 1]


def test_after_a_fault_a_change_fails_at_once_and_closing_returns(tmp_path: Path):
    with closing(Database(tmp_path / "x.sqlite")) as database:
        with fault_at(3, MemoryError):
            writer = Writer(database)
            assert isinstance(writer.put(ADD, "a", 1).exception(60), JournalError)
        assert "memory ran out" in str(writer.put(ADD, "b", 2).exception(0))
        with pytest.raises(JournalError, match="memory ran out"):
            asyncio.run(writer.write(ADD, "c", 3))
        writer.close()


async def test_a_number_that_sqlite_cannot_hold_fails_alone(database: Database, writer: Writer):
    found = await asyncio.gather(
        writer.write(ADD, "a", 2**63), writer.write(ADD, "b", 1), return_exceptions=True
    )
    assert isinstance(found[0], OverflowError)
    assert found[1] == 1
