"""What the tests of commands share."""

import pytest


@pytest.fixture
def wide_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are printed without a line break within a cell."""
    monkeypatch.setenv("COLUMNS", "300")
