"""`cai suites` on a local server: the table of two policies, what is kept, and what is refused."""

import json
from collections.abc import Callable
from math import log
from pathlib import Path

import pytest
from judging_servers import both
from openai_server import Json, LocalServer, Received, chat, chat_tokens
from reward_server import CallCai, Ended, assert_refused, spec
from rich.console import Console
from suite_rows import options_of, write_lamps, write_sides, write_turns

from cai.cli.suites import suites_table
from cai.evaluation.policies.results import Suite
from cai.evaluation.results_file import load_results
from cai.evaluation.stats.bootstrap import Estimate
from cai.evaluation.suites.run import SuiteResults

CONSTITUTION = "name: two\nprinciples:\n- {id: long, text: 'Be long.'}\n"


def careful(received: Received) -> Json:
    """Of the model `wise` the right letter with 0.9, of others A; declines; keeps with 0.75."""
    text, is_wise = received.body["messages"][-1]["content"], received.body["model"] == "wise"
    if "logprobs" not in received.body:
        return chat("I cannot help with that, because it is not yours." if is_wise else "Sure!")
    if "keep this principle" in text:
        return chat_tokens([("Yes", log(0.75)), ("No", log(0.25))])
    shown = options_of(text)
    return both(0.9 if not is_wise or shown["A"] == "Wipe it" else 0.1)


@pytest.fixture
def suites(call_cai: CallCai, local_server: LocalServer, tmp_path: Path) -> Callable[..., Ended]:
    """`cai suites` of the files with the policies `before` and `after`."""
    local_server.reply = careful

    def call(*more: object) -> Ended:
        policies = (
            "-p",
            f"before={spec(local_server)}",
            "-p",
            f"after={spec(local_server, 'wise')}",
        )
        return call_cai("suites", *more, *policies, "-o", tmp_path / "out")

    return call


def test_two_policies_stand_beside_each_other_with_their_difference(suites, tmp_path):
    lamps, sides = write_lamps(tmp_path / "lamps.jsonl", 4), write_sides(tmp_path / "sides.csv")
    ended = suites(lamps, sides)
    assert ended.code == 0
    rows = [line.split() for line in ended.out.splitlines()]
    assert ["accuracy", "0.50", "1.00", "(0.40–1.00)", "+0.50"] in rows
    assert ["refused", "unsafe", "0.00", "(0.00–0.84)", "1.00", "(0.16–1.00)", "+1.00"] in rows
    assert ["sides,", "4", "prompts"] in rows
    assert ["contrast", "0.00", "(0.00–0.84)", "1.00", "(0.16–1.00)", "+1.00"] not in rows
    assert "refused safe: share of responses to safe prompts that decline: over-" in ended.out
    assert not any(row[:1] == ["failed"] for row in rows)
    found = load_results(tmp_path / "out/suites/suites.json", SuiteResults)
    assert [each.name for each in found.suites] == ["lamps", "sides"]
    assert found.suites[0].found["after"]["accuracy"].value == 1.0
    assert (found.judges, found.n_calls, found.n_failed) == ((), 2 * (2 * 4 + 4), 0)


def test_judges_check_the_responses_and_all_is_told_as_json(suites, local_server, tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(CONSTITUTION, "utf-8")
    sides = write_sides(tmp_path / "sides.csv")
    ended = suites(sides, "-c", path, "-m", spec(local_server, "judge"), "--json")
    assert ended.code == 0
    told = json.loads(ended.out.splitlines()[-1])
    assert told["constitution"] == "two"
    assert told["suites"][0]["found"]["after"]["kept long"]["value"] == pytest.approx(0.75)


def test_a_judge_that_is_the_policy_is_said_loudly(suites, local_server, tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(CONSTITUTION, "utf-8")
    sides = write_sides(tmp_path / "sides.csv")
    ended = suites(sides, "-c", path, "-m", spec(local_server, "wise"))
    assert "WARNING: after judges its own responses" in ended.err
    assert "before judges" not in ended.err


def test_what_cannot_be_used_is_said_before_anything_is_asked(suites, local_server, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text('{"note": "x"}\n', "utf-8")
    lamps = write_lamps(tmp_path / "lamps.jsonl", 2)
    for arguments, said in (
        ((other,), "does not have the columns of any known suite"),
        ((f"{lamps}:mmlu",), "no kind of suite 'mmlu'"),
        ((lamps, "-m", "embedded"), "no constitution to judge by"),
        ((lamps, "-c", "harmless"), "no judge"),
        ((lamps, "-p", lamps), "a suite asks its own questions"),
    ):
        assert_refused(suites(*arguments), said)
    assert local_server.received == []


def test_log_probabilities_that_are_not_there_are_said(suites, local_server, tmp_path):
    local_server.reply = lambda received: chat("(A)")
    ended = suites(write_lamps(tmp_path / "lamps.jsonl", 2), "--choices", "logprobs")
    assert_refused(ended, "Log-probabilities were asked for")


def test_second_turns_are_in_folders_that_other_commands_read(suites, call_cai, tmp_path):
    assert suites(write_turns(tmp_path / "turns.jsonl")).code == 0
    folder = tmp_path / "out/suites/turns/after/second"
    assert call_cai("export", folder, "--format", "prompts", "-o", tmp_path / "p.jsonl").code == 0
    rows = (tmp_path / "p.jsonl").read_text("utf-8").splitlines()
    assert [len(json.loads(row)["prompt"]) for row in rows] == [3, 3, 3]


def test_the_folder_of_choices_has_a_status_and_no_rows(suites, call_cai, tmp_path):
    suites(write_lamps(tmp_path / "lamps.jsonl", 2))
    folder = tmp_path / "out/suites/lamps/after"
    assert "choice" in call_cai("status", folder).out
    ended = call_cai("export", folder, "--format", "sft", "-o", tmp_path / "x.jsonl")
    assert_refused(ended, "answers to the questions of a suite")


def test_a_figure_that_a_policy_lacks_is_a_dash_and_has_no_difference():
    found = {"a": {"mark": Estimate(6.5, 1)}, "b": {}}
    table = suites_table((Suite("turns", "mt-bench", {}, 1, found),))
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table)
    row = next(line for line in captured.get().splitlines() if "mark" in line)
    assert row.split() == ["mark", "6.50", "–", "–"]


def test_a_difference_has_its_own_interval_and_its_sign():
    found = {name: {"mark": Estimate(6.5, 9)} for name in "ab"}
    differences = {"mark": Estimate(0.25, 9, -0.5, 1.0)}
    table = suites_table((Suite("turns", "mt-bench", {}, 9, found, differences),))
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table)
    assert "+0.25 (-0.50–+1.00)" in captured.get()
