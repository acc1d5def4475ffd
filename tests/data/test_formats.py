"""Every file format, and what is wrong with a file of it: the line, what was found, what to do."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
from sources import prompts_in

from cai.data.text_files import MAX_LINE_BYTES, read_bytes
from cai.errors import SourceError

TEXTS = [
    " One, with a comma ",
    'Two "quoted"',
    "Three\nlines\r\nof text",
    "Four\u2028five\x85six 👩‍👧",
]


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def as_jsonl(texts: list[str]) -> str:
    return "".join(json.dumps({"prompt": text}, ensure_ascii=False) + "\n" for text in texts)


def as_csv(texts: list[str], separator: str = ",") -> str:
    rows = [f"{number}{separator}{quoted(text)}" for number, text in enumerate(texts)]
    return "\n".join([f"id{separator}prompt", *rows]) + "\n"


FORMATS: dict[str, Callable[[list[str]], str]] = {
    "jsonl": as_jsonl,
    "ndjson": as_jsonl,
    "json": lambda texts: json.dumps([{"prompt": text} for text in texts]),
    "csv": as_csv,
    "tsv": lambda texts: as_csv(texts, "\t"),
}


def requests(path: Path) -> list[str]:
    return [prompt.request for prompt in prompts_in(path).read()]


def refused(path: Path, data: str | bytes) -> str:
    """The message about a file of that content."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(SourceError) as caught:
        prompts_in(path).check()
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_back_what_was_written_packed_or_not(tmp_path: Path, ending: str):
    data = FORMATS[ending](TEXTS).encode()
    plain, packed = tmp_path / f"a.{ending}", tmp_path / f"a.{ending.upper()}.gz"
    plain.write_bytes(data)
    packed.write_bytes(gzip.compress(data))
    assert requests(plain) == requests(packed) == TEXTS


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "txt"])
def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_text(
    tmp_path: Path, ending: str
):
    formats = {**FORMATS, "txt": lambda texts: "\n".join(texts) + "\n"}
    path = tmp_path / f"a.{ending}"
    text = formats[ending](["One.", "Two."]).replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert requests(path) == ["One.", "Two."]


def test_a_text_file_is_one_prompt_a_line_with_its_spaces(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes(" One \u2028 still one \n\n   \nTwo".encode())
    assert requests(path) == [" One \u2028 still one ", "Two"]
    assert [prompt.origin for prompt in prompts_in(path).read()] == [f"{path}:1", f"{path}:4"]


@pytest.mark.parametrize("text", ['[\n{"a": 1}\n]', '{"prompt": "x"}\n', '\n{\n"a": 1}'])
def test_json_under_the_name_of_a_text_file_is_not_taken_for_prompts(tmp_path: Path, text: str):
    assert "holds JSON" in refused(tmp_path / "a.txt", text)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        ({"instructions": ["a", "b"], "inputs": [], "version": 1}, ["a", "b"]),
        ({"instructions": ["a", "b"], "tags": ["t", "u"]}, ["a", "b"]),
        ({"instructions": ["a", "b"], "inputs": ["c", ""]}, ["a\n\nc", "b"]),
        ({"seeds": ["a", "b"]}, ["a", "b"]),
        ({"data": [{"prompt": "a"}, {"prompt": "b"}], "info": {"by": "x"}}, ["a", "b"]),
        ({"one": {"x": ["a"], "y": ["b"]}, "two": {"z": ["c"]}}, ["a", "b", "c"]),
        ({"one": {"x": {"y": ["a"]}}}, ["a"]),
        ({"samples": [[{"role": "User", "content": "a"}]]}, ["a"]),
    ],
)
def test_the_shapes_of_json_files(tmp_path: Path, document: object, expected: list[str]):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    assert requests(path) == expected
    assert next(prompts_in(path).read()).origin == f"{path}[0]"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (5, "a single value"),
        ({"prompt": "a"}, "an object with the keys 'prompt'"),
        ({}, "an object with the keys"),
        ([], "an empty list"),
        ({"a": ["x"], "b": ["y", "z"]}, "several lists of unequal length ('a', 'b')"),
        ({"a": ["x"], "b": ["y"]}, "no column is known to hold prompts"),
        ({"a": {"x": ["p"]}, "b": ["q"]}, "an object with the keys 'a', 'b'"),
        ([5], "'text' is a number"),
        (["x", None], "[1]: 'text' is null"),
    ],
)
def test_a_json_file_of_no_known_shape_is_refused(tmp_path: Path, document: object, reason: str):
    assert reason in refused(tmp_path / "a.json", json.dumps(document))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"prompt": "cut o', ":2: is not JSON: Unterminated string starting at column 12"),
        ('{"prompt": "a"} {', ":2: is not JSON: Extra data at column 17"),
        ('{"prompt": "a", "prompt": "b"}', ":2: names the key 'prompt' twice"),
        ('{"prompt": "a", "m": {"k": 1, "k": 2}}', ":2: names the key 'k' twice"),
        ('{"prompt": "a\0b"}', ":2: holds a raw NUL byte at character 14"),
        ('"a"', ":2: is JSON, but not an object"),
        ("null", ":2: is JSON, but not an object"),
        ("[" * 100_000, ":2: is nested too deeply"),
        ('{"a":' * 100_000, ":2: is nested too deeply"),
        ('{"n": ' + "9" * 5000 + "}", ":2: is not JSON that can be read"),
    ],
)
def test_a_broken_line_is_named_and_can_be_skipped(tmp_path: Path, line: str, reason: str):
    path = tmp_path / "a.jsonl"
    message = refused(path, f'{{"prompt": "x"}}\n{line}\n{{"prompt": "y"}}\n')
    assert message.startswith(reason)
    assert message.endswith(". Fix the row, or pass --skip-bad-rows.")
    summary = prompts_in(path, skip_bad_rows=True).check().summary
    assert (summary.n_items, summary.n_bad) == (2, 1)


