"""Rows that changed on the disk: found whenever they are read, and left behind by a repair."""

import asyncio
import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cai.engine.calls import Call
from cai.engine.database import JOURNAL_FILE, checksum_of
from cai.engine.journal import journaled
from cai.engine.recovery import salvage
from cai.engine.run_files import Failure, Record
from cai.engine.run_folder import RunFolder
from cai.errors import JournalError
from cai.models.base import Sampling
from cai.models.scripted import ScriptedModel
from cai.types import Message

N = 30
N_FLIPS = 200
RECORDS = [
    Record(i, f"lamp-{i}", "", Failure("ModelUnavailable", "It is dark.", i % 2 == 0, "time-out"))
    if i % 5 == 0
    else Record(i, f"lamp-{i}", json.dumps(f"the lamp {i} is by the gate"))
    for i in range(N)
]
CALLS = [
    Call("complete", "small", (Message("user", f"lamp {i}"),), Sampling(seed=i), (), "judge")
    for i in range(N)
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    async def fill(run: RunFolder) -> None:
        model = journaled(ScriptedModel(lambda messages, _: messages[0].content), run.journal)
        for i, record in enumerate(RECORDS):
            await model.complete((Message("user", f"lamp {i}"),), Sampling(seed=i))
            await run.store(record)

    with RunFolder.open(tmp_path / "run", {"n": N}, {}) as run:
        asyncio.run(fill(run))
    return tmp_path / "run"


def change(folder: Path, sql: str) -> None:
    with closing(sqlite3.connect(folder / JOURNAL_FILE)) as connection, connection:
        connection.execute(sql)


def read(folder: Path) -> tuple[list[Record], list[bool]]:
    """All that is read of a run: its records, and of each example whether it is to do."""
    with RunFolder.existing(folder) as run:
        records = list(run.records())
        assert list(run.records("done")) == [each for each in records if each.error is None]
        assert list(run.records("failed")) == [each for each in records if each.error]
        run.counts(), run.failures()
        return records, [run.to_do(each.id) for each in RECORDS]


@pytest.mark.parametrize(
    "setting",
    [
        "position = 1000",
        "position = -3",
        "id = 'lamp-x'",
        "status = 'dooe'",
        "status = 'failed'",
        "body = '\"another lamp\"'",
        "body = CAST(body AS BLOB)",
        "body = CAST(x'ff22' AS TEXT)",
        "body = 7",
        "error = ''",
        "error_kind = 'X'",
        "is_retryable = 1",
        "checksum = 0",
        "checksum = 'no'",
    ],
)
def test_a_changed_value_is_a_sentence_and_a_repair_saves_the_rest(folder: Path, setting: str):
    change(folder, f"UPDATE records SET {setting} WHERE position = 7")
    for status in (None, "done", "failed"):
        damaged = pytest.raises(JournalError, match="cai cache repair RUN")
        with RunFolder.existing(folder) as run, damaged:
            list(run.records(status))
    saved = salvage(folder)
    assert (saved.n_calls, saved.n_records) == (N, N - 1)
    assert read(folder)[0] == RECORDS[:7] + RECORDS[8:]


@pytest.mark.parametrize("column", ["kind", "role", "model", "answer"])
def test_a_changed_value_of_a_call_is_no_answer_and_is_left_behind(folder: Path, column: str):
    change(folder, f"UPDATE calls SET {column} = {column} || 'x' WHERE rowid = 3")
    assert salvage(folder).n_calls == N - 1


@pytest.mark.parametrize("column", ["prompt_tokens", "completion_tokens", "created"])
def test_a_changed_number_of_a_call_is_no_answer_and_is_left_behind(folder: Path, column: str):
    change(folder, f"UPDATE calls SET {column} = {column} + 1 WHERE rowid = 3")
    assert salvage(folder).n_calls == N - 1


@pytest.mark.parametrize("change_made", ["DELETE FROM state", "UPDATE state SET value = 'x'"])
def test_a_lost_generation_is_a_sentence_and_can_be_repaired(folder: Path, change_made: str):
    change(folder, change_made)
    with pytest.raises(JournalError, match="cai cache repair RUN"):
        RunFolder.existing(folder)
    salvage(folder)
    assert read(folder)[0] == RECORDS


def flips(content: bytes, n: int) -> Iterator[bytes]:
    rng = random.Random(0)
    places = [at for at in range(100, len(content)) if content[at]]  # most of the rest is unused
    for at in rng.sample(places, n):
        yield content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


def test_whatever_bit_flips_nothing_is_read_that_was_not_written(folder: Path):
    """Right or a sentence, of records and of answers; after a repair no record is another one."""
    sound = read(folder)
    path = folder / JOURNAL_FILE
    n_found = 0
    for content in flips(path.read_bytes(), N_FLIPS):
        path.write_bytes(content)
        try:
            assert read(folder) == sound
        except JournalError as error:
            n_found += 1
            assert "\n" not in str(error)
        try:
            with RunFolder.existing(folder) as run:
                for call in CALLS:
                    answer = run.journal.find(call)
                    assert answer is None or getattr(answer, "text", "") == call.messages[0].content
        except JournalError:
            pass
        try:
            salvage(folder)
        except JournalError as error:
            assert "nothing of it can be read" in str(error) or "another" in str(error)
        else:
            assert set(map(repr, read(folder)[0])) <= set(map(repr, RECORDS))
        for each in folder.glob(f"{JOURNAL_FILE}?*"):
            each.unlink()
    assert n_found > N_FLIPS / 10


def test_a_checksum_tells_types_and_columns_apart():
    rows = [
        ("a", 1),
        ("a", "1"),
        ("a", 1.0),
        (b"a", 1),
        (None, 1),
        ("a", 1, None),
        ("a1",),
        ("1", "a"),
    ]
    assert len({checksum_of(*row) for row in rows}) == len(rows)
