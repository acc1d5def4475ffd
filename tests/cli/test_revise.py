"""`cai revise` on a local server: counts, going on, failures as records, refusals, exit codes."""

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from openai_server import LocalServer, refusal
from reward_server import (
    CallCai,
    assert_refused,
    refusing,
    serving,
    slowly,
    spec,
    start_cai,
    told_by_request,
    write_prompts,
)

from cai.engine.run_folder import RunFolder
from cai.run import Run


def test_every_prompt_becomes_a_chain(revise, local_server, tmp_path):
    ended = revise("--rounds", 2)
    assert ended.code == 0
    assert "6 prompts from column 'prompt' (texts)" in ended.out
    assert "6 done, 0 failed; 30 calls made, 0 from the journal" in ended.out
    assert f"Next: cai export {tmp_path / 'run'} --format sft" in ended.out
    assert "6 done in" in ended.err
    chains = list(Run(tmp_path / "run").chains())
    assert [chain.prompt.id for chain in chains] == [f"request-{i}" for i in range(6)]
    assert all(len(chain.rounds) == 2 for chain in chains)
    assert len(local_server.received) == 30


def test_a_second_time_nothing_is_asked(revise, local_server):
    assert revise().code == 0
    n_before = len(local_server.received)
    ended = revise()
    assert ended.code == 0
    assert "6 done, 0 failed; 0 calls made" in ended.out
    assert len(local_server.received) == n_before


def test_a_limit_takes_the_first_prompts_and_a_later_run_the_others(revise, local_server):
    assert json.loads(revise("--limit", 2, "--json").out)["done"] == 2
    assert len(local_server.received) == 2 * 3
    outcome = json.loads(revise("--json").out)
    assert (outcome["done"], outcome["calls"], outcome["calls_from_journal"]) == (6, 4 * 3, 0)


def test_a_short_run_tells_its_end_as_one_line_of_json(revise, tmp_path):
    outcome = json.loads(revise("--json").out)
    assert outcome.pop("seconds") >= 0
    assert outcome == {
        "event": "end",
        "run": str(tmp_path / "run"),
        "done": 6,
        "failed": 0,
        "failures": {},
        "reasons": {},
        "flagged": 0,
        "cut_off": 0,
        "calls": 18,
        "calls_from_journal": 0,
        "cost_usd": None,
        "bad_rows": 0,
    }


def test_the_options_reach_the_model(revise, local_server):
    revise("--limit", 1, "--temperature", 0.5, "--max-tokens", 7, "--top-p", 0.9, "--top-k", 3)
    respond, critique, revision = local_server.bodies
    assert (respond["temperature"], critique["temperature"]) == (0.5, 0.3)
    for body in (respond, critique, revision):
        assert (body["max_tokens"], body["top_p"], body["top_k"]) == (7, 0.9, 3)
    assert len({body["seed"] for body in local_server.bodies}) == 3


@pytest.mark.parametrize("role", ["nurse", "nurse=", "=user", "nurse=tool"])
def test_a_name_of_a_role_that_stands_for_none_is_refused(revise, role):
    assert "NAME=user" in revise("--role", role).err


def test_direct_revision_asks_for_no_critique(revise, local_server, tmp_path):
    assert revise("--direct").code == 0
    assert len(local_server.received) == 12
    assert all(chain.rounds[0].critique is None for chain in Run(tmp_path / "run").chains())


def test_a_too_long_example_is_a_record_and_done_again_only_when_asked(
    revise, local_server, tmp_path
):
    local_server.reply = refusing("number 3")
    ended = revise()
    assert ended.code == 1
    assert "5 done, 1 failed" in ended.out
    assert "See the failures: cai export" in ended.out
    with RunFolder.existing(tmp_path / "run") as run:
        (failed,) = run.records("failed")
    assert failed.error is not None
    assert (failed.position, failed.error.kind) == (3, "ContextLengthError")
    assert "maximum context length is 2048" in failed.error.message

    local_server.reply = told_by_request
    n_before = len(local_server.received)
    assert revise().code == 1
    assert len(local_server.received) == n_before
    assert revise("--retry-failed").code == 0
    assert len(local_server.received) == n_before + 3