def test_a_file_of_broken_lines_names_the_first_problem(tmp_path: Path):
    assert ":1: is not JSON" in refused(tmp_path / "a.jsonl", "what\never\n")
    assert refused(tmp_path / "b.jsonl", "\n \n").startswith(": has no rows")
    assert refused(tmp_path / "c.jsonl", "{}\n{}\n").startswith(": has no rows")


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "txt"])
def test_what_is_not_utf8_is_named_with_line_and_byte(tmp_path: Path, ending: str):
    formats = {**FORMATS, "txt": lambda texts: "\n".join(texts) + "\n"}
    data = formats[ending](["caf?"]).encode().replace(b"?", b"\xe9")
    message = refused(tmp_path / f"a.{ending}", data)
    assert "is not UTF-8: byte 0xe9 at byte " in message
    line = {"json": ": ", "csv": ":2: "}.get(ending, ":1: ")
    assert message.startswith(line)


def test_utf16_is_refused(tmp_path: Path):
    assert "is not UTF-8" in refused(tmp_path / "a.csv", "id,prompt\n1,x\n".encode("utf-16"))
    assert "raw NUL" in refused(tmp_path / "b.csv", "id,prompt\n1,x\n".encode("utf-16-le"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id,prompt\n1,x\n2,y,z\n", ":3: has the wrong number of fields: expected 2, got 3"),
        ('id,prompt\n1,"a\nb"\n\n2\n', ":5: has the wrong number of fields: expected 2, got 1"),
        ('id,prompt\n1,x\n2,"y\n', ":3: is not readable as a row: unexpected end of data"),
        ('id,prompt\n1,"x"y\n', ":2: is not readable as a row"),
        ("id,prompt,id\n1,x,2\n", ":1: the header names 'id' twice"),
        ("prompt,,\nx,1,2\n", ":1: the header names '' twice"),
        (",,\nx,1,2\n", ":1: the header is empty"),
        ('""\nx\n', ":1: the header is empty"),
        ('"id\n', ":1: the header is not readable as a row"),
        ("id,prompt\n", ": has no rows"),
        ("\n\n", ": is empty"),
        ("id,prompt\n1,\n", ":2: 'prompt' is blank"),
    ],
)
def test_a_broken_table_is_named_by_the_line_where_its_row_starts(
    tmp_path: Path, text: str, reason: str
):
    assert refused(tmp_path / "a.csv", text).startswith(reason)


