"""The SQLite file: whose it is, who may read it when, and what its failures say."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from cai.engine.database import Database, storable
from cai.errors import JournalError

ADD_CALL = "INSERT INTO calls VALUES (?, 'complete', 'judge', 'small', 5, 3, 0, 1, 0, ?)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def count(database: Database) -> int:
    return database.rows("SELECT count(*) FROM calls")[0][0]


def test_what_is_written_is_read_after_closing(path: Path):
    database = Database(path)
    database.write(ADD_CALL, b"1", "{}")
    database.close()
    database = Database(path, is_read_only=True)
    assert count(database) == 1
    database.close()


def test_a_reader_sees_what_a_writer_has_just_written(path: Path):
    writer = Database(path)
    reader = Database(path, is_read_only=True)
    assert count(reader) == 0
    writer.write(ADD_CALL, b"1", "{}")
    assert count(reader) == 1
    reader.close()
    writer.close()


def test_a_reader_cannot_write(path: Path):
    Database(path).close()
    reader = Database(path, is_read_only=True)
    with pytest.raises(JournalError, match="cannot be written"):
        reader.write(ADD_CALL, b"1", "{}")
    reader.close()


def test_reading_works_in_a_read_only_folder(open_folder: Path, ordinary_user):
    database = Database(open_folder / "journal.sqlite")
    database.write(ADD_CALL, b"1", "{}")
    database.close()
    open_folder.chmod(0o555)
    with ordinary_user():
        reader = Database(open_folder / "journal.sqlite", is_read_only=True)
        assert count(reader) == 1
        reader.close()


def test_the_log_of_a_killed_writer_is_never_silently_left_out(open_folder: Path, ordinary_user):
    """Copied without its index to a read-only medium, the log cannot be read: that is an error."""
    database = Database(open_folder / "journal.sqlite")
    database.write(ADD_CALL, b"1", "{}")
    copy = open_folder / "copy"
    copy.mkdir()
    for name in ("journal.sqlite", "journal.sqlite-wal"):
        shutil.copy(open_folder / name, copy / name)
    database.close()
    copy.chmod(0o555)
    with ordinary_user(), pytest.raises(JournalError, match="copy the whole run folder"):
        Database(copy / "journal.sqlite", is_read_only=True)


def test_an_empty_file_left_by_a_kill_is_begun_anew(path: Path):
    path.touch()
    database = Database(path)
    assert count(database) == 0
    database.close()


def test_a_missing_file_is_not_made_by_reading(path: Path):
    with pytest.raises(JournalError, match="missing"):
        Database(path, is_read_only=True)
    assert not path.exists()


@pytest.mark.parametrize("is_read_only", [False, True])
@pytest.mark.parametrize("content", [b"not a database, but a text" * 100, b"\x00" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(
    path: Path, content: bytes, is_read_only: bool
):
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"journal\.sqlite.*use another folder"):
        Database(path, is_read_only)
    assert path.read_bytes() == content


@pytest.mark.parametrize("is_read_only", [False, True])
def test_the_database_of_another_program_is_refused(path: Path, is_read_only: bool):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    with pytest.raises(JournalError, match="another program"):
        Database(path, is_read_only)


def test_an_older_format_is_refused(path: Path):
    Database(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    with pytest.raises(JournalError, match=r"older cai.*format 1.*another folder"):
        Database(path)


def test_a_transaction_is_all_or_nothing(path: Path):
    database = Database(path)
    with pytest.raises(ZeroDivisionError), database.transaction():
        database.write(ADD_CALL, b"1", "{}")
        raise ZeroDivisionError
    assert count(database) == 0
    with database.transaction():
        database.write(ADD_CALL, b"1", "{}")
        database.write(ADD_CALL, b"2", "{}")
    assert count(database) == 2
    database.close()


def test_a_file_that_was_cut_short_is_found_out(path: Path):
    database = Database(path)
    for number in range(300):
        database.write(ADD_CALL, number.to_bytes(16, "big"), "x" * 1000)
    database.check()
    database.close()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(JournalError, match="cai cache repair"):
        Database(path).check()


@pytest.mark.parametrize("is_read_only", [False, True])
def test_a_newer_format_is_refused(path: Path, is_read_only: bool):
    Database(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match=r"newer cai.*99.*Update cai"):
        Database(path, is_read_only)


def test_a_damaged_page_is_an_error_and_not_an_absence(path: Path):
    database = Database(path)
    for number in range(300):
        database.write(ADD_CALL, number.to_bytes(16, "big"), "x" * 1000)
    database.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    database = Database(path)
    with pytest.raises(JournalError, match="damaged"):
        database.rows("SELECT answer FROM calls ORDER BY answer")
    database.close()


def test_a_full_disk_is_said_plainly_and_keeps_what_was_written(path: Path):
    script = """
import resource, sys
from pathlib import Path
from cai.engine.database import Database
from cai.errors import JournalError
database = Database(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # as a quota would
n = 0
try:
    while True:
        add = "INSERT INTO calls VALUES (?, 'complete', '', 'm', 5, 3, 0, 1, 0, ?)"
        database.write(add, str(n), "x" * 1000)
        n += 1
except JournalError as error:
    print(n, error)
"""
    out = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    ).stdout
    n, message = out.split(maxsplit=1)
    assert "same command again" in message
    assert "space" in message
    database = Database(path)
    assert count(database) == int(n) > 10
    database.close()


def test_a_full_database_is_said_plainly(path: Path):
    database = Database(path)
    database.rows("PRAGMA max_page_count = 8")
    with pytest.raises(JournalError, match="disk is full: free some space"):
        for number in range(100):
            database.write(ADD_CALL, str(number), "x" * 1000)
    database.close()


def test_a_lone_surrogate_becomes_its_json_escape():
    assert storable('"half \ud83d pair, whole 🙂"') == '"half \\ud83d pair, whole 🙂"'
