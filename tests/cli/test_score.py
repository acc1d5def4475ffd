"""`cai score` on a local server: marks and checks of files and runs, means, refusals."""

import json
from collections.abc import Callable
from math import log
from pathlib import Path

import pytest
from openai_server import Json, LocalServer, Received, chat, chat_tokens
from reward_server import CallCai, Ended, assert_refused, spec, told_by_request, write_prompts
from small_runs import write_rows

from cai.run import Run


def marking(received: Received) -> Json:
    """Under `long` 10 and 1 with 0.75 and 0.25, under `late` 10 alone; Yes and No likewise."""
    text = received.body["messages"][-1]["content"]
    options = ("10", "1") if "from 1 (breaks it)" in text else ("Yes", "No")
    p = 0.75 if "Be long." in text else 1 - 1e-9
    return chat_tokens([(options[0], log(p)), (options[1], log(1 - p))])


@pytest.fixture
def score(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path, constitution: Path
) -> Callable[..., Ended]:
    """`cai score` of three responses, or of another source, with more options."""
    local_server.reply = marking
    rows = [{"prompt": f"Lamp {i}?", "response": f"Wipe {i}."} for i in range(3)]
    said = write_rows(tmp_path / "said.jsonl", rows)

    def call(*more: object, of: Path = said) -> Ended:
        shared = ("-c", constitution, "-m", spec(local_server), "-o", tmp_path / "run")
        return call_cai("score", of, *shared, *more)

    return call


def test_every_response_is_scored_under_every_principle(score, tmp_path):
    """`long`: 0.75 · 10 + 0.25 · 1 = 7.75, brought to 2 · 6.75 / 9 − 1 = 0.5; `late` 1."""
    ended = score()
    assert ended.code == 0
    assert "3 done, 0 failed; 6 calls made" in ended.out
    assert "6 scores: 6 scored, 0 unparsed, 0 refused, 0 failed" in ended.out
    assert "  long  +0.500\n  late  +1.000\n" in ended.out
    assert f"Next: cai export {tmp_path / 'run'} --format everything" in ended.out
    assert [each.response for each in Run(tmp_path / "run").scores()] == [
        "Wipe 0.",
        "Wipe 1.",
        "Wipe 2.",
    ]


def test_checks_and_json(score, tmp_path):
    """`long`: 2 · 0.75 − 1 = 0.5."""
    outcome = json.loads(score("--kind", "check", "--json").out)
    assert outcome.pop("seconds") >= 0
    assert outcome.pop("mean_by_principle") == pytest.approx({"long": 0.5, "late": 1.0})
    assert sum(outcome["outcomes"].values()) == outcome["scores"]
    assert outcome == {
        "event": "end",
        "run": str(tmp_path / "run"),
        "done": 3,
        "failed": 0,
        "failures": {},
        "reasons": {},
        "flagged": 0,
        "cut_off": 0,
        "calls": 6,
        "calls_from_journal": 0,
        "cost_usd": None,
        "bad_rows": 0,
        "skipped": {},
        "scores": 6,
        "outcomes": {"scored": 6, "unparsed": 0, "refused": 0, "failed": 0},
        "calls_by_logprobs": 6,
        "calls_below_min_mass": 0,
        "share_below_min_mass": 0.0,
        "prompt_tokens": 42,
        "completion_tokens": 18,
    }


def test_words_are_read_where_there_are_no_log_probabilities(score, local_server):
    local_server.reply = lambda received: chat(
        "Score: 8" if "Be long." in str(received.body) else "It depends."
    )
    ended = score()
    assert "its marks are read from what it writes" in " ".join(ended.err.split())
    assert "6 scores: 3 scored, 3 unparsed, 0 refused" in ended.out
    assert "  late  none" in ended.out


@pytest.mark.parametrize(("kind", "n"), [("sample", 6), ("revise", 3)])
def test_runs_are_scored(score, call_cai, local_server, tmp_path, kind, n):
    """Each of two samples, or the last text of each chain."""
    local_server.reply = lambda received: (
        marking(received) if "<response>" in str(received.body) else told_by_request(received)
    )
    prompts = write_prompts(tmp_path / "prompts.jsonl", 3)
    options = ("-k", 2) if kind == "sample" else ("-c", "testbed")
    made = (kind, prompts, "-m", spec(local_server), *options, "-o", tmp_path / "made")
    assert call_cai(*made).code == 0
    ended = score(of=tmp_path / "made")
    assert ended.code == 0
    assert f"{n} done, 0 failed" in ended.out


def test_a_second_time_nothing_is_asked(score, local_server):
    score("--limit", 1)
    score()
    n_before = len(local_server.received)
    assert "0 calls made" in score().out
    assert len(local_server.received) == n_before


def test_tags_choose_the_principles(score):
    assert "3 scores: 3 scored" in score("--tag", "size").out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tag", "no-such-tag"], "has a tag of no-such-tag"),
        (["--kind", "stars"], "'stars' is not one of"),
        (["--response-column", "nothing"], "nothing"),
        (["--max-tokens", "0"], "'--max-tokens': 0 is not in the range"),
    ],
)
def test_a_wrong_option_is_said_before_any_call(score, local_server, tmp_path, options, said):
    assert_refused(score(*options), said)
    assert local_server.received == []
    assert not (tmp_path / "run").exists()


def test_samples_of_words_need_a_temperature(score, tmp_path):
    ended = score("--verdicts", "parsed", "--samples", 3)
    assert_refused(ended, "at temperature 0 are all the same")
    assert not (tmp_path / "run").exists()