def test_a_failure_that_may_pass_is_done_again_by_the_same_command(revise, local_server):
    """A server that asks for hours of patience is not waited for."""
    local_server.reply = refusing("number 3", refusal(503, "busy", **{"Retry-After": "9999"}))
    assert revise().code == 1
    local_server.reply = told_by_request
    ended = revise()
    assert ended.code == 0
    assert "6 done, 0 failed; 3 calls made" in ended.out


def test_bad_rows_stop_before_any_call(revise, call_cai, local_server, tmp_path):
    write_prompts(tmp_path / "prompts.jsonl", 3)
    with (tmp_path / "prompts.jsonl").open("a") as file:
        file.write('{"id": "broken", "prompt": null}\n')
    assert_refused(revise(), "prompts.jsonl:4: 'prompt' is null", "--skip-bad-rows")
    assert local_server.received == []
    assert not (tmp_path / "run").exists()


def test_bad_rows_can_be_skipped_and_are_counted(revise, tmp_path):
    with (tmp_path / "prompts.jsonl").open("a") as file:
        file.write('{"id": "broken", "prompt": null}\n')
    ended = revise("--skip-bad-rows")
    assert ended.code == 0
    assert "1 row skipped" in ended.out
    assert "prompts.jsonl:7: 'prompt' is null" in ended.out
    assert json.loads(revise("--skip-bad-rows", "--json").out)["bad_rows"] == 1


def test_a_run_of_another_recipe_is_refused_with_what_differs(revise, local_server):
    assert revise().code == 0
    n_before = len(local_server.received)
    ended = revise("--rounds", 3, "--seed", 5, "--temperature", 0.7)
    assert_refused(
        ended,
        "is a run with other settings",
        "settings.rounds: 1 → 3",
        "seed: 0 → 5",
        "roles.respond.temperature: 1.0 → 0.7",
        "Use another folder",
    )
    assert len(local_server.received) == n_before


def test_a_changed_source_is_another_recipe(revise, tmp_path):
    assert revise().code == 0
    write_prompts(tmp_path / "prompts.jsonl", 7)
    assert_refused(revise(), "source.hash")


def test_concurrency_is_no_part_of_the_recipe(revise):
    assert revise("--limit", 2, "--concurrency", 1).code == 0
    assert revise("--concurrency", 7).code == 0


def test_an_unreachable_server_is_said_at_once(call_cai, tmp_path):
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    with serving() as server:
        gone = spec(server)
    ended = call_cai("revise", prompts, "-c", "testbed", "-m", gone, "-o", tmp_path / "run")
    assert_refused(ended, "error: Cannot reach http://127.0.0.1", "is the server running?")
    assert not (tmp_path / "run").exists()


def test_a_wrong_key_is_said_at_once(revise, local_server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-f00dcafe")
    local_server.models = refusal(401, "Incorrect API key provided: sk-wrong-f00dcafe")
    ended = revise()
    assert_refused(ended, "OPENAI_API_KEY was refused")
    assert "f00dcafe" not in ended.err
    assert not (tmp_path / "run").exists()


def test_a_model_that_the_server_has_not_is_said_at_once(call_cai, local_server, tmp_path):
    local_server.reply = refusal(404, "The model `huge` does not exist.")
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    huge = spec(local_server, "huge")
    ended = call_cai("revise", prompts, "-c", "testbed", "-m", huge, "-o", tmp_path / "run")
    assert_refused(ended, "has no model 'huge'. It has tiny")
    assert not (tmp_path / "run").exists()


def test_a_key_that_the_first_calls_find_wrong_stops_the_run(call_cai, local_server, tmp_path):
    """Some servers list their models to everyone."""
    local_server.reply = refusal(401, "no")
    prompts = write_prompts(tmp_path / "prompts.jsonl", 500)
    shared = ("-c", "testbed", "-m", spec(local_server), "-o", tmp_path / "run")
    ended = call_cai("revise", prompts, *shared, "--concurrency", 8)
    assert_refused(ended, "25 examples in a row failed", "it wants a key")
    assert len(local_server.received) < 50
    with RunFolder.existing(tmp_path / "run") as run:
        assert list(run.records()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tag", "no-such-tag"], "has a tag of no-such-tag"),
        (["--temperature", "-1"], "'--temperature': -1.0 is not in the range"),
        (["--top-p", "0"], "'--top-p': 0.0 is not in the range"),
        (["--max-tokens", "0"], "'--max-tokens': 0 is not in the range"),
        (["--rounds", "-1"], "-1 is not in the range"),
        (["--prompts", "no-such-set"], "no template set 'no-such-set'"),
        (["--column", "nothing"], "nothing"),
        (["-c", "no-such-constitution"], "The shipped ones are"),
        (["-m", "openai:tiny@http://127.0.0.1:1/v1?nonsense=1"], "no option 'nonsense'"),
    ],
)
def test_a_wrong_option_is_said_before_any_call(revise, local_server, tmp_path, options, said):
    assert_refused(revise(*options), said)
    assert local_server.received == []
    assert not (tmp_path / "run").exists()


