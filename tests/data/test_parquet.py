"""Parquet files, and hub data sets through the library's own streaming of a local copy."""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cai.data.parquet import open_hub
from cai.data.prompts import check_prompts, read_prompts
from cai.errors import SourceError

MESSAGES = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]


def write_hub_copy(folder: Path, **splits: list[dict[str, str]]) -> None:
    """A data set where the library looks before it asks the hub: beside the working folder."""
    folder.mkdir(parents=True)
    for name, rows in splits.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_parquet_is_read_over_row_groups(tmp_path: Path):
    path = tmp_path / "a.parquet"
    texts = [f" text {number}\u2028" for number in range(1000)]
    pq.write_table(pa.table({"prompt": texts, "id": range(1000)}), path, row_group_size=300)
    prompts = list(read_prompts(path))
    assert [prompt.request for prompt in prompts] == texts
    assert (prompts[-1].id, prompts[-1].origin) == ("999", f"{path}[999]")


def test_parquet_holds_message_lists_and_columns_nobody_needs(tmp_path: Path):
    path = tmp_path / "a.parquet"
    far = pa.array([datetime(2024, 1, 1)], pa.timestamp("ns"))
    pq.write_table(pa.table({"messages": [MESSAGES], "time": far}), path)
    summary = check_prompts(path)
    assert [prompt.request for prompt in read_prompts(path)] == ["x"]
    assert summary.parts[0].columns == ("messages", "time")


def test_a_null_or_a_number_in_parquet_is_a_bad_row(tmp_path: Path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt": ["x", None], "n": [1.0, 2.0]}), path)
    with pytest.raises(SourceError, match=r"a\.parquet\[1\]: 'prompt' is null"):
        check_prompts(path)
    with pytest.raises(SourceError, match=r"a\.parquet\[0\]: 'n' is a number"):
        check_prompts(path, column="n")


def test_parquet_that_is_none_is_an_error(tmp_path: Path):
    (tmp_path / "text.parquet").write_text("not parquet at all")
    with pytest.raises(SourceError, match=r"text\.parquet: cannot be read: .* Check the file"):
        check_prompts(tmp_path / "text.parquet")
    path = tmp_path / "cut.parquet"
    pq.write_table(pa.table({"prompt": ["x" * 1000, "y" * 1000]}), path)
    path.write_bytes(b"PAR1" + b"\0" * 200 + path.read_bytes()[204:])
    with pytest.raises(SourceError, match=r"cut\.parquet: cannot be read"):
        check_prompts(path)
    pq.write_table(pa.table([["x"], ["y"]], names=["prompt", "prompt"]), tmp_path / "two.parquet")
    with pytest.raises(SourceError, match=r"names a column twice \(prompt, prompt\)"):
        check_prompts(tmp_path / "two.parquet")
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), tmp_path / "none.parquet")
    with pytest.raises(SourceError, match="holds no rows"):
        check_prompts(tmp_path / "none.parquet")


def test_a_data_set_of_one_split_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_hub_copy(Path("someone/prompts"), train=[{"prompt": "x", "note": "n"}, {"prompt": "y"}])
    first, second = read_prompts("hub:someone/prompts")
    assert (first.request, first.origin) == ("x", "hub:someone/prompts@train[0]")
    assert (second.request, second.origin) == ("y", "hub:someone/prompts@train[1]")
    assert check_prompts("hub:someone/prompts").parts[0].columns == ("prompt", "note")


def test_a_split_is_named_where_there_are_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_hub_copy(Path("someone/split"), train=[{"prompt": "x"}], test=[{"prompt": "y"}])
    with pytest.raises(SourceError, match=r"several splits\. Name one of: hub:someone/split@train"):
        check_prompts("hub:someone/split")
    with pytest.raises(SourceError, match="no split 'dev'"):
        check_prompts("hub:someone/split@dev")
    assert [prompt.request for prompt in read_prompts("hub:someone/split@test")] == ["y"]
    with pytest.raises(SourceError, match=r"hub:someone/split:odd: cannot be read: .*odd"):
        check_prompts("hub:someone/split:odd")


@pytest.mark.parametrize("spec", ["hub:", "hub:a/b/c", "hub:a b", "hub:a/b@", "hub:../etc/x"])
def test_a_spec_that_cannot_be_read_is_refused(spec: str):
    with pytest.raises(SourceError, match="Write hub:owner/name"):
        open_hub(spec)


def test_without_a_network_a_data_set_is_said_to_be_out_of_reach(tmp_path: Path):
    code = "from cai.data.prompts import check_prompts; check_prompts('hub:nobody/nothing')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "SourceError: hub:nobody/nothing: cannot be read: " in done.stderr
    assert "Check the name, the network" in done.stderr
