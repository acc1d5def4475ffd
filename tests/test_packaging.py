"""The wheel: what it carries, and that it works from any folder without the checkout."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from cai.constitution.loader import constitutions_folder, shipped_constitutions
from cai.models.registry import embedded_folder
from cai.templates import prompts_folder, shipped_sets

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(out),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def cai(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed from the wheel into an environment of its own.

    It sees the packages of this one, though not an installation of cai that may be among them.
    """
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            str(wheel),
        ],
        check=True,
    )
    (packages,) = folder.glob("lib/*/site-packages")
    (packages / "others.pth").write_text(f"{pytest_packages()}\n")
    return folder / "bin" / "cai"


def pytest_packages() -> Path:
    """The site-packages of this environment; a path file there is not followed from another."""
    return Path(pytest.__file__).parents[1]


def call(command: Path, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(command), *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def files_of(folder: Path, place: str) -> set[str]:
    return {
        f"{place}/{path.relative_to(folder)}"
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_carries_all_that_is_shipped(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert files_of(constitutions_folder(), "cai/_shipped/constitutions") <= names
    assert files_of(prompts_folder(), "cai/_shipped/prompts") <= names
    assert "cai/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    source = {name for name in files_of(ROOT / "src" / "cai", "cai") if name.endswith(".py")}
    assert source == {name for name in names if name.endswith(".py")}
    assert not [name for name in names if name.startswith(("tests", "docs", "examples"))]


def test_the_wheel_carries_the_embedded_model(wheel: Path, cai: Path, tmp_path: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert files_of(embedded_folder(), "cai/models/embedded") <= names
    ended = call(
        cai, "try", "How do I mend the lamp?", *["-c", "testbed", "-m", "embedded"], folder=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("response: ")


def test_it_works_from_any_folder(cai: Path, tmp_path: Path):
    for arguments, names in (
        (("constitution", "list"), shipped_constitutions()),
        (("prompts", "list"), shipped_sets()),
    ):
        ended = call(cai, *arguments, folder=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert all(f"{name}  " in ended.stdout for name in names)
    assert list(tmp_path.iterdir()) == []


def test_what_runs_is_what_was_installed(cai: Path, tmp_path: Path):
    python = cai.with_name("python")
    where = call(python, "-c", "import cai; print(cai.__file__)", folder=tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(cai.parents[1])
    said = call(cai, "--version", folder=tmp_path)
    assert said.stdout.startswith("cai, version 0.")


def test_it_tells_type_checkers_that_it_is_typed(cai: Path):
    assert list(cai.parents[1].glob("lib/*/site-packages/cai/py.typed"))
