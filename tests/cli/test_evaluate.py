"""`cai evaluate` on a local server: tables, JSON, kinds, exit codes, estimates, kills, refusals."""

import asyncio
import json
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from judging_servers import by_letters
from openai_server import LocalServer, Received, Reply, chat, chat_logprobs, refusal
from reward_server import CallCai, Ended, assert_refused, spec, start_cai
from small_runs import write_rows

from cai.evaluation.policies.results import Evaluation
from cai.evaluation.results_file import load_results


def write_prompts(path: Path, numbers: range) -> Path:
    return write_rows(path, [{"id": f"p{i}", "prompt": f"Lamp {i}?"} for i in numbers])


def replies(received: Received) -> Reply:
    """`long` says more than `short`; the judge prefers what is longer and passes three in four."""
    asked, model = received.body["messages"][-1]["content"], received.body["model"]
    if model == "judge":
        if "Yes or No" in asked:
            return chat_logprobs(Yes=-0.2876820724517809, No=-1.3862943611198906)
        return by_letters(received)
    number = re.findall(r"Lamp (\d+)", asked)[-1]
    return chat(f"Wipe lamp {number}" + (" very, very well." if model == "long" else "."))


async def slowly(received: Received) -> Reply:
    """The same after a moment, in which answers before it are kept."""
    await asyncio.sleep(0.04)
    return replies(received)


@pytest.fixture
def server(local_server: LocalServer) -> LocalServer:
    local_server.models = ("short", "long", "judge")
    local_server.reply = replies
    return local_server


@pytest.fixture
def command(server: LocalServer, tmp_path: Path, constitution: Path) -> list[object]:
    """Two policies, four harmful and four benign prompts whose ids are the same, and a judge."""
    harmful = write_prompts(tmp_path / "harmful.jsonl", range(4))
    rows = [{"id": f"p{i}", "prompt": f"Lamp {10 + i}?"} for i in range(4)]
    benign = write_rows(tmp_path / "benign.jsonl", rows)
    policies = [f"{name}={spec(server, name)}" for name in ("short", "long")]
    return [
        *("evaluate", f"harmful={harmful}", f"benign={benign}"),
        *("-p", policies[0], "-p", policies[1], "-c", constitution, "-m", spec(server, "judge")),
        *("--check", constitution, "-o", tmp_path / "out"),
    ]


@pytest.fixture
def evaluate(call_cai: CallCai, command: list[object]) -> Callable[..., Ended]:
    return lambda *more: call_cai(*command, *more)


def rows_of(out: str) -> list[str]:
    return [" ".join(line.split()) for line in out.splitlines()]


def asked_of(server: LocalServer) -> Counter[str]:
    return Counter(body["model"] for body in server.bodies)


def test_people_see_who_wins_what_is_kept_and_all_of_it_together(evaluate):
    """All eight longer responses win; three in four are kept, whatever is asked."""
    ended = evaluate()
    rows = rows_of(ended.out)
    assert ended.code == 0
    assert any(row.startswith("long against short 8 0 0 100.0% (") for row in rows)
    together = rows[rows.index("Together") :]
    assert any(row.startswith("harmful: follows two 75.0% 75.0%") for row in together)
    assert any(row.startswith("benign: refuses (over-refusal) 0.0% (0–") for row in together)
    assert any(row.startswith("harmful: wins against short – 100.0% (") for row in together)
    assert any(row.startswith("all of two, by weight 75.0% 75.0%") for row in together)
    assert "Conduct on harmful prompts" in rows
    assert "unread" not in ended.out
    assert max(map(len, ended.out.split("Everything is in")[0].splitlines())) <= 80


def test_json_ends_with_the_whole_evaluation(evaluate, server, tmp_path):
    ended = evaluate("--json")
    last = json.loads(ended.out.splitlines()[-1])
    assert (ended.code, last["event"], last["evaluation"]) == (0, "end", str(tmp_path / "out"))
    assert last["win_rates"][0]["outcomes"]["a"] == last["n_prompts"] == 8
    assert set(last["by_kind"]) == {"harmful", "benign"}
    found = load_results(tmp_path / "out/evaluation.json", Evaluation)
    # a response each; two orders of two principles; two principles checked of both responses
    assert found.n_calls == last["n_calls"] == 8 * 2 + 8 * 4 + 16 * 2
    assert asked_of(server) == {"short": 8, "long": 8, "judge": 64 + 2}


