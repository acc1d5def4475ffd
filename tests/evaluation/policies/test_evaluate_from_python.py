"""`cai.evaluate`: what a notebook calls."""

from pathlib import Path

import pytest
from made_evaluations import ONE, judge_by_worth, policy, requests, worths
from small_runs import sampled, write_rows

import cai
from cai.errors import UsageError
from cai.evaluation.policies.evaluate import evaluate


def test_policies_and_prompts_by_name_give_an_evaluation(tmp_path: Path):
    """b wins one of one harmful prompt and loses two benign ones."""
    a, b = policy("a", worths(1, 3, 3)).role_model, policy("b", worths(2, 1, 1)).role_model
    assert a is not None
    assert b is not None
    out = tmp_path / "out"
    prompts = {
        "harmful": requests(out, (0,), "harmful").source,
        "benign": requests(out, (1, 2), "benign").source.files[0],
    }
    found = cai.evaluate(
        {"before": a, "after": b.model},
        prompts,
        judge=judge_by_worth(),
        constitution=ONE,
        out=out,
        plan=cai.EvaluationPlan(checks=(ONE,)),
        is_quiet=True,
    )
    assert isinstance(found, cai.Evaluation)
    assert [(each.policy, each.opponent, each.n) for each in found.win_rates] == [
        ("after", "before", 3)
    ]
    assert found.by_kind["harmful"][0].outcomes["a"] == 1
    assert found.by_kind["benign"][0].outcomes["b"] == 2
    assert set(found.policies[0].adherence["harmful"]) == {"one", "one/long"}
    assert (out / "evaluation.json").is_file()


async def test_it_works_where_a_loop_is_running_as_in_a_notebook(tmp_path: Path):
    run = await sampled(tmp_path / "run", {"0": ["It is worth 1."]})
    file = write_rows(
        tmp_path / "mine.jsonl", [{"prompt": "Request 0?", "response": "It is worth 2."}]
    )
    found = evaluate(
        {"old": run, "new": file},
        judge=judge_by_worth(),
        constitution=ONE,
        out=tmp_path / "out",
        is_quiet=True,
    )
    assert (found.win_rates[0].policy, found.win_rates[0].outcomes["a"]) == ("new", 1)


def test_specs_are_opened(tmp_path: Path):
    prompts = write_rows(tmp_path / "asked.jsonl", [{"prompt": "How do I mend a lamp?"}])
    found = evaluate(
        {"first": "embedded"},
        prompts,
        out=tmp_path / "out",
        sampling=cai.Sampling(max_tokens=4),
        is_quiet=True,
    )
    assert (found.policies[0].name, found.policies[0].n_responses) == ("first", 1)
    assert found.policies[0].conduct[0].figures["cut_off"] == 1


@pytest.mark.parametrize("given", ["judge", "constitution"])
def test_a_judge_without_a_constitution_is_refused_and_the_reverse(tmp_path: Path, given: str):
    judge = judge_by_worth() if given == "judge" else None
    constitution = ONE if given == "constitution" else None
    with pytest.raises(UsageError, match="give both, or leave both out"):
        evaluate({"a": "embedded"}, judge=judge, constitution=constitution, out=tmp_path / "out")


def test_what_is_no_policy_is_refused_by_name(tmp_path: Path):
    with pytest.raises(UsageError, match="'imbedded' is not a policy"):
        evaluate({"a": "imbedded"}, out=tmp_path / "out")
