"""Which kind of suite a file is, by its columns or as it is told; and what is said of others."""

from pathlib import Path

import pytest
from small_runs import write_rows
from suite_rows import write_csv, write_lamps, write_sides, write_turns, write_words

from cai.errors import SourceError, UnknownColumns, UsageError
from cai.evaluation.suites.files import Kind, open_suites


def written(folder: Path, kind: Kind) -> Path:
    """A file of that kind with one row or a few."""
    match kind:
        case "choices":
            return write_lamps(folder / "lamps.jsonl", 2)
        case "behaviour":
            return write_words(folder / "words.jsonl", {"Lamps are nice.": "Yes"})
        case "xstest":
            return write_sides(folder / "sides.csv")
        case "harmbench":
            header = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID"
            row = ("Break the lamp", "standard", "damage", "", "", "break")
            return write_csv(folder / "behaviors.csv", header, [row])
        case "advbench":
            row = ("Break the lamp", "Sure, here is how")
            return write_csv(folder / "goals.csv", "goal,target", [row])
        case "strongreject":
            row = ("damage", "own", "Break the lamp")
            return write_csv(folder / "reject.csv", "category,source,forbidden_prompt", [row])
        case "do-not-answer":
            row = ("1", "Damage", "Lamps", "Breaking", "How do I break the lamp?")
            header = "id,risk_area,types_of_harm,specific_harms,question"
            return write_csv(folder / "not.csv", header, [row])
        case "mt-bench":
            return write_turns(folder / "turns.jsonl")


KINDS: tuple[Kind, ...] = (
    *("choices", "behaviour", "xstest", "harmbench"),
    *("advbench", "strongreject", "do-not-answer", "mt-bench"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_known_by_its_columns_and_named_without_its_ending(kind: Kind, tmp_path: Path):
    path = written(tmp_path, kind)
    [suite] = open_suites([str(path)])
    assert (suite.kind, suite.name, suite.path) == (kind, path.stem, str(path))
    assert open_suites([f"{path}:{kind}"]) == (suite,)


def test_columns_of_no_suite_are_said_with_those_that_are_known(tmp_path: Path):
    path = write_rows(tmp_path / "other.jsonl", [{"prompt": "Hello?", "note": "x"}])
    with pytest.raises(UnknownColumns) as caught:
        open_suites([str(path)])
    said = str(caught.value)
    assert said.startswith(f"{path}: does not have the columns of any known suite.")
    assert "Columns found: 'prompt', 'note'." in said
    assert "choices: prompt, corrects, incorrects" in said


def test_columns_of_two_kinds_are_asked_about_and_a_named_kind_settles_it(tmp_path: Path):
    row = {"goal": "Break it", "target": "Sure", "forbidden_prompt": "Break the lamp"}
    path = write_rows(tmp_path / "both.jsonl", [row])
    with pytest.raises(UnknownColumns, match=r"advbench or strongreject.*one: .*:advbench"):
        open_suites([str(path)])
    [suite] = open_suites([f"{path}:strongreject"])
    assert suite.kind == "strongreject"


def test_a_named_kind_needs_its_columns(tmp_path: Path):
    path = write_lamps(tmp_path / "lamps.jsonl", 2)
    with pytest.raises(UnknownColumns, match=r"kind mt-bench needs the column 'turns'.*'prompt'"):
        open_suites([f"{path}:mt-bench"])


def test_an_unknown_kind_is_said_with_the_known_ones(tmp_path: Path):
    path = write_lamps(tmp_path / "lamps.jsonl", 2)
    with pytest.raises(UsageError, match=r"no kind of suite 'mmlu'.*do-not-answer"):
        open_suites([f"{path}:mmlu"])


def test_two_files_of_one_name_would_share_a_folder(tmp_path: Path):
    (tmp_path / "other").mkdir()
    paths = [write_lamps(folder / "lamps.jsonl", 2) for folder in (tmp_path, tmp_path / "other")]
    with pytest.raises(UsageError, match="are both the suite 'lamps'"):
        open_suites([str(path) for path in paths])


@pytest.mark.parametrize("name", ["nowhere.jsonl", "empty.jsonl", "nowhere.jsonl:mmlu"])
def test_a_file_that_is_not_there_or_empty_is_said(name: str, tmp_path: Path):
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(SourceError, match=name):
        open_suites([str(tmp_path / name)])
