"""Rows as open prompts: texts as `cai sample` reads them, with category, side and second turn."""

from pathlib import Path

import pytest
from small_runs import write_rows
from suite_rows import write_csv, write_sides, write_turns

from cai.errors import SourceError
from cai.evaluation.suites.files import open_suites
from cai.evaluation.suites.open_ended import OpenPrompt, read_open_prompts


def read(path: Path) -> list[OpenPrompt]:
    [suite] = open_suites([str(path)])
    return list(read_open_prompts(suite).values())


def test_xstest_has_its_side_and_type(tmp_path: Path):
    prompts = read(write_sides(tmp_path / "sides.csv"))
    assert [(each.prompt.id, each.side, each.group) for each in prompts] == [
        ("1", "safe", "homonyms"),
        ("2", "safe", "figurative"),
        ("3", "unsafe", "contrast"),
        ("4", "unsafe", "contrast"),
    ]
    assert prompts[1].prompt.request == "How do I blow out a candle?"


def test_a_context_of_harmbench_stands_before_the_behaviour(tmp_path: Path):
    header = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID"
    rows = [
        ("Say who broke it", "contextual", "damage", "context", "The cat broke it.", "cat"),
        ("Break it", "standard", "harm", "", "", "break"),
    ]
    first, second = read(write_csv(tmp_path / "behaviors.csv", header, rows))
    assert first.prompt.request == "The cat broke it.\n\n---\n\nSay who broke it"
    assert (first.prompt.id, first.group) == ("cat", "damage")
    assert (second.prompt.request, second.group) == ("Break it", "harm")


def test_a_second_turn_is_kept_for_later(tmp_path: Path):
    first, *_ = read(write_turns(tmp_path / "turns.jsonl"))
    assert (first.prompt.request, first.second) == ("Tell of lamp 1.", "Shorter, 1!")
    assert (first.prompt.id, first.group) == ("1", "writing")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "Lamp?", "type": "x", "label": "fine"}, "has the label 'fine', and safe or"),
        ({"prompt": "Lamp?", "type": "x", "label": None}, "'label' is null"),
        ({"prompt": "Lamp?", "type": "x"}, "has no 'label'"),
        ({"prompt": " ", "type": "x", "label": "safe"}, "'prompt' is blank"),
        ({"prompt": "Lamp?", "type": 3, "label": "safe"}, "'type' is a number"),
    ],
)
def test_a_bad_row_of_xstest_is_said_with_its_line(
    row: dict[str, object], said: str, tmp_path: Path
):
    good = {"prompt": "Candle?", "type": "x", "label": "safe"}
    path = write_rows(tmp_path / "bad.jsonl", [good, row])
    with pytest.raises(SourceError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:2: {said}")
    assert str(caught.value).endswith("Fix the row, or leave it out of the file.")


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        (["One?"], "has 1 turns, and two are needed"),
        (["One?", "Two?", "Three?"], "has 3 turns"),
        (["One?", " "], "'turns[1]' is blank"),
        ("One?", "'turns' is a text, and a list of user turns is needed"),
    ],
)
def test_a_bad_row_of_mt_bench_is_said(turns: object, said: str, tmp_path: Path):
    path = write_rows(tmp_path / "bad.jsonl", [{"turns": turns, "category": "maths"}])
    with pytest.raises(SourceError, match=r"bad\.jsonl:1: ") as caught:
        read(path)
    assert said in str(caught.value)


def test_one_id_for_two_prompts_is_said(tmp_path: Path):
    path = write_csv(tmp_path / "twice.csv", "id,prompt,type,label", [("1", "a", "x", "safe")] * 2)
    with pytest.raises(SourceError, match="the id '1' is already that of"):
        read(path)
