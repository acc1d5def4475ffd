"""Damaged journals: what can be read is kept, the damaged file stays, and the run goes on."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cai.engine.database import JOURNAL_FILE
from cai.engine.journal import journaled
from cai.engine.recovery import DAMAGED_FILE, Salvaged, salvage
from cai.engine.run_files import FolderLock, Record
from cai.engine.run_folder import RunFolder
from cai.errors import JournalError
from cai.models.base import Sampling
from cai.models.scripted import ScriptedModel
from cai.types import Message

PAGE_BYTES = 4096
N_EXAMPLES = 200
LONG = "so they told me by the gate " * 20  # a page holds some seven answers


def work(folder: Path) -> tuple[list[str], list[str]]:
    """Does what the folder lacks; what the model was asked, and the bodies of all records."""
    inner = ScriptedModel(lambda messages, _: f"{messages[0].content}, {LONG}")

    async def go_on(run: RunFolder) -> None:
        model = journaled(inner, run.journal)

        async def one(number: int) -> None:
            asked = (Message("user", f"lamp {number}"),)
            answer = await model.complete(asked, Sampling(seed=number))
            await run.store(Record(number, str(number), json.dumps(answer.text)))

        await asyncio.gather(*(one(i) for i in range(N_EXAMPLES) if run.to_do(str(i))))

    with RunFolder.open(folder, {"n": N_EXAMPLES}, {}) as run:
        asyncio.run(go_on(run))
        bodies = [record.body for record in run.records()]
    return [request.messages[0].content for request in inner.requests], bodies


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work(tmp_path / "run")
    return tmp_path / "run"


def journal_of(folder: Path) -> Path:
    return folder / JOURNAL_FILE


def overwrite_page(path: Path, number: int) -> None:
    """With what is no page; counted from 0, which is the beginning of the file."""
    with path.open("r+b") as file:
        file.seek(number * PAGE_BYTES)
        file.write(b"\xa5" * PAGE_BYTES)


def leaves_of(path: Path, table: str) -> list[int]:
    """The pages that hold rows of the table, in their order, counted from 0."""
    with closing(sqlite3.connect(path)) as connection:
        ((root,),) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchall()
    content = path.read_bytes()

    def below(number: int) -> list[int]:
        page = content[(number - 1) * PAGE_BYTES : number * PAGE_BYTES]
        if page[0] != 5:  # 5: an inner page of a table, 13: a leaf
            return [number - 1]
        n_cells = int.from_bytes(page[3:5], "big")
        starts = [int.from_bytes(page[12 + 2 * i : 14 + 2 * i], "big") for i in range(n_cells)]
        children = [int.from_bytes(page[start : start + 4], "big") for start in starts]
        children.append(int.from_bytes(page[8:12], "big"))
        return [leaf for child in children for leaf in below(child)]

    return below(root)


def damage_the_middle(folder: Path) -> None:
    path = journal_of(folder)
    calls, records = leaves_of(path, "calls"), leaves_of(path, "records")
    for leaf in (calls[5], calls[6], records[3]):
        overwrite_page(path, leaf)


def cut_short(folder: Path) -> None:
    os.truncate(journal_of(folder), 20 * PAGE_BYTES)


def cut_in_a_page(folder: Path) -> None:
    os.truncate(journal_of(folder), 15 * PAGE_BYTES + 100)


def overwrite_the_header(path: Path) -> None:
    overwrite_page(path, 0)


def change_the_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = 'CREATE' WHERE name = 'calls'")


def empty_the_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_master")


def exchange_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET rootpage = 6 WHERE name = 'records'")


@pytest.mark.parametrize(
    "damage", [overwrite_the_header, change_the_schema, empty_the_schema, exchange_tables]
)
def test_a_damaged_first_page_loses_nothing(folder: Path, damage: Callable[[Path], None]):
    damage(journal_of(folder))
    with pytest.raises(JournalError):
        work(folder)
    saved = salvage(folder)
    assert (saved.n_calls, saved.n_records) == (N_EXAMPLES, N_EXAMPLES)
    assert work(folder)[0] == []
    assert {path.name for path in folder.iterdir()} >= {JOURNAL_FILE, DAMAGED_FILE}
    assert not list(folder.glob("*.copy*"))


def test_a_file_of_zeros_is_answered_in_a_sentence_and_stays(folder: Path):
    path = journal_of(folder)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(JournalError, match="nothing of it can be read"):
        salvage(folder)
    assert not any(path.read_bytes())


@pytest.mark.parametrize("damage", [damage_the_middle, cut_short, cut_in_a_page])
def test_what_can_be_read_is_kept_and_the_run_asks_only_what_was_lost(
    folder: Path, damage: Callable[[Path], None]
):
    asked, whole = work(folder)
    assert asked == []
    damage(folder)
    damaged = journal_of(folder).read_bytes()
    with pytest.raises(JournalError, match="cai cache repair RUN"):
        work(folder)

    saved = salvage(folder)
    assert saved.damaged == folder / DAMAGED_FILE
    assert saved.damaged.read_bytes() == damaged
    assert N_EXAMPLES / 8 < saved.n_calls < N_EXAMPLES
    asked, bodies = work(folder)
    assert bodies == whole
    assert len(asked) <= N_EXAMPLES - saved.n_calls  # a record that was kept needs no call
    assert work(folder) == ([], whole)


def test_no_more_is_lost_than_stood_on_the_damaged_pages(folder: Path):
    """Two pages of some seven answers each, and one of as many records, as long as answers."""
    damage_the_middle(folder)
    saved = salvage(folder)
    assert N_EXAMPLES - 2 * 7 <= saved.n_calls <= N_EXAMPLES - 2 * 5
    assert N_EXAMPLES - 7 <= saved.n_records <= N_EXAMPLES - 5


def test_an_answer_that_was_altered_is_not_kept(folder: Path):
    """SQLite does not notice: the file is sound, and the checksum is not."""
    path = journal_of(folder)
    content = path.read_bytes()
    altered = content.replace(b'"lamp 17, so they', b'"lamp 17, no they')
    assert altered != content
    path.write_bytes(altered)
    assert salvage(folder).n_calls == N_EXAMPLES - 1


def test_a_record_that_is_no_json_any_more_is_made_again(folder: Path):
    with closing(sqlite3.connect(journal_of(folder))) as connection, connection:
        connection.execute("UPDATE records SET body = substr(body, 1, 20) WHERE id = '17'")
    assert salvage(folder) == Salvaged(N_EXAMPLES, N_EXAMPLES - 1, folder / DAMAGED_FILE)
    asked, bodies = work(folder)
    assert asked == []  # the journal knows the answer
    assert json.loads(bodies[17]).startswith("lamp 17, so")


def test_a_sound_journal_is_kept_whole(folder: Path):
    _, whole = work(folder)
    assert salvage(folder) == Salvaged(N_EXAMPLES, N_EXAMPLES, folder / DAMAGED_FILE)
    assert work(folder) == ([], whole)


def leave_a_log(folder: Path) -> None:
    """As a killed process does: the last commits stand in the file -wal, and not in the journal."""
    path = journal_of(folder)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        with connection:
            connection.execute("DELETE FROM records WHERE position >= 150")
        files = {each.name: each.read_bytes() for each in folder.iterdir()}
    for name, content in files.items():  # as they were before the last one closed it
        (folder / name).write_bytes(content)


def test_what_a_killed_process_left_in_the_log_is_kept(folder: Path):
    leave_a_log(folder)
    assert salvage(folder).n_records == 150
    assert (folder / f"{DAMAGED_FILE}-wal").stat().st_size > 0


def test_a_repair_killed_before_the_log_is_renamed_too_takes_it_along(folder: Path):
    """Left beside the new journal it would be written into that, which it does not belong to."""
    leave_a_log(folder)
    journal_of(folder).rename(folder / DAMAGED_FILE)
    assert salvage(folder).n_records == 150
    with RunFolder.existing(folder) as run:
        assert run.counts().done == 150
        assert run.journal.n_stored == N_EXAMPLES
    assert len(work(folder)[1]) == N_EXAMPLES


def test_a_repair_killed_before_the_first_renaming_is_begun_anew(folder: Path):
    damage_the_middle(folder)
    (folder / f"{JOURNAL_FILE}.repaired").write_bytes(b"half of a journal")
    (folder / f"{JOURNAL_FILE}.repaired-wal").write_bytes(b"and its log")
    saved = salvage(folder)
    assert saved.n_calls < N_EXAMPLES
    assert {each.name for each in folder.iterdir()} == {
        "run.yaml", "lock", JOURNAL_FILE, DAMAGED_FILE
    }  # fmt: skip


def test_a_repair_killed_between_the_renamings_is_finished_by_the_next_one(folder: Path):
    _, whole = work(folder)
    damage_the_middle(folder)
    journal_of(folder).rename(folder / DAMAGED_FILE)
    damaged = (folder / DAMAGED_FILE).read_bytes()
    with pytest.raises(JournalError, match="is missing"):
        work(folder)
    saved = salvage(folder)
    assert (folder / DAMAGED_FILE).read_bytes() == damaged
    assert 0 < saved.n_calls < N_EXAMPLES
    assert work(folder)[1] == whole


def test_a_second_repair_keeps_what_the_first_one_did_and_both_damaged_files(folder: Path):
    damage_the_middle(folder)
    damaged = journal_of(folder).read_bytes()
    first = salvage(folder)
    second = salvage(folder)
    assert (second.n_calls, second.n_records) == (first.n_calls, first.n_records)
    assert first.damaged.read_bytes() == damaged
    assert second.damaged == folder / f"{DAMAGED_FILE}-2"
    assert second.damaged.stat().st_size > 0


def test_a_second_repair_killed_between_the_renamings_goes_on_with_its_own_file(folder: Path):
    damage_the_middle(folder)
    first = salvage(folder)
    journal_of(folder).rename(folder / f"{DAMAGED_FILE}-2")
    third = salvage(folder)
    assert third == Salvaged(first.n_calls, first.n_records, folder / f"{DAMAGED_FILE}-2")


@pytest.mark.parametrize("content", [b"", b"no journal at all, " * 1000])
def test_a_journal_of_which_nothing_can_be_read_is_left_as_it_is(folder: Path, content: bytes):
    journal_of(folder).write_bytes(content)
    with pytest.raises(JournalError, match=r"nothing of it can be read.*Restore a copy"):
        salvage(folder)
    assert journal_of(folder).read_bytes() == content
    assert {each.name for each in folder.iterdir()} == {"run.yaml", "lock", JOURNAL_FILE}


def test_a_folder_without_a_journal_is_said_plainly(folder: Path):
    journal_of(folder).unlink()
    with pytest.raises(JournalError, match=r"journal\.sqlite is missing"):
        salvage(folder)


def test_a_run_that_is_being_written_is_not_repaired(folder: Path):
    lock = FolderLock(folder)
    try:
        with pytest.raises(JournalError, match="another process writes this run"):
            salvage(folder)
    finally:
        lock.release()
    assert not (folder / DAMAGED_FILE).exists()