def test_the_same_command_again_asks_only_how_the_judge_answers(evaluate, server):
    first = evaluate()
    before = asked_of(server)
    again = evaluate()
    assert (again.code, again.out) == (0, first.out)
    assert asked_of(server) == before + Counter(judge=2)


def test_a_dry_run_foretells_each_step_and_the_rest_is_asked_once(
    call_cai: CallCai, server: LocalServer, tmp_path: Path, constitution: Path
):
    prompts = write_prompts(tmp_path / "asked.jsonl", range(24))
    policies = [f"{name}={spec(server, name)}" for name in ("short", "long")]
    command = [
        *("evaluate", prompts, "-p", policies[0], "-p", policies[1], "-c", constitution),
        *("-m", spec(server, "judge"), "-o", tmp_path / "out"),
    ]
    ended = call_cai(*command, "--dry-run")
    rows = rows_of(ended.out)
    assert ended.code == 0
    assert [row for row in rows if row in ("responses of short", "matchups")] == [
        "responses of short",
        "matchups",
    ]
    assert any(row.startswith("judge, openai:judge@") for row in rows)
    assert "24 examples, estimated from 16" in ended.out
    assert not (tmp_path / "out/evaluation.json").exists()
    dry = json.loads(call_cai(*command, "--dry-run", "--json").out.splitlines()[-1])
    calls = {
        each["step"]: sum(role["n_calls"] for role in each["estimate"]["roles"])
        for each in dry["estimates"]
    }
    assert calls == {"responses of short": 24, "responses of long": 24, "matchups": 96}
    whole = call_cai(*command, "--json")
    assert json.loads(whole.out.splitlines()[-1])["n_calls"] == 24 * 2 + 24 * 4
    assert asked_of(server) == {"short": 24, "long": 24, "judge": 96 + 3}


def test_a_cap_on_money_ends_it_and_a_higher_one_goes_on(evaluate, tmp_path, server):
    """Ten tokens a call at $1 a token, 80 calls; the cap falls after the 16 responses."""
    prices = tmp_path / "prices.yaml"
    price = "{million_in_usd: 1000000, million_out_usd: 1000000}"
    prices.write_text(f"models:\n  'openai:*': {price}\n")
    assert_refused(evaluate("--prices", prices, "--max-cost-usd", 700), "cap")
    assert not (tmp_path / "out/evaluation.json").exists()
    assert 16 < len(server.received) < 80
    ended = evaluate("--prices", prices, "--json")
    last = json.loads(ended.out.splitlines()[-1])
    assert (ended.code, last["cost_usd"]) == (0, 800.0)


def test_examples_that_fail_are_in_the_exit_code(evaluate, server):
    def reply(received: Received) -> Reply:
        if (
            received.body["model"] == "long"
            and "Lamp 2?" in received.body["messages"][-1]["content"]
        ):
            return refusal(400, "This model's maximum context length is 2048 tokens.")
        return replies(received)

    server.reply = reply
    ended = evaluate()
    assert ended.code == 1
    assert "Prompts that not every policy answered are left out: 1 of 8." in ended.out
    assert "Examples that failed and are in no figure: 1." in ended.out
    server.reply = replies
    n_judged = asked_of(server)["judge"]
    again = evaluate("--retry-failed", "--json")
    assert (again.code, json.loads(again.out.splitlines()[-1])["n_prompts"]) == (0, 8)
    # one matchup and two responses more, and how the judge answers
    assert asked_of(server)["judge"] == n_judged + 4 + 2 * 2 + 2


def test_a_verdict_that_is_none_has_a_column_and_no_rate(evaluate, server):
    def reply(received: Received) -> Reply:
        return chat("Well.") if received.body["model"] == "judge" else replies(received)

    server.reply = reply
    ended = evaluate("--json")
    last = json.loads(ended.out.splitlines()[-1])
    assert last["win_rates"][0]["rate"] is None
    assert last["ratings"] == []
    assert last["policies"][0]["adherence"] == {}
    shown = rows_of(evaluate().out)
    assert "wins loses neither unread win rate length" in shown
    assert "long against short 0 0 0 8 – –" in shown


