"""`cai agreement`: labelled pairs judged and compared, judged runs read, prices, refusals."""

import json
import math
import tempfile
from pathlib import Path

import pytest
from made_verdicts import judge_recipe, judged, judged_run, principle_verdict
from openai_server import LocalServer, Received, Reply, chat, chat_logprobs
from reward_server import CallCai, assert_refused, refusing, spec
from shared_data import data_file

from cai.engine.run_files import Failure
from cai.methods.settings import JudgeSettings

FAILED = Failure("ContextLengthError", "The request has 3,000 tokens.", False)


def write_pairs(path: Path, n: int = 12) -> Path:
    """Pairs of which people prefer the one with "warm" in three of four, and its place changes."""
    rows = []
    for i in range(n):
        texts = ["a warm answer", "a cold, much longer answer"]
        better = 0 if i % 4 else 1
        if i % 3 == 0:
            texts.reverse()
            better = 1 - better
        rows.append(
            {
                "id": f"pair-{i}",
                "prompt": f"Question {i}?",
                "response_a": texts[0],
                "response_b": texts[1],
                "label": "ab"[better],
                "category": "odd" if i % 2 else "even",
            }
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def likes_warmth(received: Received) -> Reply:
    """0.8 for the letter of the warm answer; 0.5 before there are responses."""
    asked = received.body["messages"][-1]["content"]
    if "a warm answer" not in asked:
        return chat_logprobs(A=math.log(0.5), B=math.log(0.5))
    p_a = 0.8 if asked.index("a warm") < asked.index("a cold") else 0.2
    return chat_logprobs(A=math.log(p_a), B=math.log(1 - p_a))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.jsonl")


@pytest.fixture
def constitution(tmp_path: Path) -> Path:
    path = tmp_path / "warm.yaml"
    path.write_text(
        "name: warm\nprinciples:\n  - {id: be-warm, text: Be warm.}\n"
        "  - {id: be-kind, text: Be kind.}\n"
    )
    return path


def test_labelled_pairs_are_judged_and_compared(
    call_cai: CallCai, local_server: LocalServer, pairs: Path, constitution: Path
):
    """The judge is right in 9 of 12, people's side in three of four; the longer one in the others.

    Two principles in two orders of 7 + 3 tokens each: 28 read and 12 written a label. At $1 and $2
    a million $0.000052, and a person at $0.52 is 10,000 times that.
    """
    local_server.reply = likes_warmth
    ended = call_cai(
        "agreement", pairs, "-c", constitution, "-m", spec(local_server), "--json",
        "--compose", "mean", "--price-in", 1, "--price-out", 2, "--human-price", 0.52,
    )  # fmt: skip
    report = json.loads(ended.out)
    assert ended.code == 0
    assert "Judging into a temporary folder, removed at the end" in ended.err
    overall = report["overall"]
    assert (overall["n"], overall["accuracy"]["value"]) == (12, 0.75)
    assert overall["ece"] == pytest.approx(0.05)
    assert report["longer"]["value"] == 0.25
    assert set(report["by_principle"]) == {"be-warm", "be-kind"}
    assert {name: each["n"] for name, each in report["by_tag"]["category"].items()} == {
        "odd": 6,
        "even": 6,
    }
    cost = report["cost"]
    assert (cost["prompt_tokens"], cost["completion_tokens"]) == (28, 12)
    assert cost["usd"] == pytest.approx(0.000052)


def test_the_temporary_folder_is_removed(
    call_cai: CallCai,
    local_server: LocalServer,
    pairs: Path,
    constitution: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    local_server.reply = likes_warmth
    assert call_cai("agreement", pairs, "-c", constitution, "-m", spec(local_server)).code == 0
    assert list((tmp_path / "temporary").iterdir()) == []


def test_people_see_tables_and_the_plot_is_written(
    call_cai: CallCai, local_server: LocalServer, pairs: Path, constitution: Path, tmp_path: Path
):
    local_server.reply = likes_warmth
    run, plot = tmp_path / "run", tmp_path / "curve.png"
    ended = call_cai(
        "agreement", pairs, "-c", constitution, "-m", spec(local_server), "-o", run,
        "--plot", plot, "--compose", "mean",
        "--price-in", 1, "--price-out", 2, "--human-price", 0.52,
    )  # fmt: skip
    assert ended.code == 0
    rows = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "Agreement with people on 12 labelled pairs" in rows
    assert any(row.startswith("both orders 12 75.0% (") for row in rows)
    assert any(row.startswith("always the longer 12 25.0% (") for row in rows)
    # 0.8 is right in 3 of 4: T = log 4 / log 3
    assert any(each.startswith("temperature that fits the labels: 1.26 (") for each in rows)
    assert "price of a person's label: $0.52, 10,000.0 times the judge's" in rows
    assert f"Next: cai audit {run}" in rows
    assert "temporary" not in ended.err
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_judged_run_is_read_without_a_call(
    call_cai: CallCai, local_server: LocalServer, pairs: Path, constitution: Path, tmp_path: Path
):
    local_server.reply = likes_warmth
    run = tmp_path / "run"
    first = call_cai(
        "agreement", pairs, "-c", constitution, "-m", spec(local_server), "-o", run, "--json"
    )
    n_calls = len(local_server.received)
    again = call_cai("agreement", run, "--json")
    assert (again.code, json.loads(again.out)) == (0, json.loads(first.out))
    assert len(local_server.received) == n_calls
    assert call_cai("audit", run).code == 0


def test_the_plan_of_a_judged_run_is_used(call_cai: CallCai, tmp_path: Path):
    """A principle at 0.55 alone would be within the run's margin of 0.1: no side, half right."""
    principle_verdicts = [
        principle_verdict(0.9, principle="loud"),
        principle_verdict(0.55, principle="soft"),
    ]
    recipe = judge_recipe(settings=JudgeSettings(tie_margin=0.1))
    run = judged_run(tmp_path / "run", [judged("1", principle_verdicts, "a")], recipe)
    report = json.loads(call_cai("agreement", run, "--json").out)
    assert report["by_principle"]["soft"]["accuracy"]["value"] == 0.5


def test_failed_groups_are_counted_and_in_the_exit_code(call_cai: CallCai, tmp_path: Path):
    run = judged_run(tmp_path / "run", [judged("1", principle_verdict(0.9), "a"), FAILED])
    ended = call_cai("agreement", run)
    assert ended.code == 1
    assert "1 groups failed altogether and are in no figure." in ended.out


def test_a_judge_without_log_probabilities_is_read_from_its_words(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path, constitution: Path
):
    """It says A always, so the orders contradict: inconsistent, each right by one half."""
    local_server.reply = lambda received: chat("Response A is better.")
    pairs = write_pairs(tmp_path / "pairs.jsonl", 4)
    ended = call_cai("agreement", pairs, "-c", constitution, "-m", spec(local_server), "--json")
    overall = json.loads(ended.out)["overall"]
    assert (ended.code, overall["outcomes"]["inconsistent"]) == (0, 4)
    assert overall["accuracy"]["value"] == 0.5
    assert overall["accuracy_of_sides"] is None
    assert "gives no usable log-probabilities" in ended.err


def test_a_request_that_is_refused_is_a_failed_group(
    call_cai: CallCai, local_server: LocalServer, pairs: Path, constitution: Path
):
    local_server.reply = refusing("Question 3?", otherwise=likes_warmth)
    ended = call_cai("agreement", pairs, "-c", constitution, "-m", spec(local_server), "--json")
    report = json.loads(ended.out)
    assert (ended.code, report["n_groups"], report["n_failed"]) == (1, 12, 1)
    assert report["overall"]["n"] == 11
    assert "pair-3 failed: " in ended.err
    assert "maximum context length is 2048 tokens" in ended.err


# Refusals


def test_pairs_without_labels_are_refused_before_a_call(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path, constitution: Path
):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "Why?", "response_a": "So.", "response_b": "Because."}\n')
    ended = call_cai("agreement", path, "-c", constitution, "-m", spec(local_server))
    assert_refused(ended, "none of 1 pairs has a label of people")
    assert local_server.received == []


def test_judging_needs_a_judge_and_a_constitution(call_cai: CallCai, pairs: Path):
    for arguments in ([], ["-c", "harmless"], ["-m", "embedded"]):
        ended = call_cai("agreement", pairs, *arguments)
        assert_refused(ended, "Judging needs a judge, -m, and a constitution, -c.")


def test_a_judged_run_takes_no_judge(call_cai: CallCai, tmp_path: Path):
    run = judged_run(tmp_path / "run", [judged("1", principle_verdict(0.9), "a")])
    ended = call_cai("agreement", run, "-c", "harmless", "-m", "embedded")
    assert_refused(ended, "is judged already")


@pytest.mark.parametrize("option", [("--limit", 5), ("--tag", "harm"), ("--label-column", "x")])
def test_options_without_effect_on_a_judged_run_are_refused_by_name(
    call_cai: CallCai, tmp_path: Path, option: tuple[str, object]
):
    run = judged_run(tmp_path / "run", [judged("1", principle_verdict(0.9), "a")])
    assert_refused(call_cai("agreement", run, *option), f"{option[0]} has no effect")
    assert call_cai("agreement", run, "--seed", 3, "--json").code == 0


def test_a_judged_run_without_labels_is_refused(call_cai: CallCai, tmp_path: Path):
    run = judged_run(tmp_path / "run", [judged("1", principle_verdict(0.9))])
    assert_refused(call_cai("agreement", run), "None of 1 judged pairs has a label")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--plot", "curve.gif"], ".png or .svg"),
        (["--plot", "absent/curve.png"], "there is no folder absent"),
        (["--price-in", "1"], "both --price-in and --price-out"),
        (["--human-price", "-1"], "-1"),
    ],
)
def test_wrong_options_are_said_before_a_call(
    call_cai: CallCai, local_server: LocalServer, pairs: Path, options: list[str], said: str
):
    ended = call_cai("agreement", pairs, "-c", "harmless", "-m", spec(local_server), *options)
    assert_refused(ended, said)
    assert local_server.received == []


# Published labels


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "llmbar/Natural.json",
        "llmbar/Processed_LLMEval2.json",
        "alpaca-eval/alpaca-7b.gpt4_annotations.even.json",
        "hh-rlhf/harmless-base.first50.jsonl.gz",
        "constitutional-harmlessness-paper/evals/438HHHEvaluations.even.jsonl",
    ],
)
def test_published_labels_are_judged_by_the_embedded_model(call_cai: CallCai, name: str):
    path = data_file(name)
    ended = call_cai(
        "agreement", path, "-c", "testbed", "--tag", "general", "--principles", 1, "-m", "embedded",
        "--skip-bad-rows", "--limit", 20, "--json",
    )  # fmt: skip
    report = json.loads(ended.out.splitlines()[-1])
    assert ended.code in (0, 1)
    assert report["n_groups"] == 20
    assert sum(report["overall"]["outcomes"].values()) == report["overall"]["n"]
    low = report["overall"]["accuracy"]["low"]
    is_better = low is not None and low > 0.5
    assert is_better == (not any("chance" in each.lower() for each in report["caveats"]))
