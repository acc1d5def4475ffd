"""A run of choices that is killed: the same command goes on, and finds what a whole one does."""

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

from judging_servers import both
from openai_server import Json, Received
from reward_server import n_stored, serving, spec, start_cai
from suite_rows import write_lamps

from cai.types import derive_seed

N_QUESTIONS = 40
CONCURRENCY = 4


async def slowly(received: Received) -> Json:
    """A probability of the letter A that is a function of the request."""
    await asyncio.sleep(0.02)
    return both((1 + derive_seed(str(received.body["messages"])) % 98) / 100)


def test_a_killed_run_of_choices_goes_on_and_asks_only_what_was_in_flight(tmp_path: Path):
    lamps = write_lamps(tmp_path / "lamps.jsonl", N_QUESTIONS)
    with serving(slowly) as server:
        command: list[object] = ["suites", lamps, "-p", f"after={spec(server)}"]
        command += ["--concurrency", CONCURRENCY, "--json", "-o"]

        def told(folder: Path) -> dict[str, Any]:
            with start_cai(*command, folder, folder=tmp_path) as process:
                out, err = process.communicate()
            assert process.returncode == 0, err
            return json.loads(out.splitlines()[-1])["suites"]

        whole = told(tmp_path / "whole")
        n_whole = len(server.received)
        assert n_whole == 2 * N_QUESTIONS + 1  # and the question whether there are probabilities
        server.received.clear()
        run = tmp_path / "killed/suites/lamps/after"
        with start_cai(*command, tmp_path / "killed", folder=tmp_path) as process:
            while process.poll() is None and n_stored(run) < N_QUESTIONS // 2:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert told(tmp_path / "killed") == whole
        assert len(server.received) <= n_whole + 1 + 4 * CONCURRENCY
    assert whole[0]["found"]["after"]["accuracy"]["n"] == N_QUESTIONS
