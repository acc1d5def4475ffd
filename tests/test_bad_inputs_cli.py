"""The collection of bad inputs through the commands: one clear message, exit code 2, nothing made.

Two expectations of the manifest are adapted, both marked there as dependent on the schema:

- `missing_prompt.jsonl` has no `prompt`, but a `question`, which is found and taken;
- the second id of `norway_ids.yaml`, `1e3`, is text to YAML 1.1 and a good id; the other three are
  not, and the message names each.

Files of preferences belong to judging. As sources of prompts they are read as far as they hold any.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from openai_server import LocalServer
from reward_server import CallCai, Ended, assert_refused, spec, write_prompts
from shared_data import BAD_INPUTS as FOLDER
from shared_data import bad_inputs

# A negative weight is now that of a flaw.
ADAPTED = {
    "prompts/missing_prompt.jsonl": "accept",
    "constitutions/weight_negative.yaml": "accept",
}
TOO_LONG = "prompts/ok_huge_line_2mb.jsonl"  # read, and then refused by the server

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the collection is not here")


def expectations(kind: str) -> list[object]:
    """File and expectation of each input of that kind."""
    return [
        pytest.param(row["file"], ADAPTED.get(row["file"], row["expected"]), id=row["file"])
        for row in bad_inputs(kind)
    ]


def assert_file_refused(ended: Ended, file: str) -> None:
    assert_refused(ended, file)
    assert ended.err.startswith("error: ")
    assert ended.err.replace("\n", "").isprintable()


def rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file; some line breaks of Unicode stand inside texts."""
    return [json.loads(line) for line in path.read_bytes().decode().split("\n") if line]


def test_the_collection_is_covered():
    """Every file of the collection is in the manifest, and so in a test below."""
    kinds = ("constitution", "prompts", "preference")
    named = {param.values[0] for kind in kinds for param in expectations(kind)}
    order_ab = {f"{path.parent.name}/{path.name}" for path in FOLDER.glob("*/*")}
    assert named == order_ab


@pytest.mark.parametrize(("file", "expected"), expectations("constitution"))
def test_a_constitution_is_checked(call_cai: CallCai, file: str, expected: str):
    ended = call_cai("constitution", "check", FOLDER / file)
    if expected == "accept":
        assert ended.code == 0
    else:
        assert_file_refused(ended, Path(file).name)


@pytest.mark.parametrize(("file", "expected"), expectations("constitution"))
def test_a_run_under_a_constitution(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path, file: str, expected: str
):
    prompts = write_prompts(tmp_path / "prompts.jsonl", 1)
    run = tmp_path / "run"
    ended = call_cai("revise", prompts, "-c", FOLDER / file, "-m", spec(local_server), "-o", run)
    if expected == "accept":
        assert ended.code == 0
        return
    assert_file_refused(ended, Path(file).name)
    assert local_server.received == []
    assert not run.exists()


@pytest.mark.parametrize(("file", "expected"), expectations("prompts"))
def test_prompts_are_revised_or_refused(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path, file: str, expected: str
):
    run = tmp_path / "run"
    ended = call_cai("revise", FOLDER / file, "-c", "testbed", "-m", spec(local_server), "-o", run)
    if expected == "accept":
        assert ended.code == (1 if file == TOO_LONG else 0)
        assert local_server.received or file == TOO_LONG
        return
    assert_file_refused(ended, Path(file).name)
    assert local_server.received == []
    assert not run.exists()


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("broken_last_line.jsonl", 3),
        ("null_prompt.jsonl", 2),
        ("wrong_types.jsonl", 1),
        ("duplicate_ids.jsonl", 2),
        ("duplicate_json_keys.jsonl", 1),
        ("raw_nul_bytes.jsonl", 1),
        ("lone_surrogate.jsonl", 1),
        ("ragged.csv", 3),
    ],
)
def test_the_message_names_the_line(call_cai: CallCai, tmp_path: Path, file: str, line: int):
    path = FOLDER / "prompts" / file
    ended = call_cai("revise", path, "-c", "testbed", "-m", "embedded", "-o", tmp_path / "run")
    assert_file_refused(ended, f"{file}:{line}: ")


@pytest.mark.parametrize(
    ("file", "n_done", "n_bad"),
    [("broken_last_line.jsonl", 2, 1), ("null_prompt.jsonl", 1, 1), ("ragged.csv", 1, 2)],
)
def test_bad_rows_are_skipped_on_request(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path, file: str, n_done: int, n_bad: int
):
    ended = call_cai(
        *("revise", FOLDER / "prompts" / file, "-c", "testbed", "-m", spec(local_server)),
        *("-o", tmp_path / "run", "--skip-bad-rows", "--json"),
    )
    assert ended.code == 0
    outcome = json.loads(ended.out)
    assert (outcome["done"], outcome["bad_rows"]) == (n_done, n_bad)


def test_a_request_too_large_for_the_server_is_a_record(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path
):
    shared = ("-c", "testbed", "-m", spec(local_server), "-o", tmp_path / "run")
    assert call_cai("revise", FOLDER / TOO_LONG, *shared).code == 1
    call_cai("export", tmp_path / "run", "--format", "everything", "-o", tmp_path / "all.jsonl")
    (row,) = rows(tmp_path / "all.jsonl")
    assert "413" in row["error"]["message"]
    assert len(row["error"]["message"]) < 1000


def test_control_tokens_and_characters_stay_in_the_data(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path
):
    for name in ("ok_special_tokens", "ok_nul_and_control", "ok_emoji_rtl_zalgo"):
        source = FOLDER / "prompts" / f"{name}.jsonl"
        asked = [[{"role": "user", "content": row["prompt"]}] for row in rows(source)]
        shared = ("-c", "testbed", "-m", spec(local_server), "-o", tmp_path / name)
        assert call_cai("revise", source, *shared).code == 0
        out = tmp_path / f"{name}.jsonl"
        call_cai("export", tmp_path / name, "--format", "prompts", "-o", out)
        assert [row["prompt"] for row in rows(out)] == asked


@pytest.mark.parametrize(("file", "expected"), expectations("preference"))
def test_preferences_are_a_source_of_prompts_or_refused(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path, file: str, expected: str
):
    run = tmp_path / "run"
    ended = call_cai("revise", FOLDER / file, "-c", "testbed", "-m", spec(local_server), "-o", run)
    if file in ("preferences/broken_last_line.jsonl", "preferences/empty_strings.jsonl"):
        assert_file_refused(ended, Path(file).name)
        assert not run.exists()
    else:
        assert ended.code == 0
