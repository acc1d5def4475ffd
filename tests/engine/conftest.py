"""What the tests of the engine share."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cai.engine.database import Database
from cai.engine.writer import Writer


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "journal.sqlite")) as database:
        yield database


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    with closing(Writer(database)) as writer:
        yield writer
