"""Which column is the prompt's: found by name, named by the user, joined with its companion."""

import json
from pathlib import Path

import pytest
from sources import prompts_in

from cai.errors import SourceError

ROLES = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
SHAREGPT = [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *[(name, "x") for name in ("prompt", "Prompt", "question", "instruction", "goal")],
        *[(name, "x") for name in ("forbidden_prompt", "Behavior", "query", "text", "input")],
        ("prompt", ROLES),
        ("messages", ROLES),
        ("conversation", ROLES),
        ("conversations", SHAREGPT),
        ("turns", ["x", "and then?"]),
        ("chosen", "\n\nHuman: x\n\nAssistant: y"),
        ("chosen", ROLES),
    ],
)
def test_a_known_column_is_found(tmp_path: Path, column: str, value: object):
    path = write(tmp_path / "a.jsonl", {"other": "z", column: value})
    assert prompts_in(path).check().summary.column == column
    assert [prompt.request for prompt in prompts_in(path).read()] == ["x"]


def test_prompt_wins_over_the_dialogues_beside_it(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"messages": ROLES, "chosen": ROLES, "prompt": "p"})
    assert prompts_in(path).check().summary.column == "prompt"


@pytest.mark.parametrize("column", ["BehaviorID", "prompt_id", "uid", "question_id", "id"])
def test_a_known_id_column_is_found(tmp_path: Path, column: str):
    path = write(tmp_path / "a.jsonl", {"prompt": "x", column: "k1"})
    assert [prompt.id for prompt in prompts_in(path).read()] == ["k1"]


def test_named_columns_are_taken(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"prompt": "x", "id": "1", "attack": "y", "key": "k"})
    [prompt] = prompts_in(path, column="attack", id_column="key").read()
    assert (prompt.id, prompt.request) == ("k", "y")


def test_a_named_column_that_is_missing_lists_those_found_and_the_nearest(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"id": "1", "question": "x"})
    with pytest.raises(SourceError, match=r"no column 'prompt'\. Its columns: 'id', 'question'"):
        prompts_in(path, column="prompt").check()
    with pytest.raises(SourceError, match=r"Did you mean 'question'\?"):
        prompts_in(path, column="questions").check()
    with pytest.raises(SourceError, match="no column 'ids'"):
        prompts_in(path, id_column="ids").check()


def test_no_known_column_lists_those_found_and_says_how_to_name_one(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"seed": 1, "attack": "x"})
    with pytest.raises(SourceError, match=r"Its columns: 'seed', 'attack'\. .* --column NAME"):
        prompts_in(path).check()


def test_two_columns_that_could_be_the_prompt_are_ambiguous(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"goal": "x", "question": "y"})
    with pytest.raises(SourceError, match=r"any of 'question', 'goal'\. Name it with --column"):
        prompts_in(path).check()


def test_a_column_of_a_later_row_is_found_too(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"note": "x"}, {"prompt": "y"})
    with pytest.raises(SourceError, match=r"a\.jsonl:1: has no 'prompt', only 'note'"):
        prompts_in(path).check()


def test_alpaca_input_is_put_behind_the_instruction(tmp_path: Path):
    rows = [{"instruction": "Sum up.", "input": "A text."}, {"instruction": "Go.", "input": ""}]
    path = write(tmp_path / "a.jsonl", *rows, {"instruction": "Hm.", "input": None})
    requests = [prompt.request for prompt in prompts_in(path).read()]
    assert requests == ["Sum up.\n\nA text.", "Go.", "Hm."]
    assert prompts_in(path).check().summary.describe().endswith("(texts, joined with 'input')")


def test_harmbench_context_is_put_before_the_behavior(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("Behavior,ContextString,BehaviorID\nDo it.,A context.,k1\nGo.,,k2\n")
    requests = [(prompt.id, prompt.request) for prompt in prompts_in(path).read()]
    assert requests == [("k1", "A context.\n\n---\n\nDo it."), ("k2", "Go.")]


def test_a_companion_that_is_no_text_is_a_bad_row(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"instruction": "Sum up.", "input": 5})
    with pytest.raises(SourceError, match="'input' is a number"):
        prompts_in(path).check()
