"""`cai status`: finished runs, failures by cause, runs that another process writes, no runs."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from openai_server import Received, refusal
from reward_server import (
    TOO_LONG,
    CallCai,
    assert_refused,
    serving,
    slowly,
    spec,
    start_cai,
    told_by_request,
    write_prompts,
)

from cai.engine.run_files import FolderLock, JsonValue, writer_of
from cai.engine.run_folder import RunFolder
from cai.runs.config import REWARD


def failing(received: Received) -> object:
    """Too long for the model in row 3, refused for its content in rows 4 and 5."""
    text = str(received.body["messages"])
    if "number 3" in text:
        return refusal(400, TOO_LONG)
    if "number 4" in text or "number 5" in text:
        return refusal(403, "no")
    return told_by_request(received)


@contextmanager
def running(folder: Path, n_prompts: int) -> Generator["subprocess.Popen[str]"]:
    """A process that writes the run `run` in the folder, and has told how it gets on."""
    prompts = write_prompts(folder / "prompts.jsonl", n_prompts)
    with serving(slowly(0.05)) as server:
        shared = ("-c", "testbed", "-m", spec(server), "-o", "run", "--concurrency", 4)
        with start_cai("revise", prompts, *shared, folder=folder) as process:
            while len(server.received) < 12:
                assert process.poll() is None
                time.sleep(0.01)
            yield process
            process.kill()
            process.communicate()


@pytest.mark.usefixtures("wide_console")
def test_a_finished_run_is_told_with_its_accounts(revise, call_cai, tmp_path):
    """Six responses, critiques and revisions, each of 7 tokens read and 3 written."""
    assert revise().code == 0
    ended = call_cai("status", tmp_path / "run")
    assert (ended.code, ended.err) == (0, "")
    assert "revise, started" in ended.out
    assert "no process writes it" in ended.out
    assert "6 done of 6\n" in ended.out
    assert "journal: 18 calls" in ended.out
    rows = [line.split() for line in ended.out.splitlines()]
    accounts = {row[0].rstrip(","): row[-4:] for row in rows if len(row) >= 5}
    for role in ("respond", "critique", "revise"):
        assert accounts[role] == ["6", "42", "18", "–"]
    assert ["all", "18", "126", "54", "–"] in rows


def test_a_run_as_json(revise, call_cai, tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "models: {'openai:tiny@*': {million_in_usd: 1000000, million_out_usd: 2000000}}"
    )
    assert revise().code == 0
    ended = call_cai("status", tmp_path / "run", "--json", "--prices", prices)
    status = json.loads(ended.out)
    assert (ended.code, status["done"], status["failed"], status["failures"]) == (0, 6, 0, {})
    assert (status["method"], status["total"], status["calls"]) == ("revise", 6, 18)
    assert (status["prompt_tokens"], status["completion_tokens"]) == (126, 54)
    assert status["cost_usd"] == pytest.approx(126 + 2 * 54)
    assert (status["pid"], status["progress"]) == (None, None)
    assert set(status["roles"]) == {"respond", "critique", "revise"}
    assert status["journal_bytes"] == (tmp_path / "run" / "journal.sqlite").stat().st_size


def test_failures_are_told_by_cause_and_exit_with_1(revise, call_cai, local_server, tmp_path):
    local_server.reply = failing
    assert revise().code == 1
    ended = call_cai("status", tmp_path / "run")
    assert ended.code == 1
    assert "3 done of 6, 3 failed (" in ended.out
    status = json.loads(call_cai("status", tmp_path / "run", "--json").out)
    assert status["failed"] == 3
    assert status["failures"]["context length"] == 1
    assert sum(status["failures"].values()) == 3
    assert len(status["failures"]) == 2


def test_a_run_in_another_process_is_told_while_it_goes_on(call_cai, tmp_path):
    with running(tmp_path, 200) as process:
        time.sleep(1.2)  # a snapshot a second is kept
        status = json.loads(call_cai("status", tmp_path / "run", "--json").out)
        shown = call_cai("status", tmp_path / "run")
        assert status["pid"] == process.pid
        assert status["total"] == 200
        assert 0 < status["calls"] < 600
        progress = status["progress"]
        assert progress["state"] == "running"
        assert progress["endpoints"][0]["limit"] == 4
        assert f"process {process.pid} writes it" in shown.out
        assert "now: " in shown.out
        assert "of 4 calls in flight" in shown.out
    shown = call_cai("status", tmp_path / "run")
    assert "no process writes it" in shown.out  # it was killed, and its last snapshot says running
    assert "now: " not in shown.out


def test_a_run_is_followed_to_its_end(call_cai, tmp_path):
    """Forty chains, four at a time, three calls of 0.05 s each: a second and a half."""
    with running(tmp_path, 40) as process:
        ended = call_cai("status", tmp_path / "run", "--follow", "--json")
        process.wait(10)
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 0
    assert len(lines) >= 2
    assert lines[0]["pid"] == process.pid
    assert (lines[-1]["pid"], lines[-1]["done"], lines[-1]["failed"]) == (None, 40, 0)
    assert [line["done"] for line in lines] == sorted(line["done"] for line in lines)


def test_a_followed_run_is_told_in_lines_where_there_is_no_terminal(call_cai, tmp_path):
    with running(tmp_path, 40) as process:
        ended = call_cai("status", tmp_path / "run", "--follow")
        process.wait(10)
    first, *_ = ended.out.splitlines()
    assert "/40 examples" in first
    assert "calls in flight" in first
    assert "40 done of 40" in ended.out
    assert "no process writes it" in ended.out


def test_following_ends_with_a_process_that_is_killed(call_cai, tmp_path):
    with running(tmp_path, 200) as process:
        with start_cai("status", "run", "--follow", "--json", folder=tmp_path) as follower:
            assert follower.stdout is not None
            first = json.loads(follower.stdout.readline())
            process.send_signal(signal.SIGKILL)
            process.wait()
            out, _ = follower.communicate(timeout=20)
        assert first["pid"] == process.pid
        assert json.loads(out.splitlines()[-1])["pid"] is None


def test_the_number_of_a_dead_writer_that_another_process_has_now_is_not_taken_for_it(
    call_cai, tmp_path
):
    """In a new container the numbers begin anew."""
    with running(tmp_path, 200):
        time.sleep(1.2)
    (tmp_path / "run" / "lock").write_text(str(os.getpid()))
    ended = call_cai("status", tmp_path / "run", "--follow", "--json")
    (status,) = map(json.loads, ended.out.splitlines())
    assert (status["pid"], status["progress"]) == (None, None)


def test_looking_at_a_run_keeps_nobody_from_writing_it(tmp_path):
    (tmp_path / "lock").touch()
    threads = [threading.Thread(target=look_often, args=(tmp_path,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        FolderLock(tmp_path).release()
    for thread in threads:
        thread.join()


def look_often(folder: Path) -> None:
    for _ in range(500):
        writer_of(folder)
        time.sleep(0.001)


def test_a_folder_that_is_no_run_is_said(call_cai, tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        assert_refused(call_cai("status", path), "is not a run (it has no run.yaml)")
    assert list(tmp_path.iterdir()) == []


def test_the_judging_of_a_training_says_what_it_is(call_cai: CallCai, tmp_path: Path):
    recipe: dict[str, JsonValue] = {"method": REWARD, "seed": 0}
    RunFolder.open(tmp_path / "judging", recipe, {}).close()
    ended = call_cai("status", tmp_path / "judging")
    assert ended.code == 0
    first, second, *_ = ended.out.splitlines()
    assert "judging: judge calls for the rewards of a training, started" in first
    assert second.startswith("journal: 0 calls")
    file = tmp_path / "rows.jsonl"
    exported = call_cai("export", tmp_path / "judging", "--format", "sft", "-o", file)
    assert_refused(exported, "holds the answers of judges that a training asked for rewards")


def test_the_parts_of_a_divided_run_are_told_together(call_cai, tmp_path):
    prompts = write_prompts(tmp_path / "prompts.jsonl", 3)
    folders = [tmp_path / "part-1", tmp_path / "part-2"]
    with serving(told_by_request) as server:
        for number, folder in enumerate(folders, 1):
            call_cai(
                "revise", prompts, "-c", "testbed", "-m", spec(server), "-o", folder,
                "--part", f"{number}/3",
            )  # fmt: skip
    told = json.loads(call_cai("status", *folders, "--json").out)
    assert (told["done"], told["failed"]) == (2, 0)
    assert told["calls"] == sum(part["calls"] for part in told["parts"])
    assert "part 3 is missing" in told["missing"]
