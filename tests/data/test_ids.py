"""Ids by their first positions, as a dict would give them, and ids of several items of a row."""

from pathlib import Path

import pytest

from cai.data.ids import IdPositions, Ids
from cai.data.open_table import open_table
from cai.data.tables import RowError


def test_an_id_keeps_its_first_position():
    positions = IdPositions()
    assert positions.first("a", 0) is None
    assert positions.first("b", 7) is None
    assert positions.first("a", 9) == 0
    assert positions.first("b", 9) == 7


def test_it_grows_and_forgets_nothing():
    positions, ids = IdPositions(), [f"id-{number}" for number in range(20_000)]
    assert all(positions.first(id, number) is None for number, id in enumerate(ids))
    assert [positions.first(id, -1) for id in ids] == list(range(20_000))


def test_a_position_may_be_as_large_as_positions_of_many_files_are():
    positions = IdPositions()
    positions.first("a", 2**63)
    assert positions.first("a", 0) == 2**63


def test_several_items_of_a_row_are_numbered_behind_its_id(tmp_path: Path):
    (tmp_path / "0.jsonl").write_text('{"id": "x"}\n')
    with open_table(str(tmp_path / "0.jsonl")) as table:
        ids = Ids([table])
    assert ids.name({"id": "x"}, "id", [["a"], ["b"]], 0) == ["x.1", "x.2"]
    assert ids.name({"id": 7}, "id", [["c"]], 1) == ["7"]
    with pytest.raises(RowError, match=r"'x\.1' is already that of .*0\.jsonl:0"):
        ids.name({"id": "x.1"}, "id", [["d"]], 2)
