"""Commands killed again and again: their exports equal, byte for byte, those of whole runs.

And no finished call is asked twice: only what was in flight at a kill is asked again. A call is in
flight until its answer is committed; then its seat is another's already, so there may be more of
them than seats. `test_durability.py` looks at each kill more closely.
"""

import asyncio
import random
import signal
import time
from pathlib import Path

import pytest
from judging_servers import both
from openai_server import Json, Received
from reward_server import n_stored, serving, spec, start_cai, told_by_request, write_prompts
from small_runs import write_rows

from cai.export.formats import Format
from cai.run import Run
from cai.types import derive_seed

N_PROMPTS = 50
N_CALLS = N_PROMPTS * 5  # a response and two rounds
CONCURRENCY = 8
N_KILLS = 5
Formats = tuple[tuple[Format, str], ...]
REVISED: Formats = (
    ("everything", "jsonl"),
    ("sft", "jsonl"),
    ("preference", "jsonl.gz"),
    ("preference", "parquet"),
)
SAMPLED: Formats = (("everything", "jsonl"), ("sft", "jsonl"))
JUDGED: Formats = (
    ("everything", "jsonl"),
    ("preference", "jsonl"),
    ("kto", "parquet"),
)


async def slowly(received: Received) -> Json:
    """The answer to the request, in an order that differs from that of the requests."""
    await asyncio.sleep(derive_seed(str(received.body)) % 30 / 1000)
    return told_by_request(received)


async def judging_slowly(received: Received) -> Json:
    """A letter or an assessment, each a function of the request."""
    await asyncio.sleep(derive_seed(str(received.body)) % 30 / 1000)
    if "logprobs" not in received.body:
        return told_by_request(received)
    p = (1 + derive_seed(str(received.body["messages"])) % 98) / 100
    return both(p)


def whole(folder: Path) -> Path:
    """Where a run is made that nobody kills; of the same name as the other, which rows tell."""
    (folder / "whole").mkdir(exist_ok=True)
    return folder / "whole" / "run"


def killed(folder: Path) -> Path:
    (folder / "killed").mkdir(exist_ok=True)
    return folder / "killed" / "run"


def exports(run: Path, folder: Path, formats: Formats = REVISED) -> list[bytes]:
    """The bytes of every format's file."""
    files = [folder / f"{format}.{suffix}" for format, suffix in formats]
    for (format, _), file in zip(formats, files, strict=True):
        assert Run(run).export_file(format, file).n_rows > 0
    return [file.read_bytes() for file in files]


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
        finish(command, whole(tmp_path))
        assert len(server.received) == N_CALLS

        server.received.clear()
        kill_again_and_again(command, killed(tmp_path), N_CALLS, seed=1)
        finish(command, killed(tmp_path))
        assert N_CALLS <= len(server.received) <= N_CALLS + N_KILLS * CONCURRENCY * 4
    assert n_stored(killed(tmp_path)) == N_CALLS
    assert exports(killed(tmp_path), tmp_path) == exports(whole(tmp_path), tmp_path)


def test_killed_samples_are_those_of_a_run_that_never_was(tmp_path: Path):
    """Fifty prompts, two temperatures and two responses of each: 200 calls."""
    prompts = write_prompts(tmp_path / "prompts.jsonl", N_PROMPTS)
    with serving(slowly) as server:
        command: list[object] = ["sample", prompts, "-m", spec(server), "-k", 2]
        command += ["--temperature", 0.7, "--temperature", 1.0]
        command += ["--concurrency", CONCURRENCY, "-o"]
        finish(command, whole(tmp_path))
        server.received.clear()
        kill_again_and_again(command, killed(tmp_path), 200, seed=3)
        finish(command, killed(tmp_path))
        # of an example in flight all four calls are
        assert 200 <= len(server.received) <= 200 + N_KILLS * CONCURRENCY * 4
    assert n_stored(killed(tmp_path)) == 200
    assert exports(killed(tmp_path), tmp_path, SAMPLED) == exports(
        whole(tmp_path), tmp_path, SAMPLED
    )


def test_killed_verdicts_are_those_of_a_run_that_never_was(tmp_path: Path):
    """Thirty pairs, two principles drawn of the constitution, both orders, each a rationale and a
    letter: 240 calls."""
    rows = [
        {"id": f"p{i}", "prompt": f"Lamp {i}?", "response_a": f"Wipe {i}.", "response_b": "Do not."}
        for i in range(30)
    ]
    pairs = write_rows(tmp_path / "pairs.jsonl", rows)
    with serving(judging_slowly) as server:
        command: list[object] = ["judge", pairs, "-c", "testbed", "-m", spec(server)]
        command += ["--rationale", "--principles", 2, "--concurrency", CONCURRENCY, "-o"]
        finish(command, whole(tmp_path))
        server.received.clear()
        kill_again_and_again(command, killed(tmp_path), 240, seed=4)
        finish(command, killed(tmp_path))
        # of a pair in flight four calls are; and each start asks once for log-probabilities
        most = 240 + N_KILLS * CONCURRENCY * 4 + N_KILLS + 1
        assert 240 < len(server.received) <= most
    assert n_stored(killed(tmp_path)) == 240
    assert exports(killed(tmp_path), tmp_path, JUDGED) == exports(whole(tmp_path), tmp_path, JUDGED)


@pytest.mark.slow
def test_the_embedded_model_killed_ends_as_one_that_never_was(tmp_path: Path):
    prompts = write_prompts(tmp_path / "prompts.jsonl", N_PROMPTS)
    command: list[object] = ["revise", prompts, "-c", "testbed", "-m", "embedded"]
    command += ["--rounds", 2, "--max-tokens", 48, "--concurrency", CONCURRENCY, "-o"]
    finish(command, whole(tmp_path))
    kill_again_and_again(command, killed(tmp_path), N_CALLS, seed=2)
    finish(command, killed(tmp_path))
    assert n_stored(killed(tmp_path)) == N_CALLS
    assert exports(killed(tmp_path), tmp_path) == exports(whole(tmp_path), tmp_path)
