"""`cai revise` killed again and again: its exports equal, byte for byte, those of a whole run.

And no finished call is asked twice: only what was in flight at a kill is asked again.
"""

import asyncio
import random
import signal
import time
from pathlib import Path

import pytest
from server import Json, Received
from serving import serving, spec, start_cai, told_by_request, write_prompts

from cai.engine.run_folder import RunFolder
from cai.errors import JournalError
from cai.export import Format
from cai.models.opening import embedded_folder
from cai.run import Run
from cai.types import derive_seed

N_PROMPTS = 50
N_CALLS = N_PROMPTS * 5  # a response and two rounds
CONCURRENCY = 8
N_KILLS = 5
FORMATS: tuple[tuple[Format, str], ...] = (
    ("everything", "jsonl"),
    ("sft", "jsonl"),
    ("preference", "jsonl.gz"),
    ("preference", "parquet"),
)


async def slowly(received: Received) -> Json:
    """The answer to the request, in an order that differs from that of the requests."""
    await asyncio.sleep(derive_seed(str(received.body)) % 30 / 1000)
    return told_by_request(received)


def exports(run: Path, folder: Path) -> list[bytes]:
    """The bytes of every format's file."""
    files = [folder / f"{format}.{suffix}" for format, suffix in FORMATS]
    for (format, _), file in zip(FORMATS, files, strict=True):
        assert Run(run).export_file(format, file).n_rows > 0
    return [file.read_bytes() for file in files]


def n_stored(run: Path) -> int:
    """How many calls the run's journal holds; 0 before there is a run."""
    try:
        with RunFolder.existing(run) as folder:
            return folder.journal.n_stored
    except JournalError:
        return 0


def kill_again_and_again(command: list[object], run: Path, n_calls: int, seed: int) -> None:
    """Kills the command at five random moments: once while it starts, else after some calls."""
    rng = random.Random(seed)
    moments = [0, *(rng.randrange(1, n_calls // (N_KILLS + 1)) for _ in range(N_KILLS - 1))]
    rng.shuffle(moments)
    for n in moments:
        n_before = n_stored(run)
        with start_cai(*command, run.name, folder=run.parent) as process:
            while process.poll() is None and n_stored(run) < n_before + n:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL


def finish(command: list[object], run: Path) -> None:
    with start_cai(*command, run.name, folder=run.parent) as process:
        _, err = process.communicate()
    assert process.returncode == 0, err


def test_a_killed_run_ends_as_one_that_never_was(tmp_path: Path):
    prompts = write_prompts(tmp_path / "prompts.jsonl", N_PROMPTS)
    with serving(slowly) as server:
        command: list[object] = ["revise", prompts, "-c", "testbed", "-m", spec(server)]
        command += ["--rounds", 2, "--concurrency", CONCURRENCY, "-o"]
        finish(command, tmp_path / "whole")
        assert len(server.received) == N_CALLS

        server.received.clear()
        kill_again_and_again(command, tmp_path / "killed", N_CALLS, seed=1)
        finish(command, tmp_path / "killed")
        assert N_CALLS <= len(server.received) <= N_CALLS + N_KILLS * CONCURRENCY
    assert n_stored(tmp_path / "killed") == N_CALLS
    assert exports(tmp_path / "killed", tmp_path) == exports(tmp_path / "whole", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    not (embedded_folder() / "model.safetensors").exists(),
    reason="the weights of the embedded model are not here",
)
def test_the_embedded_model_killed_ends_as_one_that_never_was(tmp_path: Path):
    prompts = write_prompts(tmp_path / "prompts.jsonl", N_PROMPTS)
    command: list[object] = ["revise", prompts, "-c", "testbed", "-m", "embedded"]
    command += ["--rounds", 2, "--max-tokens", 48, "--concurrency", CONCURRENCY, "-o"]
    finish(command, tmp_path / "whole")
    kill_again_and_again(command, tmp_path / "killed", N_CALLS, seed=2)
    finish(command, tmp_path / "killed")
    assert n_stored(tmp_path / "killed") == N_CALLS
    assert exports(tmp_path / "killed", tmp_path) == exports(tmp_path / "whole", tmp_path)
