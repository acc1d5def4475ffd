"""SIGKILL at random moments and at every commit: nothing is lost, and nothing used is paid twice.

A call is in flight from its request until its answer is committed; an answer is handed on only
then. So two laws hold at every kill, and both are read off the log of the server: what has become
part of a later request is never asked again, and what is asked again was in flight at a kill.
"""

import json
import random
import signal
import time
from itertools import count, pairwise
from pathlib import Path

import pytest
from reward_server import n_stored, start_cai, write_prompts
from simulated_server import SimulatedServer, simulated, wait_until

from cai.engine.writer import FAULT_VARIABLE
from cai.export.formats import Format
from cai.run import Run

pytestmark = pytest.mark.slow

N_KILLS = 50
N_PROMPTS = 300
N_CALLS = N_PROMPTS * 5  # a response and two rounds
CONCURRENCY = 8
MOST_UNDER_WAY = 4 * CONCURRENCY  # examples, each with one call at a time
FORMATS: tuple[Format, ...] = ("everything", "sft", "preference")


def commanded(prompts: Path, server: SimulatedServer, *more: object) -> list[object]:
    return ["revise", prompts, "-c", "testbed", "-m", server.spec, *more, "-o", "run"]


def finish(command: list[object], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with start_cai(*command, folder=folder) as process:
        _, err = process.communicate()
    assert process.returncode == 0, err


def exports(folder: Path) -> list[bytes]:
    """The bytes of every format's file."""
    files = [folder / f"{format}.jsonl" for format in FORMATS]
    for format, file in zip(FORMATS, files, strict=True):
        Run(folder / "run").export_file(format, file)
    return [file.read_bytes() for file in files]


def calls_of_chains(everything: bytes) -> list[list[str]]:
    """The digests of each chain's requests, in their order: each is in all that follow."""
    found: list[list[str]] = []
    for line in everything.splitlines():
        chain = json.loads(line)["chain"]
        texts = [chain["response"]["text"]]
        for each in chain["rounds"]:
            texts += [each["critique"]["text"], each["revision"]["text"]]
        found.append([text.split()[0].rstrip(".") for text in texts])
    return found


def assert_nothing_used_is_asked_again(asked: list[str], everything: bytes) -> None:
    first = {digest: len(asked) - 1 - i for i, digest in enumerate(reversed(asked))}
    last = {digest: i for i, digest in enumerate(asked)}
    chains = calls_of_chains(everything)
    assert set(first) == {digest for chain in chains for digest in chain}
    for chain in chains:
        for earlier, later in pairwise(chain):
            assert last[earlier] < first[later]


def test_killed_at_fifty_random_moments_it_ends_as_a_run_that_never_was(tmp_path: Path):
    """Each start is killed after some more answers are stored, or while it starts.

    What is asked by then and not stored was in flight: at most one call of each example under way.
    """
    prompts = write_prompts(tmp_path / "prompts.jsonl", N_PROMPTS)
    rng = random.Random(5)
    with simulated(tmp_path / "server", slots=CONCURRENCY, mean_ms=20) as server:
        command = commanded(prompts, server, "--rounds", 2, "--concurrency", CONCURRENCY)
        finish(command, tmp_path / "whole")
        n_whole = len(server.asked)
        assert n_whole == N_CALLS

        killed = tmp_path / "killed"
        killed.mkdir()
        lost: list[int] = []
        for number in range(N_KILLS):
            n_before = n_stored(killed / "run")
            n_more = 0 if number % 10 == 0 else rng.randrange(1, N_CALLS // N_KILLS)
            with start_cai(*command, folder=killed) as process:
                while process.poll() is None and n_stored(killed / "run") < n_before + n_more:
                    time.sleep(0.005)
                time.sleep(rng.uniform(0, 0.02 if n_more else 1.0))
                process.send_signal(signal.SIGKILL)
                process.communicate()
            assert process.returncode == -signal.SIGKILL
            wait_until(lambda: server.stats["in_flight"] == 0)
            asked = server.asked[n_whole:]
            lost.append(len(set(asked)) - n_stored(killed / "run"))
            assert lost[-1] <= MOST_UNDER_WAY
        finish(command, killed)

        asked, answered = server.asked[n_whole:], server.answered[n_whole:]
        stats = server.stats
    assert exports(killed) == exports(tmp_path / "whole")
    assert n_stored(killed / "run") == N_CALLS
    assert_nothing_used_is_asked_again(asked, (killed / "everything.jsonl").read_bytes())
    n_again, n_paid_again = len(asked) - N_CALLS, len(answered) - N_CALLS
    assert 0 < n_again <= sum(lost)
    assert n_paid_again <= n_again
    assert stats["duplicates"] == N_CALLS + n_paid_again  # the whole run answered them all before


@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_at_any_commit_it_ends_as_a_run_that_never_was(
    tmp_path: Path, side: str, monkeypatch: pytest.MonkeyPatch
):
    """Two prompts and one round, one call at a time: a commit for every call and every record.

    What is lost is what was in flight: the call whose answer was to be committed, and the next
    one, which took the seat that fell free when that answer came.
    """
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    with simulated(tmp_path / "server", slots=1, mean_ms=0.1) as server:
        command = commanded(prompts, server, "--concurrency", 1)
        finish(command, tmp_path / "whole")
        whole = exports(tmp_path / "whole")
        for number in count():
            folder = tmp_path / f"killed-{number}"
            folder.mkdir()
            n_before = len(server.asked)
            monkeypatch.setenv(FAULT_VARIABLE, f"{side}:{number}")
            with start_cai(*command, folder=folder) as process:
                _, err = process.communicate()
            monkeypatch.delenv(FAULT_VARIABLE)
            if process.returncode == 0:
                break
            assert process.returncode == -signal.SIGKILL, err
            n_in_flight = len(server.asked) - n_before - n_stored(folder / "run")
            assert n_in_flight <= 2
            finish(command, folder)
            asked = server.asked[n_before:]
            assert exports(folder) == whole
            assert_nothing_used_is_asked_again(asked, (folder / "everything.jsonl").read_bytes())
            assert len(asked) - 6 <= n_in_flight
        assert number >= 5  # of six answers and two records, some of which share a commit
