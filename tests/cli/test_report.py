"""`cai report`: where the file goes, and a sentence for whatever is wrong."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from made_findings import evaluation, series, training
from made_runs import chain, made_run, revised
from reward_server import CallCai, Ended, assert_refused

import cai
from cai.engine.run_folder import RunFolder
from cai.runs.config import REWARD


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made_run(tmp_path / "run", [chain("1", "bad", revised("good"))]).close()
    return tmp_path / "run"


def test_the_report_stands_in_the_folder_unless_it_is_named(
    call_cai: CallCai, run: Path, tmp_path: Path
):
    ended = call_cai("report", run)
    assert ended.code == 0
    assert ended.out.startswith(f"{run / 'report.html'}  0.")
    assert call_cai("report", run, "-o", tmp_path / "mine.html").code == 0
    first, second = (run / "report.html").read_text(), (tmp_path / "mine.html").read_text()
    assert first == second
    assert first.startswith("<!doctype html>")


def test_from_python_the_file_is_returned(run: Path):
    assert cai.write_report(run) == run / "report.html"
    assert cai.write_report([run], run / "b.html") == run / "b.html"


def test_prices_of_ones_own_are_used(call_cai: CallCai, run: Path, tmp_path: Path):
    assert call_cai("report", run, "--prices", tmp_path / "none.yaml").code == 2


def refused(ended: Ended, *parts: str) -> None:
    assert_refused(ended, *parts)
    assert ended.err.startswith("error: ")


def test_folders_without_anything_to_report_are_refused(call_cai: CallCai, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    refused(call_cai("report", tmp_path / "empty"), "holds no run, training, evaluation or rounds")
    refused(call_cai("report", tmp_path / "none"), "is not there")
    (tmp_path / "file").write_text("x")
    refused(call_cai("report", tmp_path / "file"), "is a file", "Name the folder")


def test_several_folders_want_a_name_for_the_file(call_cai: CallCai, run: Path):
    refused(call_cai("report", run, run), "give it with --out")


@pytest.mark.parametrize(
    ("make", "name"), [(evaluation, "evaluation.json"), (series, "rounds.json")]
)
def test_half_written_findings_are_refused_by_name(
    call_cai: CallCai, tmp_path: Path, make: Callable[[Path], Path], name: str
):
    path = make(tmp_path / "x") / name
    path.write_text(path.read_text()[:200])
    refused(call_cai("report", tmp_path), name, "was not written by this version of cai")
    path.write_text("{}")
    refused(call_cai("report", tmp_path), name)


def test_damaged_descriptions_are_refused_by_name(call_cai: CallCai, run: Path, tmp_path: Path):
    (run / "run.yaml").write_text("recipe: [")
    refused(call_cai("report", run), "run.yaml", "cannot be read")
    folder = training(tmp_path / "sl")
    (folder / "training.yaml").write_text("[")
    refused(call_cai("report", folder), "training.yaml", "cannot be read")


def test_a_damaged_line_of_what_was_watched_is_refused_by_its_number(
    call_cai: CallCai, tmp_path: Path
):
    folder = training(tmp_path / "rl", "grpo", watched=[{"step": 1, "length": 2.0}])
    (folder / "watch.jsonl").write_text('{"step": 1}\n[2]\n{"step": 3}\n')
    refused(call_cai("report", folder), "watch.jsonl:2: is not a line of figures")


def test_the_answers_of_a_trainings_judges_alone_are_refused(call_cai: CallCai, tmp_path: Path):
    with RunFolder.open(tmp_path / "judging", {"method": REWARD}, {}):
        pass
    refused(call_cai("report", tmp_path / "judging"), "holds no run")


def test_a_file_that_cannot_be_written_is_refused(
    call_cai: CallCai,
    ordinary_user: Callable[[], AbstractContextManager[None]],
    open_folder: Path,
    tmp_path: Path,
    run: Path,
):
    refused(call_cai("report", run, "-o", tmp_path), "is a folder")
    refused(call_cai("report", run, "-o", tmp_path / "no" / "x.html"), "there is no folder")
    made_run(open_folder / "run", [chain("1", "bad", revised("good"))]).close()
    closed = open_folder / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    for path in (open_folder / "run").iterdir():
        path.chmod(0o666)
    (open_folder / "run").chmod(0o777)
    with ordinary_user():
        ended = call_cai("report", open_folder / "run", "-o", closed / "x.html")
    refused(ended, "cannot be written (Permission denied)", "--out")
    assert list(closed.iterdir()) == []
