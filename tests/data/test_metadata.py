"""The other columns of a row: kept beside the item as JSON, whatever kind it is."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest
from sources import pairs_in, prompts_in, responses_in, write

OTHER = {"rubric": "Be kind.", "license": "CC0-1.0", "ticket": 7, "points": [1, 2]}


@pytest.mark.parametrize("read", [prompts_in, responses_in])
def test_the_other_columns_of_a_row_are_its_metadata(tmp_path: Path, read: object):
    row = {"id": "k", "prompt": "Why?", "response": "So.", "empty": "", **OTHER}
    [(_, item)] = read(write(tmp_path / "a.jsonl", row)).check().items()  # pyright: ignore
    prompt = item if read is prompts_in else item.prompt
    answer = {"response": "So."} if read is prompts_in else {}
    assert json.loads(prompt.metadata) == {**answer, **OTHER}


def test_the_metadata_of_a_pair_is_read_from_parquet_too(tmp_path: Path):
    row = {"prompt": "Why?", "chosen": "So.", "rejected": "No.", **OTHER, "image": b"123"}
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "a.parquet")
    [pair] = pairs_in(tmp_path / "a.parquet").read()
    assert json.loads(pair.prompt.metadata) == {**OTHER, "image": "3 bytes"}


def test_metadata_that_an_export_wrote_is_not_nested(tmp_path: Path):
    for stored in (OTHER, json.dumps(OTHER)):
        row = {"prompt": "Why?", "metadata": stored, "provenance": {"run": "r"}}
        [prompt] = prompts_in(write(tmp_path / "a.jsonl", row)).read()
        assert json.loads(prompt.metadata) == OTHER


def test_a_row_of_a_prompt_alone_has_no_metadata(tmp_path: Path):
    [prompt] = prompts_in(write(tmp_path / "a.jsonl", {"prompt": "Why?"})).read()
    assert prompt.metadata == ""


def test_rows_that_are_grouped_keep_the_metadata_of_all(tmp_path: Path):
    rows = [
        {"id": n, "prompt": "Why?", "response": text, "score": n, "lang": "en", "note": note}
        for n, (text, note) in enumerate((("So.", "x"), ("No.", None), ("Ask.", "y")))
    ]
    pairs = list(pairs_in(write(tmp_path / "a.jsonl", *rows)).read())
    assert len(pairs) == 3
    for pair in pairs:
        assert json.loads(pair.prompt.metadata) == {"lang": "en", "note": ["x", None, "y"]}
