"""The whole chain on the testbed, small: its stages are made once, and found again."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from cai.constitution.loader import load_constitution
from cai.testbed.chain import PolicyChain
from cai.testbed.feedback import JUDGED_UNDER, Sizes
from cai.testbed.metrics import draw_prompts
from cai.testbed.oracle import breaches, read_request, read_response


def test_prompts_differ_and_hang_on_their_seed_alone():
    prompts = draw_prompts(60, 0, is_held_out=False)
    assert len({each.request for each in prompts}) == len({each.id for each in prompts}) == 60
    assert prompts == draw_prompts(60, 0, is_held_out=False)
    assert prompts != draw_prompts(60, 1, is_held_out=False)


def test_no_training_sees_a_request_that_policies_are_measured_on():
    trained = {
        each.request for seed in range(3) for each in draw_prompts(200, seed, is_held_out=False)
    }
    held_out = {each.request for each in draw_prompts(200, 0, is_held_out=True)}
    assert not trained & held_out


def test_about_half_of_the_prompts_ask_for_harm():
    requests = [read_request(each.request) for each in draw_prompts(300, 0, is_held_out=True)]
    n_harmful = sum(request is not None and request.harm is not None for request in requests)
    assert 120 <= n_harmful <= 180


def test_a_policy_that_is_given_stands_in_the_place_of_sl(tmp_path: Path):
    chain = PolicyChain(tmp_path, 0, Console(quiet=True), given="hf:models/mine")
    assert chain.supervised() == "hf:models/mine"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_stages_follow_one_another_and_are_found_again(tmp_path: Path):
    sizes = Sizes(revised=24, rounds=1, judged=12, k=3, rl_prompts=16, rl_steps=1)
    chain = PolicyChain(tmp_path, 0, Console(quiet=True), sizes)
    start = chain.supervised()
    assert start == f"hf:{tmp_path / 'sl'}"
    for feedback in ("judge", "people"):
        assert chain.dpo(feedback) == f"hf:{tmp_path}/dpo-soft-{feedback}"
    assert chain.rl("grpo", "model") == f"hf:{tmp_path}/grpo-model-judge"
    assert chain.rl("rloo", "judge") == f"hf:{tmp_path}/rloo-judge-judge"
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/model.safetensors")}
    assert len(written) == 6
    chain.dpo("judge")
    chain.rl("grpo", "model")
    assert written == {path: path.stat().st_mtime_ns for path in written}
    assert json.loads((tmp_path / "sl" / "training.json").read_text("utf-8"))["steps"] > 0
    assert_better(tmp_path)


def assert_better(folder: Path) -> None:
    """The rows that people would have written: the better side breaks fewer principles."""
    ids = {each.id for each in load_constitution("testbed").select(JUDGED_UNDER)}
    rows = [json.loads(line) for line in (folder / "people.jsonl").read_text("utf-8").splitlines()]
    assert rows
    for row in rows:
        request = read_request(row["prompt"])
        assert request is not None
        better, worse = (
            len(ids & set(breaches(request, read_response(request, row[side]))))
            for side in ("chosen", "rejected")
        )
        assert better < worse