def test_a_missing_file_is_said(call_cai, local_server, tmp_path):
    missing = tmp_path / "nothing.jsonl"
    ended = call_cai(
        "revise", missing, "-c", "testbed", "-m", spec(local_server), "-o", tmp_path / "run"
    )
    assert_refused(ended, "nothing.jsonl: no such file")


def test_a_file_in_place_of_the_run_folder_is_left_alone(revise, local_server, tmp_path):
    (tmp_path / "run").write_text("mine")
    assert_refused(revise(), "is a file, not a folder")
    assert (tmp_path / "run").read_text() == "mine"
    assert local_server.received == []


def test_a_folder_of_other_files_is_left_alone(revise, local_server, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    assert_refused(revise(), "contains other files and is not a run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_a_read_only_folder_is_said_at_once(
    call_cai: CallCai,
    local_server: LocalServer,
    open_folder: Path,
    ordinary_user: Callable[[], AbstractContextManager[None]],
):
    prompts = write_prompts(open_folder / "prompts.jsonl", 2)
    open_folder.chmod(0o555)
    shared = ("-c", "testbed", "-m", spec(local_server), "-o", open_folder / "run")
    with ordinary_user():
        ended = call_cai("revise", prompts, *shared)
    assert_refused(ended, "run: cannot be made or read as a folder (Permission denied)")
    assert local_server.received == []
    assert [path.name for path in open_folder.iterdir()] == ["prompts.jsonl"]


def test_an_interrupted_run_says_so_and_goes_on(tmp_path):
    """40 prompts of three calls each: what was in flight is asked again, and nothing else."""
    prompts = write_prompts(tmp_path / "prompts.jsonl", 40)
    run = tmp_path / "run"
    with serving(slowly(0.02)) as server:
        shared = ("revise", prompts, "-c", "testbed", "-m", spec(server), "-o", run)
        shared = (*shared, "--concurrency", 8, "--json")
        with start_cai(*shared, folder=tmp_path) as process:
            while len(server.received) < 15 and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate()
        assert process.returncode == 130
        assert "interrupted: finished work is stored; the same command goes on." in err
        assert "Traceback" not in err
        with RunFolder.existing(run) as folder:
            n_stored = folder.journal.n_stored
        assert 0 < n_stored < 120
        with start_cai(*shared, folder=tmp_path) as process:
            out, _ = process.communicate()
        assert process.returncode == 0
    assert 120 <= len(server.received) <= 120 + 8
    outcome = json.loads(out)
    assert (outcome["done"], outcome["calls"]) == (40, 120 - n_stored)


def test_two_commands_do_not_write_one_run(revise, call_cai, tmp_path):
    assert revise("--limit", 1).code == 0
    descriptor = os.open(tmp_path / "run" / "lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert_refused(revise(), "another process writes this run")
    finally:
        os.close(descriptor)