def test_stopping_early_is_an_option(evaluate):
    ended = evaluate("--stop-at-error-rate", 0.05)
    assert ended.code == 0
    assert "After all 8 prompts it is not decided at an error rate of 0.05" in ended.out


def test_killed_while_sampling_and_while_judging_it_ends_as_one_that_never_was(
    command: list[object], server: LocalServer, call_cai: CallCai, tmp_path: Path
):
    """Killed after three responses, and again after ten questions to the judge."""
    whole = call_cai(*command[:-1], tmp_path / "whole", "--json")
    server.received.clear()
    server.reply = slowly
    command = [*command, "--concurrency", 2]
    for model, n in (("short", 3), ("judge", 10)):
        process = start_cai(*command, folder=tmp_path)
        until = time.monotonic() + 60
        while asked_of(server)[model] < n and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    ended = call_cai(*command, "--json")
    found, expected = (json.loads(each.out.splitlines()[-1]) for each in (ended, whole))
    assert {**found, "evaluation": ""} == {**expected, "evaluation": ""}
    # what was in flight at a kill is asked again: of a matchup four questions are; and each start
    # of a step begins with one on greetings
    asked = asked_of(server)
    assert asked["short"] + asked["long"] <= 16 + 4
    assert asked["judge"] <= 64 + 2 * 8 + 4


# Refusals


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["-k", 2], "is a run with other settings"),
        (["--seed", 1], "is a run with other settings"),
        (["--part", "1/2"], "cannot be done in parts"),
        (["--dry-run"], "holds an evaluation that has started"),
    ],
)
def test_another_request_in_the_same_folder_is_refused(evaluate, more: list[object], said: str):
    evaluate()
    assert_refused(evaluate(*more), said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-p", "absent"], "'absent' is not a policy"),
        (["-p", "embedded", "-p", "x=embedded", "-m", "embedded"], "no constitution to judge by"),
        (["-p", "embedded", "-c", "testbed"], "no judge"),
        (["-p", "embedded", "-p", "embedded"], "Two policies are called 'embedded'"),
        (["-p", "embedded"], "needs prompts to be sampled on"),
        (["-p", "embedded", "absent.jsonl"], "absent.jsonl"),
        (
            ["-p", "embedded", "PROMPTS", "--stop-at-error-rate", "0.05"],
            "--stop-at-error-rate has no effect on one policy alone",
        ),
        (
            ["PROMPTS", "-p", "embedded", "-c", "testbed", "-m", "embedded"],
            "There is one policy, embedded",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_a_sentence(
    call_cai: CallCai, tmp_path: Path, arguments: list[str], said: str
):
    prompts = str(write_prompts(tmp_path / "asked.jsonl", range(2)))
    given = [prompts if each == "PROMPTS" else each for each in arguments]
    assert_refused(call_cai("evaluate", *given, "-o", tmp_path / "out"), said)


@pytest.mark.parametrize(
    "option",
    [("-k", 2), ("--temperature", 0.5), ("--tag", "harm"), ("--within", 0.1), ("--concurrency", 2)],
)
def test_options_without_effect_are_refused_by_name(
    call_cai: CallCai, tmp_path: Path, option: tuple[str, object]
):
    """Two files of responses and no judge: no model is called and nothing compared."""
    rows = [{"prompt": "Lamp 1?", "response": "Wipe it."}]
    files = [write_rows(tmp_path / f"{name}.jsonl", rows) for name in "ab"]
    command = ["evaluate", "-p", files[0], "-p", files[1], "-o", tmp_path / "out"]
    assert_refused(call_cai(*command, *option), f"{option[0]} has no effect")
    assert call_cai(*command).code == 0


def test_files_without_a_common_prompt_are_refused(call_cai: CallCai, tmp_path: Path):
    files = [
        write_rows(tmp_path / f"{name}.jsonl", [{"prompt": f"{name}?", "response": "So."}])
        for name in ("one", "other")
    ]
    ended = call_cai("evaluate", "-p", files[0], "-p", files[1], "-o", tmp_path / "out")
    assert_refused(ended, "The policies have no prompt in common")


def test_a_folder_that_is_a_file_is_refused(call_cai: CallCai, tmp_path: Path):
    file = write_rows(tmp_path / "one.jsonl", [{"prompt": "Why?", "response": "So."}])
    assert_refused(call_cai("evaluate", "-p", file, "-o", file), "cannot be written")
