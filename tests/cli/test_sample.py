"""`cai sample` on a local server: policies, temperatures, counts, going on, refusals."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from openai_server import LocalServer, chat
from reward_server import CallCai, Ended, assert_refused, spec, write_prompts

from cai.run import Run


@pytest.fixture
def sample(call_cai: CallCai, local_server: LocalServer, tmp_path: Path) -> Callable[..., Ended]:
    """`cai sample` of five prompts, with more options."""
    prompts = write_prompts(tmp_path / "prompts.jsonl", 5)

    def call(*more: object) -> Ended:
        shared = ("-m", spec(local_server), "-o", tmp_path / "run")
        return call_cai("sample", prompts, *shared, *more)

    return call


def test_every_prompt_gets_k_responses(sample, local_server, tmp_path):
    ended = sample("-k", 3)
    assert ended.code == 0
    assert "5 prompts from column 'prompt' (texts)" in ended.out
    assert "5 done, 0 failed; 15 calls made, 0 from the journal" in ended.out
    assert f"Next: cai judge {tmp_path / 'run'} -c harmless" in ended.out
    found = list(Run(tmp_path / "run").samples())
    assert [each.prompt.id for each in found] == [f"request-{i}" for i in range(5)]
    assert all(len({s.completion.text for s in each.samples}) == 3 for each in found)


def test_every_model_is_a_policy_at_every_temperature(sample, local_server, tmp_path):
    local_server.models = ("tiny", "small")
    second = ("-m", spec(local_server, "small"))
    ended = sample("-k", 2, *second, "--temperature", 0.7, "--temperature", 1.0, "--json")
    outcome = json.loads(ended.out)
    assert outcome.pop("seconds") >= 0
    assert outcome == {
        "event": "end",
        "run": str(tmp_path / "run"),
        "done": 5,
        "failed": 0,
        "failures": {},
        "reasons": {},
        "flagged": 0,
        "cut_off": 0,
        "calls": 40,
        "calls_from_journal": 0,
        "cost_usd": None,
        "bad_rows": 0,
    }
    asked = {(body["model"], body["temperature"]) for body in local_server.bodies}
    assert asked == {(name, t) for name in ("tiny", "small") for t in (0.7, 1.0)}
    (first, *_) = Run(tmp_path / "run").samples()
    assert [each.model.split("@")[0] for each in first.samples] == (
        ["openai:tiny"] * 4 + ["openai:small"] * 4
    )


def test_a_second_time_nothing_is_asked(sample, local_server):
    assert sample("--limit", 2).code == 0
    assert sample("--concurrency", 2).code == 0
    n_before = len(local_server.received)
    assert n_before == 20
    assert "0 calls made" in sample().out
    assert len(local_server.received) == n_before


def test_the_options_reach_the_model(sample, local_server):
    sample("--limit", 1, "-k", 1, "--max-tokens", 7, "--top-p", 0.9, "--top-k", 3)
    (body,) = local_server.bodies
    assert (body["max_tokens"], body["top_p"], body["top_k"]) == (7, 0.9, 3)
    assert body["temperature"] == 1.0


def test_empty_responses_are_flagged(sample, local_server):
    local_server.reply = chat("")
    assert json.loads(sample("--json").out)["flagged"] == 5


def test_bad_rows_can_be_skipped_and_are_counted(sample, tmp_path):
    with (tmp_path / "prompts.jsonl").open("a") as file:
        file.write('{"id": "broken", "prompt": null}\n')
    assert_refused(sample(), "prompts.jsonl:6: ")
    ended = sample("--skip-bad-rows")
    assert ended.code == 0
    assert "skipped" in ended.out and "prompts.jsonl:6: " in ended.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--temperature", "0"], "at temperature 0 are all the same"),
        (["--temperature", "-1"], "'--temperature': -1.0 is not in the range"),
        (["-k", "0"], "0 is not in the range"),
        (["--prompts", "no-such-set"], "no template set 'no-such-set'"),
        (["--column", "nothing"], "nothing"),
    ],
)
def test_a_wrong_option_is_said_before_any_call(sample, local_server, tmp_path, options, said):
    assert_refused(sample(*options), said)
    assert local_server.received == []
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_method_is_left_alone(sample, call_cai, local_server, tmp_path):
    shared = ("-c", "testbed", "-m", spec(local_server), "-o", tmp_path / "run")
    assert call_cai("revise", tmp_path / "prompts.jsonl", *shared).code == 0
    assert_refused(sample(), "holds a run of the method 'revise'", "this is one of 'sample'")
