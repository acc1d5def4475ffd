"""Settings of a trainer: what is read of file and overrides, and where each value was written."""

from pathlib import Path

import pytest

from cai.errors import TrainingError, UsageError
from cai.training.settings import TrainerSettings, place, read_settings


def written(folder: Path, text: str) -> Path:
    path = folder / "sft.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path | None, *overrides: str) -> str:
    with pytest.raises((TrainingError, UsageError)) as caught:
        read_settings(path, overrides)
    return str(caught.value)


def test_nothing_given_is_no_settings():
    assert dict(read_settings(None)) == {}


def test_an_empty_file_is_no_settings(tmp_path: Path):
    assert dict(read_settings(written(tmp_path, "# later\n\n"))) == {}


def test_a_file_gives_values_of_yaml_with_their_lines(tmp_path: Path):
    path = written(tmp_path, "max_steps: 3\n\noptim_args: null\nlora:\n  r: 8\n")
    settings = read_settings(path)
    assert dict(settings) == {"max_steps": 3, "optim_args": None, "lora": {"r": 8}}
    assert len(settings) == 3
    assert place(settings, "optim_args") == f"{path}:3"
    assert place(settings, "lora.r") == f"{path}:5"


def test_a_mapping_of_python_has_no_lines():
    assert place({"max_steps": 3}, "max_steps") == "settings"


def test_an_override_wins_over_the_file_and_a_later_one_over_it(tmp_path: Path):
    path = written(tmp_path, "max_steps: 3\nseed: 1\n")
    settings = read_settings(path, ["max_steps=4", "max_steps=5"])
    assert dict(settings) == {"max_steps": 5, "seed": 1}
    assert place(settings, "max_steps") == "--set max_steps"
    assert place(settings, "seed") == f"{path}:2"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("1e-4", "1e-4"),
        ("true", True),
        ("null", None),
        ("[a, b]", ["a", "b"]),
        ("{a: 1}", {"a": 1}),
        ("a=b", "a=b"),
    ],
)
def test_the_value_of_an_override_is_read_as_yaml(text: str, value: object):
    assert read_settings(None, [f"name={text}"])["name"] == value


def test_a_dot_leads_into_a_block_and_leaves_its_other_values(tmp_path: Path):
    path = written(tmp_path, "lora:\n  r: 8\n  alpha: 4\n")
    settings = read_settings(path, ["lora.r=2", "lr_scheduler_kwargs.num_cycles=1"])
    assert settings["lora"] == {"r": 2, "alpha": 4}
    assert settings["lr_scheduler_kwargs"] == {"num_cycles": 1}
    assert place(settings, "lora.r") == "--set lora.r"
    assert place(settings, "lora.alpha") == f"{path}:3"


def test_a_block_set_as_a_whole_has_the_place_where_it_was_set(tmp_path: Path):
    settings = read_settings(written(tmp_path, "lora:\n  r: 8\n"), ["lora={r: 2}"])
    lora = settings.block("lora")
    assert lora is not None
    assert dict(lora) == {"r": 2}
    assert place(lora, "r") == "--set lora"


def test_a_block_by_itself_knows_its_lines(tmp_path: Path):
    path = written(tmp_path, "seed: 1\nlora:\n  r: 8\n")
    settings = read_settings(path)
    lora = settings.block("lora")
    assert lora is not None
    assert dict(lora) == {"r": 8}
    assert place(lora, "r") == f"{path}:3"
    assert settings.block("other") is None


def test_a_block_that_is_none_is_said(tmp_path: Path):
    path = written(tmp_path, "lora: true\n")
    with pytest.raises(TrainingError, match=r"sft.yaml:1: 'lora' is True, and must be a mapping"):
        read_settings(path).block("lora")


def test_settings_equal_a_mapping_of_the_same_values():
    assert TrainerSettings({"a": 1}, {}) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2\n", "sft.yaml:2: 'a' is here for the second time, first in line 1."),
        ("lora:\n  r: 1\n  r: 2\n", "sft.yaml:3: 'r' is here for the second time"),
        ("- a\n", "sft.yaml:1: a list stands where settings should be."),
        ("a: [1\n", "sft.yaml:2: this is not YAML"),
        ("a: !!python/name:os.system\n", "the tag '!!python/name:os.system' is refused"),
    ],
)
def test_a_file_that_is_no_settings_is_refused_with_its_line(tmp_path: Path, text: str, said: str):
    assert said in refusal(written(tmp_path, text))


def test_a_file_that_is_not_there_is_said(tmp_path: Path):
    said = refusal(tmp_path / "none.yaml")
    assert "none.yaml: cannot be read as settings (No such file or directory)." in said


def test_a_file_that_is_no_page_is_refused(tmp_path: Path):
    assert "over the limit" in refusal(written(tmp_path, "# " + "x" * 1_000_000))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("max_steps", "the form is NAME=VALUE"),
        ("max-steps=3", "the form is NAME=VALUE"),
        ("=3", "the form is NAME=VALUE"),
        ("max_steps=", "the value is missing. Write max_steps=null"),
        ("a=[1", "--set 'a=[1': the value is not YAML."),
    ],
)
def test_an_override_of_another_form_is_refused(override: str, said: str):
    assert said in refusal(None, override)


def test_nothing_can_be_set_in_a_value_that_is_no_block():
    assert "'lora' is 3 and not a block" in refusal(None, "lora=3", "lora.r=1")
