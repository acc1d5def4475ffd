"""What a journal holds, counted, and answers taken out of it by each condition."""

import asyncio
import time
from contextlib import closing
from pathlib import Path

import pytest

from cai.engine.calls import Call
from cai.engine.database import Database
from cai.engine.journal import PruneFilter, answer_stats, count_matching, prune
from cai.engine.run_files import FolderLock, Record
from cai.engine.run_folder import RunFolder
from cai.errors import JournalError
from cai.models.base import Completion, Sampling
from cai.types import Message

DAY_S = 86_400
LONG = "so they told me by the gate " * 200


def call(number: int, model: str, role: str) -> Call:
    asked = (Message("user", f"{role}, lamp {number}"),)
    return Call("complete", model, asked, Sampling(), role=role)


CALLS = [
    *(call(i, "small", "respond") for i in range(20)),
    *(call(i, "small", "critique") for i in range(10)),
    *(call(i, "large", "respond") for i in range(5)),
]


async def _store(run: RunFolder) -> None:
    await asyncio.gather(*(run.journal.store(each, Completion(LONG)) for each in CALLS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty-five answers; an update has used the first three of each kind, and others none."""
    with RunFolder.open(tmp_path, {"n": 1}, {}) as run:
        asyncio.run(_store(run))
    with RunFolder.open(tmp_path, {"n": 2}, {}, update=True) as run:
        for first in (0, 20, 30):
            for each in CALLS[first : first + 3]:
                assert run.journal.find(each) is not None
        run.add(Record(0, "a", "{}"))
    return tmp_path


def make_older(folder: Path, model: str, days: float) -> None:
    with closing(Database(folder / "journal.sqlite")) as database:
        then_s = time.time() - days * DAY_S
        database.write("UPDATE calls SET created = ? WHERE model = ?", then_s, model)


def n_left(folder: Path) -> dict[tuple[str, str], int]:
    with RunFolder.existing(folder) as run:
        return {(each.role, each.model): each.n_calls for each in answer_stats(run.database)}


def test_a_stock_is_told_for_each_role_and_model(folder: Path):
    make_older(folder, "large", 2)
    with RunFolder.existing(folder) as run:
        found = {(each.role, each.model): each for each in answer_stats(run.database)}
    figures = {key: (each.n_calls, each.n_unused) for key, each in found.items()}
    assert figures == {
        ("critique", "small"): (10, 7),
        ("respond", "large"): (5, 2),
        ("respond", "small"): (20, 17),
    }
    assert all(each.n_bytes > each.n_calls * len(LONG) for each in found.values())
    assert time.time() - found["respond", "large"].newest_s == pytest.approx(2 * DAY_S, abs=60)
    assert time.time() - found["respond", "small"].oldest_s == pytest.approx(0, abs=60)


@pytest.mark.parametrize(
    ("choice", "n"),
    [
        (PruneFilter(), 35),
        (PruneFilter(model="small"), 30),
        (PruneFilter(model="smal"), 0),
        (PruneFilter(role="respond"), 25),
        (PruneFilter(older_than_days=1), 5),
        (PruneFilter(older_than_days=3), 0),
        (PruneFilter(unused=True), 26),
        (PruneFilter(model="small", role="respond"), 20),
        (PruneFilter(role="respond", unused=True), 19),
        (PruneFilter(model="large", unused=True, older_than_days=1), 2),
        (PruneFilter(model="small", older_than_days=1), 0),
    ],
)
def test_what_is_counted_is_what_is_taken_out(folder: Path, choice: PruneFilter, n: int):
    make_older(folder, "large", 2)
    with RunFolder.existing(folder) as run:
        n_counted, n_bytes = count_matching(run.database, choice)
    assert n_counted == n
    assert n_bytes >= n * len(LONG)
    assert prune(folder, choice) == n
    assert sum(n_left(folder).values()) == 35 - n
    assert prune(folder, choice) == 0


def test_the_others_and_the_records_stay_and_the_room_is_given_back(folder: Path):
    size = (folder / "journal.sqlite").stat().st_size
    prune(folder, PruneFilter(unused=True))
    assert n_left(folder) == {
        ("critique", "small"): 3,
        ("respond", "large"): 3,
        ("respond", "small"): 3,
    }
    assert (folder / "journal.sqlite").stat().st_size < size / 2
    with RunFolder.open(folder, {"n": 2}, {}) as run:
        assert [each.id for each in run.records()] == ["a"]
        assert run.journal.find(CALLS[0]) == Completion(LONG)
        assert run.journal.find(CALLS[19]) is None


def test_a_run_that_is_being_written_is_not_pruned(folder: Path):
    lock = FolderLock(folder)
    try:
        with pytest.raises(JournalError, match="another process writes this run"):
            prune(folder, PruneFilter(unused=True))
    finally:
        lock.release()
    assert sum(n_left(folder).values()) == 35


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path):
    with pytest.raises(JournalError, match="is not a run"):
        prune(tmp_path, PruneFilter())
    assert list(tmp_path.iterdir()) == []
