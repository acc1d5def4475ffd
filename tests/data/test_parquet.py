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
from sources import prompts_in

from cai.data.parquet import HubDataset
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
    prompts = list(prompts_in(path).read())
    assert [prompt.request for prompt in prompts] == texts
    assert (prompts[-1].id, prompts[-1].origin) == ("999", f"{path}[999]")


def test_parquet_holds_message_lists_and_columns_nobody_needs(tmp_path: Path):
    path = tmp_path / "a.parquet"
    far = pa.array([datetime(2024, 1, 1)], pa.timestamp("ns"))
    pq.write_table(pa.table({"messages": [MESSAGES], "time": far}), path)
    summary = prompts_in(path).check().summary
    assert [prompt.request for prompt in prompts_in(path).read()] == ["x"]
    assert summary.tables[0].columns == ("messages", "time")


def test_a_null_or_a_number_in_parquet_is_a_bad_row(tmp_path: Path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt": ["x", None], "n": [1.0, 2.0]}), path)
    with pytest.raises(SourceError, match=r"a\.parquet\[1\]: 'prompt' is null"):
        prompts_in(path).check()
    with pytest.raises(SourceError, match=r"a\.parquet\[0\]: 'n' is a number"):
        prompts_in(path, column="n").check()


def test_parquet_that_is_none_is_an_error(tmp_path: Path):
    (tmp_path / "text.parquet").write_text("not parquet at all")
    with pytest.raises(SourceError, match=r"text\.parquet: cannot be read: .* Check the file"):
        prompts_in(tmp_path / "text.parquet").check()
    path = tmp_path / "cut.parquet"
    pq.write_table(pa.table({"prompt": ["x" * 1000, "y" * 1000]}), path)
    path.write_bytes(b"PAR1" + b"\0" * 200 + path.read_bytes()[204:])
    with pytest.raises(SourceError, match=r"cut\.parquet: cannot be read"):
        prompts_in(path).check()
    pq.write_table(pa.table([["x"], ["y"]], names=["prompt", "prompt"]), tmp_path / "two.parquet")
    with pytest.raises(SourceError, match=r"names a column twice \(prompt, prompt\)"):
        prompts_in(tmp_path / "two.parquet").check()
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), tmp_path / "none.parquet")
    with pytest.raises(SourceError, match="no rows"):
        prompts_in(tmp_path / "none.parquet").check()


@pytest.mark.usefixtures("in_tmp_path")
def test_a_data_set_of_one_split_is_streamed():
    write_hub_copy(Path("someone/prompts"), train=[{"prompt": "x", "note": "n"}, {"prompt": "y"}])
    first, second = prompts_in("hub:someone/prompts").read()
    assert (first.request, first.origin) == ("x", "hub:someone/prompts@train[0]")
    assert (second.request, second.origin) == ("y", "hub:someone/prompts@train[1]")
    assert prompts_in("hub:someone/prompts").check().summary.tables[0].columns == ("prompt", "note")


@pytest.mark.usefixtures("in_tmp_path")
def test_a_split_is_named_where_there_are_several():
    write_hub_copy(Path("someone/split"), train=[{"prompt": "x"}], test=[{"prompt": "y"}])
    with pytest.raises(SourceError, match=r"several splits\. Name one of: hub:someone/split@train"):
        prompts_in("hub:someone/split").check()
    with pytest.raises(SourceError, match="no split 'dev'"):
        prompts_in("hub:someone/split@dev").check()
    assert [prompt.request for prompt in prompts_in("hub:someone/split@test").read()] == ["y"]
    with pytest.raises(SourceError, match=r"hub:someone/split:odd: cannot be read: .*odd"):
        prompts_in("hub:someone/split:odd").check()


@pytest.mark.parametrize("spec", ["hub:", "hub:a/b/c", "hub:a b", "hub:a/b@", "hub:../etc/x"])
def test_a_spec_that_cannot_be_read_is_refused(spec: str):
    with pytest.raises(SourceError, match="Write hub:owner/name"):
        HubDataset(spec)


def test_without_a_network_a_data_set_is_said_to_be_out_of_reach(tmp_path: Path):
    code = "from cai.data.prompts import PromptSource; PromptSource(('hub:a/b',)).check()"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "SourceError: hub:a/b: cannot be read: " in done.stderr
    assert "Check the name, the network" in done.stderr
