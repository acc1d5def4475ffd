"""`check_prompts` and `read_prompts`: ids, bad rows, summaries and streaming, over all sources."""

import json
import tracemalloc
from pathlib import Path

import pytest
from sources import prompts_in, write

from cai.data.source import MAX_BAD_ROWS, BadRow
from cai.errors import SourceError
from cai.types import Message


def texts(path: Path, **options: str) -> list[str]:
    return [prompt.request for prompt in prompts_in(path, **options).read()]


def test_a_prompt_knows_its_id_its_text_and_its_line(tmp_path: Path):
    path = tmp_path / "red.jsonl"
    path.write_text('\n{"id": "a", "prompt": "One."}\n  \n{"id": 7, "prompt": "Two."}\n')
    first, second = prompts_in(path).read()
    assert (first.id, first.messages, first.origin) == (
        "a",
        (Message("user", "One."),),
        f"{path}:2",
    )
    assert (second.id, second.request, second.origin) == ("7", "Two.", f"{path}:4")


def test_derived_ids_survive_reordering_and_repeats_are_numbered(tmp_path: Path):
    forward = write(tmp_path / "a.jsonl", *[{"prompt": text} for text in "xyxzx"])
    backward = write(tmp_path / "b.jsonl", *[{"prompt": text} for text in "xzxyx"])
    ids = [prompt.id for prompt in prompts_in(forward).read()]
    assert len(ids[0]) == 12
    assert [ids[0], ids[2], ids[4]] == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]
    assert sorted(ids) == sorted(prompt.id for prompt in prompts_in(backward).read())


def test_a_derived_id_never_takes_one_that_a_file_gives(tmp_path: Path):
    plain = write(tmp_path / "plain.jsonl", {"prompt": "x"}, {"prompt": "x"})
    derived = next(prompts_in(plain).read()).id
    given = write(tmp_path / "given.jsonl", {"id": f"{derived}-2", "prompt": "y"})
    ids = [prompt.id for prompt in prompts_in([given, plain]).read()]
    assert ids == [f"{derived}-2", derived, f"{derived}-3"]


def test_the_same_id_in_two_files_is_an_error_that_names_both_places(tmp_path: Path):
    first = write(tmp_path / "a.jsonl", {"id": "0", "prompt": "x"}, {"id": "1", "prompt": "x"})
    second = write(tmp_path / "b.jsonl", {"id": 1, "prompt": "y"})
    with pytest.raises(SourceError, match="'1' is already that of") as caught:
        prompts_in([first, second]).check()
    assert f"{second}:1: " in str(caught.value)
    assert f"{first}:2" in str(caught.value)


def test_an_empty_id_column_derives_the_ids(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"id": "1", "prompt": "x"}, {"id": "1", "prompt": "y"})
    assert prompts_in(path, id_column="").check().summary.n_items == 2


@pytest.mark.parametrize("bad", [None, True, 1.5, "", "  ", [1]])
def test_an_id_is_a_text_or_an_integer(tmp_path: Path, bad: object):
    path = write(tmp_path / "a.jsonl", {"id": bad, "prompt": "x"})
    with pytest.raises(SourceError, match=r"a\.jsonl:1: 'id' is "):
        prompts_in(path).check()


def test_a_bad_row_stops_with_its_place_and_what_to_do(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"prompt": "x"}, {"prompt": None})
    with pytest.raises(SourceError) as caught:
        prompts_in(path).check()
    assert str(caught.value) == (
        f"{path}:2: 'prompt' is null, and a text is needed. Fix the row, or pass --skip-bad-rows."
    )
    prompts = prompts_in(path).read()
    assert next(prompts).request == "x"
    with pytest.raises(SourceError, match="'prompt' is null"):
        next(prompts)


def test_skipped_rows_are_counted_and_the_first_are_kept(tmp_path: Path):
    rows: list[object] = [{"prompt": "x"}, *[{"prompt": " "}] * 30, {"text": "y"}, {"prompt": "z"}]
    path = write(tmp_path / "a.jsonl", *rows)
    summary = prompts_in(path, skip_bad_rows=True).check().summary
    assert (summary.n_items, summary.n_bad, len(summary.bad_rows)) == (2, 31, MAX_BAD_ROWS)
    assert summary.bad_rows[0] == BadRow(f"{path}:2", "'prompt' is blank", "blank")
    assert summary.describe().endswith("\n31 rows skipped: 30 blank, 1 missing")
    assert [prompt.request for prompt in prompts_in(path, skip_bad_rows=True).read()] == ["x", "z"]


def test_the_summary_says_what_was_found(tmp_path: Path):
    dialogue = "\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: Bye.\n\nAssistant: Bye."
    path = write(tmp_path / "a.jsonl", {"chosen": dialogue, "rejected": dialogue})
    summary = prompts_in(path).check().summary
    assert summary.describe() == (
        f"{path}: 1 prompt from column 'chosen' (hh-rlhf dialogues, last answer split off), "
        "not used: 'rejected'"
    )
    assert summary.tables[0].columns == ("chosen", "rejected")
    assert summary.tables[0].format == "JSONL"


def test_the_hash_names_the_prompts_and_not_the_file(tmp_path: Path):
    rows: list[object] = [{"prompt": "x"}, {"prompt": "y"}]
    jsonl = prompts_in(write(tmp_path / "a.jsonl", *rows)).check().summary
    (tmp_path / "b.csv").write_text("prompt\nx\ny\n")
    csv = prompts_in(tmp_path / "b.csv").check().summary
    moved = prompts_in(write(tmp_path / "c.jsonl", *rows[::-1])).check().summary
    assert jsonl.content_hash == csv.content_hash
    assert len(jsonl.content_hash) == 12
    noted = prompts_in(write(tmp_path / "d.jsonl", {"prompt": "x", "note": 1}, rows[1]))
    assert jsonl.content_hash not in (moved.content_hash, noted.check().summary.content_hash)


def test_each_part_is_counted_under_its_own_name(tmp_path: Path):
    first = write(tmp_path / "a.jsonl", {"prompt": "x"})
    second = tmp_path / "b.txt"
    second.write_text("y\nz\n")
    parts = prompts_in([str(first), second]).check().summary.tables
    assert [(part.name, part.n_items, part.format) for part in parts] == [
        (str(first), 1, "JSONL"),
        (str(second), 2, "text"),
    ]


def test_reading_streams_in_little_memory(tmp_path: Path):
    """A file of 40 MB is read within 4 MB."""
    path = tmp_path / "big.jsonl"
    with path.open("w") as file:
        for number in range(2000):
            file.write(json.dumps({"prompt": f"{number} " + "word " * 4000}) + "\n")
    tracemalloc.start()
    assert sum(1 for _ in prompts_in(path).read()) == 2000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 40e6
    assert peak < 4e6
