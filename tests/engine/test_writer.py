"""The thread that writes a run: groups, the order of changes, and what becomes of failures."""

import asyncio
import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager

import pytest

from cai.engine.database import Database
from cai.engine.writer import Writer
from cai.errors import JournalError

ADD = "INSERT INTO state VALUES (?, ?)"
SET = "INSERT OR REPLACE INTO state VALUES (?, ?)"
REMOVE = "DELETE FROM state WHERE name = ?"


def kept(database: Database) -> dict[str, object]:
    """What was written, without what stands in every journal."""
    return dict(database.rows("SELECT name, value FROM state WHERE name <> 'generation'"))


@contextmanager
def held_up(database: Database) -> Generator[None]:
    """While it is open the file is another's, so no commit goes through."""
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def fill_up(database: Database) -> None:
    """Leaves no room in the file, as a full disk leaves none."""
    ((n_pages,),) = database.rows("PRAGMA page_count")
    database.rows(f"PRAGMA max_page_count = {n_pages}")


async def test_a_change_is_committed_when_it_returns(database: Database, writer: Writer):
    assert await writer.write(ADD, "a", 1) == 1
    with closing(Database(database.path, is_read_only=True)) as reader:
        assert kept(reader) == {"a": 1}
    assert await writer.write(REMOVE, "a") == 1
    assert await writer.write(REMOVE, "a") == 0


async def test_many_changes_at_once_are_few_commits(database: Database, writer: Writer):
    """The first is on its way alone, or with some; those that come meanwhile are one group."""
    await asyncio.gather(*(writer.write(ADD, f"n{i}", i) for i in range(500)))
    assert len(kept(database)) == 500
    assert writer.n_commits <= 5


async def test_a_group_is_waited_for_where_many_are_about_to_come(
    database: Database, writer: Writer
):
    """Ten changes, each put a moment after the one before: alone they are as many commits."""
    writer.is_busy = True
    changes: list[asyncio.Task[int]] = []
    for i in range(10):
        changes.append(asyncio.create_task(writer.write(ADD, f"n{i}", i)))
        await asyncio.sleep(0.0001)
    await asyncio.gather(*changes)
    assert writer.n_commits < 10
    assert len(kept(database)) == 10


async def test_in_a_group_each_gets_its_own_result_and_its_own_error(
    database: Database, writer: Writer
):
    await writer.write(ADD, "taken", 0)
    n_before = writer.n_commits
    with held_up(database):
        first = asyncio.create_task(writer.write(ADD, "first", 0))
        await asyncio.sleep(0.05)  # its commit waits, and the others gather behind it
        others = asyncio.gather(
            writer.write(ADD, "a", 1),
            writer.write(ADD, "taken", 2),
            writer.write("UPDATE state SET value = 9 WHERE name IN ('a', 'first')"),
            writer.write(ADD, "b", object()),  # what SQLite cannot hold
            writer.write(ADD, "c", 3),
            return_exceptions=True,
        )
        await asyncio.sleep(0)
    found = await others
    assert await first == 1
    assert writer.n_commits == n_before + 2
    assert [found[0], found[2], found[4]] == [1, 2, 1]
    assert isinstance(found[1], sqlite3.IntegrityError)
    assert isinstance(found[3], sqlite3.ProgrammingError)
    assert kept(database) == {"taken": 0, "first": 9, "a": 9, "c": 3}
    assert await writer.write(ADD, "later", 4) == 1


async def test_changes_are_made_in_the_order_of_their_coming(database: Database, writer: Writer):
    for i in range(2500):  # more than one group holds
        writer.put(SET, "last", i)
    await writer.write(SET, "end", 0)
    assert kept(database) == {"last": 2499, "end": 0}


def test_without_an_event_loop_a_caller_waits(database: Database, writer: Writer):
    assert writer.put(ADD, "a", 1).result() == 1
    assert kept(database) == {"a": 1}
    with pytest.raises(sqlite3.IntegrityError):
        writer.put(ADD, "a", 2).result()
    assert writer.put(ADD, "b", 3).result() == 1


def test_closing_commits_what_waits_and_a_second_time_does_nothing(database: Database):
    writer = Writer(database)
    writer.is_busy = True
    for i in range(1500):
        writer.put(ADD, f"n{i}", i)
    writer.close()
    writer.close()
    assert len(kept(database)) == 1500


async def test_once_the_disk_is_full_every_later_change_says_to_free_space(
    database: Database, writer: Writer
):
    """Even one that would fit: what comes after a lost change may rest on it."""
    await writer.write(ADD, "a", 1)
    fill_up(database)
    with pytest.raises(JournalError, match="free some space and give the same command again"):
        await writer.write(ADD, "big", "x" * 100_000)
    with pytest.raises(JournalError, match="free some space"):
        await writer.write(SET, "a", 2)
    writer.put(SET, "a", 3)  # nobody waits for it, and nobody is told
    await asyncio.sleep(0.05)
    assert kept(database) == {"a": 1}


async def test_of_a_group_that_cannot_be_committed_nobody_is_told_that_it_was(
    database: Database, writer: Writer
):
    fill_up(database)
    with held_up(database):
        first = asyncio.create_task(writer.write(SET, "first", 0))
        await asyncio.sleep(0.05)
        others = asyncio.gather(
            writer.write(ADD, "a", 1),
            writer.write(ADD, "big", "x" * 100_000),
            writer.write(ADD, "b", 2),
            return_exceptions=True,
        )
        await asyncio.sleep(0)
    assert [type(each) for each in await others] == [JournalError] * 3
    assert await first == 1
    assert kept(database) == {"first": 0}


def test_callers_in_two_event_loops_each_get_their_own(database: Database, writer: Writer):
    found: dict[str, list[int]] = {}

    async def many(name: str) -> list[int]:
        return await asyncio.gather(*(writer.write(ADD, f"{name}{i}", i) for i in range(200)))

    def call(name: str) -> None:
        found[name] = asyncio.run(many(name))

    threads = [threading.Thread(target=call, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"a": [1] * 200, "b": [1] * 200}
    assert len(kept(database)) == 400


def test_a_loop_that_is_gone_harms_no_other(database: Database, writer: Writer):
    async def give_up() -> None:
        asyncio.create_task(writer.write(ADD, "a", 1))  # noqa: RUF006
        await asyncio.sleep(0)

    with held_up(database):
        asyncio.run(give_up())
    assert writer.put(ADD, "b", 2).result() == 1
    assert kept(database) == {"a": 1, "b": 2}


async def test_a_caller_that_is_cancelled_harms_nobody(database: Database, writer: Writer):
    """Its change is made all the same: it was handed over."""
    with held_up(database):
        tasks = [asyncio.create_task(writer.write(ADD, name, 0)) for name in "abc"]
        await asyncio.sleep(0.05)
        tasks[1].cancel()
        await asyncio.sleep(0)
    assert await asyncio.gather(tasks[0], tasks[2]) == [1, 1]
    assert tasks[1].cancelled()
    assert kept(database) == {"a": 0, "b": 0, "c": 0}