def test_csv_goes_on_behind_a_bad_row(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text('id,prompt\n1,x\n2,"y"z\n3,w\n4,a,b\n5,"v\nv"\n6,u\n')
    summary = prompts_in(path, skip_bad_rows=True).check().summary
    assert [row.origin for row in summary.bad_rows] == [f"{path}:3", f"{path}:5"]
    prompts = list(prompts_in(path, skip_bad_rows=True).read())
    assert [(prompt.id, prompt.request) for prompt in prompts] == [
        ("1", "x"),
        ("3", "w"),
        ("5", "v\nv"),
        ("6", "u"),
    ]
    assert [prompt.origin for prompt in prompts[2:]] == [f"{path}:6", f"{path}:8"]


def test_an_exported_index_without_a_name_is_let_be(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text(",prompt\n0,x\n")
    assert prompts_in(path).check().summary.tables[0].columns == ("prompt",)


def test_a_field_of_a_megabyte_is_read(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text(as_csv(["word " * 200_000]))
    assert requests(path) == ["word " * 200_000]


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(tmp_path: Path):
    data = b'{"prompt": "x"}\n' + b"x" * (MAX_LINE_BYTES + 1)
    message = refused(tmp_path / "a.jsonl", data)
    assert message.startswith(":2: the line is longer than 64 MiB")


def test_a_file_that_is_read_as_a_whole_has_a_greatest_size(tmp_path: Path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b"x" * (2**20 + 1)))
    with pytest.raises(SourceError, match="is larger than 1 MiB"):
        read_bytes(path, 2**20)


@pytest.mark.parametrize("ending", ["jsonl.gz", "json.gz", "csv.gz"])
def test_damaged_gzip_is_an_error(tmp_path: Path, ending: str):
    data = gzip.compress(FORMATS[ending[:-3]]([str(number) * 9 for number in range(3000)]).encode())
    assert "cannot be read: " in refused(tmp_path / f"cut.{ending}", data[: len(data) // 2])
    flipped = data[:-8] + bytes(byte ^ 255 for byte in data[-8:])
    assert "cannot be read: CRC check failed" in refused(tmp_path / f"flipped.{ending}", flipped)
    assert "cannot be read: Not a gzipped file" in refused(tmp_path / f"plain.{ending}", "{}")


@pytest.mark.parametrize("name", [*[f"a.{ending}" for ending in FORMATS], "a.txt", "a.parquet"])
def test_an_empty_file_is_an_error(tmp_path: Path, name: str):
    assert refused(tmp_path / name, "").startswith(": is empty")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.txt.gz"])
def test_an_empty_file_is_an_error_packed_too(tmp_path: Path, name: str):
    assert refused(tmp_path / name, gzip.compress(b"")).startswith(": is empty")


def test_what_is_no_readable_file_is_said_plainly(tmp_path: Path):
    with pytest.raises(SourceError, match="is a folder without a file that can be read"):
        prompts_in(tmp_path).check()
    with pytest.raises(SourceError, match="no such file"):
        prompts_in(tmp_path / "none.jsonl").check()
    with pytest.raises(SourceError, match="not a regular file"):
        prompts_in("/dev/null").check()
    with pytest.raises(SourceError, match="the name is not UTF-8"):
        prompts_in("a\udcff.jsonl").check()
    assert "'.md'" in refused(tmp_path / "a.md", "x")
    assert "''" in refused(tmp_path / "a", "x")
    assert "gunzip" in refused(tmp_path / "a.parquet.gz", "x")


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
@pytest.mark.parametrize("has_line", [False, True])
def test_the_separator_of_a_csv_file_is_found(tmp_path: Path, separator: str, has_line: bool):
    lines = [f"sep={separator}"] if has_line else []
    lines += [f"id{separator}prompt", f'1{separator}"Over; the, bridge\nnow?"', f"2{separator}So?"]
    path = tmp_path / "a.csv"
    path.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    prompts = list(prompts_in(path).read())
    assert [(p.id, p.request) for p in prompts] == [("1", "Over; the, bridge\nnow?"), ("2", "So?")]
    assert prompts[1].origin.endswith(f":{len(lines) + 1}")


@pytest.mark.parametrize(
    ("encoding", "found"), [("cp1252", "as Windows-1252 it reads 'Über"), ("utf-16", "UTF-16")]
)
def test_another_encoding_is_named(tmp_path: Path, encoding: str, found: str):
    path = tmp_path / "a.csv"
    path.write_bytes("prompt\nÜber die Brücke?\n".encode(encoding))
    with pytest.raises(SourceError, match=found):
        prompts_in(path).check()


def test_a_folder_of_save_to_disk_is_read(tmp_path: Path):
    rows = datasets.Dataset.from_list([{"prompt": "Why?"}, {"prompt": "How?"}])
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "two")
    arrow = next((tmp_path / "one").glob("*.arrow"))
    for path in (tmp_path / "one", tmp_path / "two" / "train", arrow):
        assert [prompt.request for prompt in prompts_in(path).read()] == ["Why?", "How?"]
        assert prompts_in(path).check().summary.n_items == 2
    with pytest.raises(SourceError, match=r"two/train, .*two/test"):
        prompts_in(tmp_path / "two").check()


def test_a_folder_names_the_files_in_it(tmp_path: Path):
    (tmp_path / "a.parquet").touch()
    with pytest.raises(SourceError, match=r"for example .*a\.parquet"):
        prompts_in(tmp_path).check()
