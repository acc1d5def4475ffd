"""500 dialogues of red teams by four rounds, on servers that fail: every row is complete.

Servers at which one or three requests in ten fail, one that is away for a while, one that answers
garbage, and two of which one dies.
"""

import json
import subprocess
import time
from pathlib import Path

import pytest
from reward_server import Ended, start_cai
from shared_data import HARMLESS, needs_dialogues
from simulated_server import SimulatedServer, simulated, wait_until

from cai.run import Run

pytestmark = [pytest.mark.slow, needs_dialogues]

N_DIALOGUES = 500
ROUNDS = 4
N_CALLS = N_DIALOGUES * (1 + 2 * ROUNDS)
FAULTLESS = {"slots": 32, "mean_ms": 20}


def start(folder: Path, spec: str) -> "subprocess.Popen[str]":
    command = ["revise", HARMLESS, "-c", "harmless", "-m", spec, "--rounds", ROUNDS, "--json"]
    return start_cai(*command, "-o", "run", folder=folder)


def ended(process: "subprocess.Popen[str]") -> Ended:
    out, err = process.communicate()
    return Ended(process.returncode, out, err)


def wait_for_answers(server: SimulatedServer, n: int) -> None:
    wait_until(lambda: server.stats["answered"] >= n)


def assert_complete(run: Ended, folder: Path) -> None:
    assert run.code == 0, run.err
    outcome = json.loads(run.out.splitlines()[-1])
    assert (outcome["done"], outcome["failed"]) == (N_DIALOGUES, 0)
    chains = list(Run(folder / "run").chains())
    assert len(chains) == N_DIALOGUES
    for chain in chains:
        texts = [chain.response.text]
        for each in chain.rounds:
            assert each.critique is not None and each.revision is not None
            texts += [each.critique.text, each.revision.text]
        assert len(texts) == 1 + 2 * ROUNDS
        assert all(text.strip() for text in texts)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_every_row_is_complete_where_requests_fail(tmp_path: Path, share: float):
    with simulated(tmp_path / "server", **FAULTLESS, faults=share) as server:
        assert_complete(ended(start(tmp_path, server.spec)), tmp_path)
        stats = server.stats
    n_faults = sum(stats["faults"].values())
    assert n_faults > share * N_CALLS / 2
    assert len(stats["faults"]) == 5
    assert stats["duplicates"] == 0


def test_a_server_that_is_away_for_a_minute_is_waited_for(tmp_path: Path):
    with simulated(tmp_path / "server", slots=16, mean_ms=40) as server:
        process = start(tmp_path, server.spec)
        wait_for_answers(server, N_CALLS // 4)
        server.send("POST", "/down?seconds=60")
        began_s = time.monotonic()
        assert_complete(ended(process), tmp_path)
        assert time.monotonic() - began_s > 60
        assert server.stats["duplicates"] == 0


def test_a_server_that_answers_garbage_stops_the_run_which_goes_on_afterwards(tmp_path: Path):
    with simulated(tmp_path / "server", **FAULTLESS) as server:
        process = start(tmp_path, server.spec)
        wait_for_answers(server, N_CALLS // 4)
        server.send("POST", "/garbage?seconds=3600")
        stopped = ended(process)
        assert stopped.code == 2
        assert "25 examples in a row failed" in stopped.err
        assert "give the same command again" in stopped.err
        assert server.stats["garbage"] > 0
        server.send("POST", "/garbage?seconds=0")
        assert_complete(ended(start(tmp_path, server.spec)), tmp_path)
        assert server.stats["duplicates"] == 0


def test_of_two_servers_one_may_die(tmp_path: Path):
    with (
        simulated(tmp_path / "first", **FAULTLESS) as first,
        simulated(tmp_path / "second", **FAULTLESS) as second,
    ):
        process = start(tmp_path, f"openai:sim@{first.url},{second.url}")
        wait_for_answers(second, N_CALLS // 8)
        second.end()
        assert_complete(ended(process), tmp_path)
        n_first, n_second = len(first.answered), len(second.answered)
        assert N_CALLS <= n_first + n_second <= N_CALLS + FAULTLESS["slots"] * 2
        assert n_first > n_second > 0
        assert len(set(first.answered) & set(second.answered)) <= FAULTLESS["slots"]
