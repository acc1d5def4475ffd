"""SIGKILL at random moments: no finished call is asked again, and the records are the same."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cai.engine.run_folder import Record, RunFolder

N_EXAMPLES = 120
SCRIPT = Path(__file__).with_name("slow_run.py")


def start(run: Path, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(SCRIPT), str(run), str(log), str(N_EXAMPLES)])


def logged(log: Path) -> tuple[list[str], set[str]]:
    """The calls that the model was asked, and those whose answers arrived; whole lines only."""
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    asked = [line[1] for line in lines if line[0] == "asked"]
    return asked, {line[1] for line in lines if line[0] == "answered"}


def records(run: Path) -> list[Record]:
    with RunFolder.existing(run) as folder:
        return list(folder.records())


def kill_after(process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    """Kills it some time after its first new call, or at once where `seconds` is 0."""
    size = log.stat().st_size if log.exists() else 0
    while seconds and process.poll() is None and (not log.exists() or log.stat().st_size == size):
        time.sleep(0.005)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_killed_again_and_again_ends_as_one_that_never_was(tmp_path: Path, seed: int):
    with start(tmp_path / "whole", tmp_path / "whole.log") as process:
        pass
    assert process.returncode == 0
    whole = records(tmp_path / "whole")
    assert len(whole) == N_EXAMPLES

    run, log = tmp_path / "killed", tmp_path / "killed.log"
    rng = random.Random(seed)
    n_killed = 0
    for _ in range(5):
        asked_before, answered_before = logged(log)
        process = start(run, log)
        kill_after(process, log, rng.uniform(0.02, 0.2))
        n_killed += process.returncode == -signal.SIGKILL
        asked, _ = logged(log)
        assert answered_before.isdisjoint(asked[len(asked_before) :])
    assert n_killed >= 2
    with start(run, log) as process:
        pass
    assert process.returncode == 0
    assert records(run) == whole


def test_a_kill_while_the_folder_is_made_leaves_it_usable(tmp_path: Path):
    run, log = tmp_path / "run", tmp_path / "log"
    rng = random.Random(os.getpid())
    for _ in range(3):
        process = start(run, log)
        time.sleep(rng.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
    with start(run, log) as process:
        pass
    assert process.returncode == 0
    assert len(records(run)) == N_EXAMPLES
