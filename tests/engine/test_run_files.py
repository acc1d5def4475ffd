"""`run.yaml`: what it keeps, what it refuses, and how two recipes differ."""

from pathlib import Path

import pytest
import yaml

from cai.engine.run_files import (
    FORMAT,
    describe,
    differences,
    read_description,
    write_description,
)
from cai.errors import JournalError

CONFIG = {
    "command": "revise",
    "models": {"respond": "embedded", "judge": None},
    "rounds": 4,
    "temperature": 1e-06,
    "stop": ["\n\n", "Human:"],
    "note": "Grüße 🙂, line \u2028, half a pair \ud83d, zero \x00, 2024-01-01, yes, ~",
}
VERSIONS = {"cai": "0.1.0", "torch": "2.13.0"}


def test_a_description_comes_back_as_it_was_written(tmp_path: Path):
    written = describe(CONFIG, VERSIONS)
    write_description(tmp_path, written)
    assert read_description(tmp_path) == written
    assert written.config == CONFIG
    assert written.versions == VERSIONS
    assert [inner.name for inner in tmp_path.iterdir()] == ["run.yaml"]


def test_the_file_is_plain_to_read(tmp_path: Path):
    write_description(tmp_path, describe({"note": "Grüße", "rounds": 4}, VERSIONS))
    text = (tmp_path / "run.yaml").read_text("utf-8")
    assert "note: Grüße\n  rounds: 4\n" in text
    assert list(yaml.safe_load(text)) == ["cai", "created", "config", "versions"]


def test_a_tuple_is_a_list_in_a_recipe():
    assert describe({"tags": ("harm", "tone")}, {}).config == {"tags": ["harm", "tone"]}


def test_equal_recipes_have_no_differences():
    assert differences(CONFIG, describe(CONFIG, {}).config) == []


def test_each_difference_is_told_by_its_field():
    old = {"rounds": 2, "models": {"respond": "a", "judge": "b"}, "limit": 10, "few": {}}
    new = {"rounds": 4, "models": {"respond": "a", "judge": None}, "seed": 0, "few": {"x": 1}}
    assert differences(old, new) == [
        "rounds: 2 → 4",
        "models.judge: 'b' → None",
        "limit: 10 → (absent)",
        "few: {} → (absent)",
        "seed: (absent) → 0",
        "few.x: (absent) → 1",
    ]


def test_lists_of_mappings_differ_by_place():
    """A list of plain values is one field; one of mappings has a field for each of theirs."""
    old = {"judges": [{"model": "a", "t": 0.0}, {"model": "b", "t": 0.0}], "files": ["x", "y"]}
    new = {"judges": [{"model": "a", "t": 0.5}], "files": ["x"]}
    assert differences(old, new) == [
        "judges[0].t: 0.0 → 0.5",
        "judges[1].model: 'b' → (absent)",
        "judges[1].t: 0.0 → (absent)",
        "files: ['x', 'y'] → ['x']",
    ]
    assert differences({"judges": []}, {"judges": [{"model": "a"}]}) == [
        "judges: [] → (absent)",
        "judges[0].model: (absent) → 'a'",
    ]
    assert differences(new, {**new, "judges": list(new["judges"])}) == []


def test_a_long_value_is_cut_in_the_message():
    [line] = differences({"note": "a" * 500}, {"note": "b" * 500})
    assert len(line) < 200


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "HF_TOKEN", "client_secret"])
@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"key": "{}"}, "key"),
        ({"models": {"judge": "openai:m@http://host/v1?key={}"}}, "models.judge"),
        ({"urls": ["http://a", "http://user:{}@b"]}, r"urls\[1\]"),
    ],
)
def test_a_secret_is_refused_by_its_name_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, config: dict, field: str
):
    secret = "s3cr3t-value-1234"
    monkeypatch.setenv(name, secret)
    filled = yaml.safe_load(yaml.safe_dump(config).replace("{}", secret))
    with pytest.raises(JournalError, match=f"'{field}'.* {name}") as caught:
        describe(filled, {})
    assert secret not in str(caught.value)


def test_a_short_or_empty_value_of_such_a_variable_is_no_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMPTY_KEY", "")
    monkeypatch.setenv("PROMPT_SET_KEY", "chat")
    assert describe({"prompts": "chat"}, {}).config == {"prompts": "chat"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"just a text",
        b"- a\n- b\n",
        b"cai: 2\n",
        b"cai: x\nconfig: {}\nversions: {}\ncreated: ''\n",
        b"cai: 2\nconfig: 3\nversions: {}\ncreated: ''\n",
        b"cai: 2\nconfig: {]\n",
        b"\xff\xfe\x00",
        b"cai: !!python/object/apply:os.getcwd []\n",
    ],
)
def test_a_damaged_description_is_an_error_that_names_the_file(tmp_path: Path, content: bytes):
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(JournalError, match=r"run\.yaml.*Restore a copy"):
        read_description(tmp_path)


@pytest.mark.parametrize(("number", "age"), [(FORMAT + 1, "a newer"), (FORMAT - 1, "an older")])
def test_a_description_of_another_version_is_refused(tmp_path: Path, number: int, age: str):
    (tmp_path / "run.yaml").write_text(f"cai: {number}\n")
    with pytest.raises(JournalError, match=f"{age} cai"):
        read_description(tmp_path)


def test_a_folder_without_a_description_is_no_run(tmp_path: Path):
    with pytest.raises(JournalError, match="is not a run"):
        read_description(tmp_path)


def test_a_description_that_cannot_be_written_is_said_plainly(tmp_path: Path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(JournalError, match=r"run\.yaml: cannot be written"):
        write_description(tmp_path / "taken", describe({}, {}))


def test_a_description_that_cannot_be_read_is_said_plainly(open_folder: Path, ordinary_user):
    write_description(open_folder, describe({}, {}))
    (open_folder / "run.yaml").chmod(0)
    with ordinary_user(), pytest.raises(JournalError, match=r"Permission denied.*permissions"):
        read_description(open_folder)
