"""`cai revise` killed again and again: its exports equal, byte for byte, those of a whole run.

And no finished call is asked twice: only what was in flight at a kill is asked again.
"""

import asyncio
import random
import signal
import time
from pathlib import Path

import pytest
from server import Json, LocalServer, Received
from serving import serving, spec, start_cai, told_by_request, write_prompts

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


def kill_after(n: int, server: LocalServer, command: list[object], folder: Path) -> bool:
    """Starts the command and kills it at its n-th call, or during its start where n is 0."""
    n_before = len(server.received)
    with start_cai(*command, folder=folder) as process:
        while process.poll() is None and len(server.received) < n_before + n:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("seed", [1])
def test_a_killed_run_ends_as_one_that_never_was(tmp_path: Path, seed: int):
    prompts = write_prompts(tmp_path / "prompts.jsonl", N_PROMPTS)
    rng = random.Random(seed)
    moments = [0, *(rng.randrange(1, N_CALLS // N_KILLS) for _ in range(N_KILLS - 1))]
    rng.shuffle(moments)
    with serving(slowly) as server:
        command = ["revise", prompts, "-c", "testbed", "-m", spec(server), "--rounds", 2]
        command += ["--concurrency", CONCURRENCY, "-o"]
        with start_cai(*command, "whole", folder=tmp_path) as process:
            process.communicate()
        assert process.returncode == 0
        assert len(server.received) == N_CALLS

        server.received.clear()
        killed = [kill_after(n, server, [*command, "killed"], tmp_path) for n in moments]
        assert all(killed)
        with start_cai(*command, "killed", folder=tmp_path) as process:
            process.communicate()
        assert process.returncode == 0
        assert N_CALLS <= len(server.received) <= N_CALLS + N_KILLS * CONCURRENCY
    assert exports(tmp_path / "killed", tmp_path) == exports(tmp_path / "whole", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    not (embedded_folder() / "model.safetensors").exists(),
    reason="the weights of the embedded model are not here",
)
def test_the_embedded_model_killed_ends_as_one_that_never_was(tmp_path: Path):
    prompts = write_prompts(tmp_path / "prompts.jsonl", 120)
    command: list[object] = ["revise", prompts, "-c", "testbed", "-m", "embedded"]
    command += ["--rounds", 2, "--max-tokens", 48, "-o"]
    began_s = time.monotonic()
    with start_cai(*command, "whole", folder=tmp_path) as process:
        process.communicate()
    assert process.returncode == 0
    whole_s = time.monotonic() - began_s

    rng = random.Random(2)
    n_killed = 0
    for _ in range(N_KILLS):
        with start_cai(*command, "killed", folder=tmp_path) as process:
            time.sleep(rng.uniform(0.1, 0.7) * whole_s)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        n_killed += process.returncode == -signal.SIGKILL
    assert n_killed >= 2
    with start_cai(*command, "killed", folder=tmp_path) as process:
        process.communicate()
    assert process.returncode == 0
    assert exports(tmp_path / "killed", tmp_path) == exports(tmp_path / "whole", tmp_path)
