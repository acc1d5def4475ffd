"""`cai cache`: what a run keeps is shown, taken out by conditions, saved from a damaged file."""

import fcntl
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from reward_server import CallCai, Ended, assert_refused, spec, write_prompts

from cai.run import Run

PAGE_BYTES = 4096
N_PROMPTS = 40


@pytest.fixture
def n_prompts() -> int:
    return N_PROMPTS


@pytest.fixture
def cache(revise: Callable[..., Ended], call_cai: CallCai, tmp_path: Path) -> Callable[..., Ended]:
    """`cai cache` on a run of forty chains of three calls, of which an update uses one."""
    assert revise().code == 0
    assert revise("--update", "--revision-temperature", 0.4).code == 0

    def call(command: str, *more: object, expected: int = 0) -> Ended:
        ended = call_cai("cache", command, tmp_path / "run", *more)
        assert ended.code == expected, ended.err
        assert "Traceback" not in ended.err
        return ended

    return call


def n_kept(cache: Callable[..., Ended]) -> dict[str, tuple[int, int]]:
    """By role, how many answers there are and how many of them are unused."""
    shown = json.loads(cache("show", "--json").out)
    return {each["role"]: (each["n_calls"], each["n_unused"]) for each in shown["stocks"]}


@pytest.mark.usefixtures("wide_console")
def test_what_is_kept_is_shown_by_role_with_what_nobody_uses(cache, tmp_path):
    assert n_kept(cache) == {"respond": (40, 0), "critique": (80, 40), "revise": (80, 40)}
    lines = cache("show").out.splitlines()
    rows = {line.split()[0]: line.split() for line in lines if "openai:tiny" in line}
    assert rows["respond,"][2:4] == ["40", "0"]
    assert rows["revise,"][2:4] == ["80", "40"]
    assert lines[-1] == f"Next: cai cache prune {tmp_path / 'run'} --unused"


def test_an_empty_journal_is_said(call_cai, local_server, tmp_path):
    prompts, run = write_prompts(tmp_path / "prompts.jsonl", 1), tmp_path / "run"
    more = ("--max-total-tokens", 1)
    ended = call_cai("revise", prompts, "-c", "testbed", "-m", spec(local_server), *more, "-o", run)
    assert ended.code == 2
    ended = call_cai("cache", "show", run)
    assert (ended.code, ended.out) == (0, f"{run}: the journal holds no response\n")


@pytest.mark.parametrize(
    ("conditions", "n"),
    [
        (["--unused"], 80),
        (["--role", "revise"], 80),
        (["--role", "critique", "--unused"], 40),
        (["--older-than", "0"], 200),
        (["--role", "judge"], 0),
        (["--older-than", "1"], 0),
        (["--model", "tiny"], 0),
    ],
)
def test_answers_are_taken_out_by_each_condition(cache, tmp_path, conditions: list[str], n: int):
    ended = cache("prune", *conditions, "--yes")
    said = f"{n} responses removed" if n else "no such response"
    assert ended.out == f"{tmp_path / 'run'}: {said}\n"
    assert sum(n for n, _ in n_kept(cache).values()) == 200 - n


def test_answers_of_a_model_are_taken_out_by_its_whole_name(cache):
    shown = json.loads(cache("show", "--json").out)
    (name,) = {each["model"] for each in shown["stocks"]}
    assert "200 responses removed" in cache("prune", "--model", name, "--yes").out


def test_what_is_unused_can_go_without_any_being_asked_again(cache, revise, local_server):
    n_before = len(local_server.received)
    cache("prune", "--unused", "--yes")
    assert revise("--revision-temperature", 0.4).code == 0
    assert len(local_server.received) == n_before


def test_pruning_needs_a_condition(cache):
    ended = cache("prune", "--yes", expected=2)
    assert "Say which: --unused, --model, --role or --older-than." in ended.err
    assert n_kept(cache)["respond"] == (40, 0)


def test_without_yes_it_asks_first(cache, monkeypatch):
    for said, code, n_unused in (("", 130, 40), ("n\n", 0, 40), ("y\n", 0, 0)):
        monkeypatch.setattr("sys.stdin", io.StringIO(said))
        ended = cache("prune", "--unused", expected=code)
        assert "remove 80 responses" in ended.out
        assert n_kept(cache)["revise"] == (40 + n_unused, n_unused)


def test_a_run_that_is_being_written_is_neither_pruned_nor_repaired(cache, tmp_path):
    descriptor = os.open(tmp_path / "run" / "lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for command in (("prune", "--unused", "--yes"), ("repair",)):
            assert "another process writes this run" in cache(*command, expected=2).err
    finally:
        os.close(descriptor)
    assert n_kept(cache)["revise"] == (80, 40)


def test_a_folder_that_is_no_run_is_said(call_cai, tmp_path):
    for command in ("show", "prune", "repair"):
        more = ("--unused",) if command == "prune" else ()
        assert_refused(call_cai("cache", command, tmp_path, *more))
    assert list(tmp_path.iterdir()) == []


def damage(path: Path) -> None:
    """Overwrites six pages beyond the first ones, which hold the list of tables."""
    with path.open("r+b") as file:
        file.seek(10 * PAGE_BYTES)
        file.write(b"\xa5" * 6 * PAGE_BYTES)


def test_a_damaged_run_says_so_is_repaired_and_finished_by_the_same_command(
    revise, call_cai, local_server, tmp_path
):
    assert revise().code == 0
    chains = list(Run(tmp_path / "run").chains())
    damage(tmp_path / "run" / "journal.sqlite")
    n_before = len(local_server.received)
    assert_refused(revise(), "It is damaged. Recover what can be read with `cai cache repair RUN`")

    ended = call_cai("cache", "repair", tmp_path / "run", "--json")
    assert ended.code == 0
    saved = json.loads(ended.out)
    assert saved["damaged"] == str(tmp_path / "run" / "journal.sqlite.damaged")
    assert Path(saved["damaged"]).stat().st_size > 16 * PAGE_BYTES
    assert 0 < saved["n_calls"] < 120

    assert revise().code == 0
    assert 0 < len(local_server.received) - n_before <= 120 - saved["n_calls"]
    assert list(Run(tmp_path / "run").chains()) == chains
    assert revise().code == 0


def test_a_repair_says_what_it_kept_and_what_to_do_next(cache, tmp_path):
    out = cache("repair").out
    assert "200 responses and 40 records saved; the damaged file is" in out
    assert str(tmp_path / "run" / "journal.sqlite.damaged") in out
    assert out.endswith("The command that made the run goes on with them.\n")
