"""The pages of `docs/` and the files beside them: what they show can be used as shown."""

import ast
import json
import re
import runpy
import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest

from cai.cli.main import cli
from cai.constitution.lint import check_constitution
from cai.constitution.loader import load_constitution, parse_constitution, shipped_constitutions
from cai.methods.revision_flags import FLAGS
from cai.pipeline.loader import load_recipe
from cai.pipeline.order import ordered
from cai.pipeline.schema import PARTS
from cai.templates import STEPS
from cai.training.trainers import TRAINERS

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("*.md")),
    *ROOT.glob("examples/*.md"),
]


def blocks(language: str) -> list[tuple[str, str]]:
    """Every block of that language, as the page's name and the text."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return [
        (page.name, block) for page in PAGES for block in fence.findall(page.read_text("utf-8"))
    ]


def commands() -> list[tuple[str, str]]:
    """Every `cai` command line that a page shows, its continued lines joined."""
    shown = [
        (page, line)
        for page, block in blocks("console")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [(page, line.removeprefix("$ ")) for page, line in shown if line.startswith("$ cai ")]


def printed_and_shown(name: str, folder: Path) -> tuple[str, str]:
    """The page as its commands would have it, and as it is; `docs/outputs.py` mends it."""
    page = (ROOT / "docs" / name).read_text("utf-8")
    return runpy.run_path(str(ROOT / "docs" / "outputs.py"))["refreshed"](page, folder), page


@pytest.mark.slow
def test_the_tutorial_can_be_followed_and_prints_what_it_shows(tmp_path: Path):
    printed, shown = printed_and_shown("tutorial.md", tmp_path)
    assert printed == shown
    assert (tmp_path / "runs" / "policy" / "model.safetensors").is_file()


@pytest.mark.slow
def test_the_page_on_templates_shows_what_is_asked(tmp_path: Path):
    printed, shown = printed_and_shown("templates.md", tmp_path)
    assert printed == shown


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_line_is_understood(page: str, line: str):
    name, *arguments = [word for word in shlex.split(line)[1:] if word != "…"]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, f"{page}: {line}"
    if isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.get_command(click.Context(command), name)
        assert command is not None, f"{page}: {line}"
    if not ("…" in line and name == "revise"):
        command.make_context(name, arguments)


def test_every_constitution_in_a_page_is_in_order():
    whole = [
        (page, text)
        for page, text in blocks("yaml")
        if re.search("^principles:", text, re.MULTILINE)
    ]
    assert {page for page, _ in whole} >= {"constitutions.md", "tutorial.md"}
    for page, text in whole:
        constitution = parse_constitution(text, page, None)
        # the tutorial has one warning, and mends it
        assert len(check_constitution(constitution)) == (page == "tutorial.md")


def test_the_recipe_of_its_page_can_be_read_and_is_done_in_the_order_that_the_page_says(
    tmp_path: Path,
):
    (text,) = [text for page, text in blocks("yaml") if page == "recipes.md"]
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    order = ordered(load_recipe(str(path)))
    names = [each if isinstance(each, str) else each.name for each in order]
    assert names == ["revise", "sft", "sample", "judge", "reward", "dpo", "grpo"]


def test_the_fields_of_trainings_in_the_page_are_those_of_the_schema():
    table = (ROOT / "docs/recipes.md").read_text("utf-8").partition("| field | of | what |")[2]
    rows = [row.split("|") for row in table.splitlines() if row.startswith("| `")]
    told = {
        (trainer, field)
        for _, names, trainers, *_ in rows
        for field in re.findall(r"`(\w+)`", names)
        for trainer in (re.findall(r"`(\w+)`", trainers) or TRAINERS)
    }
    assert told == {
        (trainer, field.alias or name)
        for trainer, spec in TRAINERS.items()
        for name, field in PARTS[spec.rows].model_fields.items()
    }


def test_every_row_in_a_page_is_json():
    rows = [json.loads(text) for _, text in blocks("json")]
    assert len(rows) >= 5


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_every_piece_of_python_compiles_and_imports_what_is_there(page: str, text: str):
    compile(text, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for statement in ast.walk(ast.parse(text)):
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("cai"):
            module = import_module(statement.module or "")
            assert all(hasattr(module, name.name) for name in statement.names)


def test_every_piece_of_python_uses_members_of_cai_that_exist():
    cai = import_module("cai")
    used = {name for _, text in blocks("python") for name in re.findall(r"\bcai\.([A-Z]\w+)", text)}
    assert used <= set(cai.__all__)


def test_the_tables_name_every_constitution_step_flag_and_field():
    pages = {page.name: page.read_text("utf-8") for page in PAGES}
    for page, names in (
        ("constitutions.md", shipped_constitutions()),
        ("templates.md", STEPS),
        ("revision.md", FLAGS),
    ):
        assert [name for name in names if f"| `{name}` |" not in pages[page]] == []


def test_the_numbers_of_principles_are_those_shipped():
    page = (ROOT / "docs" / "constitutions.md").read_text("utf-8")
    for name in shipped_constitutions():
        assert f"| `{name}` | {len(load_constitution(name).principles)} |" in page


def test_the_changelog_has_the_version_of_the_package():
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    found = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert found and f"## {found[1]}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_table_of_trainers_is_that_of_the_exports():
    """`python docs/trainers_table.py` writes it again."""
    page = runpy.run_path(str(ROOT / "docs" / "trainers_table.py"))["page"]
    assert (ROOT / "docs" / "trainers.md").read_text("utf-8") == page()


def test_the_page_of_settings_is_that_of_the_types():
    """`python docs/settings_tables.py` writes it again."""
    page = runpy.run_path(str(ROOT / "docs" / "settings_tables.py"))["page"]
    assert (ROOT / "docs" / "settings.md").read_text("utf-8") == page()
