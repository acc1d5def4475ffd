"""`cai constitution list, show, check, schema`: what is printed, and the exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cai.cli.constitution import constitution
from cai.constitution.loader import load_constitution, shipped_constitutions
from cai.errors import CaiError

GOOD = "name: good\nprinciples:\n- {id: kind, text: It is kind., judge: 'Which is kinder?'}\n"
WARNED = "name: warned\nprinciples:\n- {id: kind, text: The response is kind.}\n"
BROKEN = "name: broken\nprinciples:\n- {id: kind}\n"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(constitution, arguments)
    assert result.exception is None or isinstance(result.exception, (CaiError, SystemExit))
    return result


def refusal(*arguments: str) -> str:
    error = run(*arguments).exception
    assert isinstance(error, CaiError)
    return str(error)


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("command", ["list", "show", "check", "schema"])
def test_every_help_has_one_example(command: str):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert result.output.count(f"Example: cai constitution {command}") == 1


def test_list_names_all_with_numbers_and_descriptions():
    output = run("list").output
    for name in shipped_constitutions():
        assert f"{name}  ({len(load_constitution(name).principles)} principles" in output
    assert "treat people as adults" in output


def test_show_prints_every_principle_with_its_requests():
    output = run("show", "honest").output
    loaded = load_constitution("honest")
    assert loaded.hash in output
    for principle in loaded.principles:
        assert f"\n{principle.id}  [" in output
    assert "judge: Which response is more accurate?" in output


def test_show_of_one_principle_prints_its_examples_and_tests():
    output = run("show", "honest", "--principle", "no-flattery").output
    assert "Absolute genius!" in output
    assert "better: It is 56." in output
    assert "invents-nothing" not in output


def test_show_of_an_unknown_principle_names_the_nearest():
    assert "Did you mean 'no-flattery'?" in refusal("show", "honest", "--principle", "no-flatery")


def test_show_as_json_is_the_whole_constitution():
    loaded = load_constitution("helpful")
    shown = json.loads(run("show", "helpful", "--json").output)
    assert shown.pop("hash") == loaded.hash
    assert type(loaded).model_validate(shown) == loaded


def test_show_of_one_principle_as_json():
    shown = json.loads(run("show", "honest", "--principle", "no-flattery", "--json").output)
    assert shown["id"] == "no-flattery"


def test_show_lists_what_is_extended(tmp_path):
    path = write(tmp_path, "mine.yaml", "name: mine\nextends: honest\n")
    assert "extends honest" in run("show", path).output


def test_text_that_steers_the_terminal_is_shown_escaped(tmp_path):
    text = 'name: x\nprinciples: [{id: a, text: "safe \\e[2J \u202etxet"}]\n'
    output = run("show", write(tmp_path, "x.yaml", text)).output
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "safe \\x1b[2J \\u202etxet" in output


def test_check_of_good_files_says_so_and_exits_with_0(tmp_path):
    result = run("check", "harmless", write(tmp_path, "good.yaml", GOOD), "--strict")
    assert result.exit_code == 0
    assert "harmless: 20 principles, 0 warnings" in result.output


def test_check_prints_warnings_and_only_strict_fails(tmp_path):
    path = write(tmp_path, "warned.yaml", WARNED)
    result = run("check", path)
    assert result.exit_code == 0
    assert "1 warning\n  kind: has no 'judge' text" in result.output
    assert run("check", path, "--strict").exit_code == 1


def test_check_goes_on_after_an_error_and_reports_all(tmp_path):
    paths = [
        write(tmp_path, name, text)
        for name, text in (("a.yaml", BROKEN), ("b.yaml", GOOD), ("c.yaml", BROKEN))
    ]
    result = run("check", *paths)
    assert "b.yaml: 1 principles, 0 warnings" in result.output
    assert isinstance(result.exception, CaiError)
    assert "a.yaml:3: principle 'kind' has no 'text'" in str(result.exception)
    assert "c.yaml:3: principle 'kind' has no 'text'" in str(result.exception)


def test_check_needs_a_file():
    assert run("check").exit_code == 2


def test_an_unknown_constitution_is_refused_with_the_names_there_are():
    assert "harmless, helpful, honest" in refusal("show", "nonsense")


def test_the_schema_describes_the_fields_of_a_file():
    schema = json.loads(run("schema").output)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["title"]
    assert schema["required"] == ["name"]
    assert set(schema["$defs"]["Principle"]["required"]) == {"id", "text"}
    assert schema["additionalProperties"] is False
    assert {"type": "string"} in schema["properties"]["extends"]["anyOf"]
