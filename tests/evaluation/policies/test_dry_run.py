"""What an evaluation will take, told from a few prompts, none of which is asked about again."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from made_evaluations import ONE, evaluated, judge_by_worth, n_asked, policy, requests, worths
from small_runs import quiet, write_rows

from cai.errors import JournalError, UsageError
from cai.evaluation.policies.dry_run import Estimates, estimate
from cai.evaluation.policies.plan import EvaluationJudge, EvaluationPlan
from cai.evaluation.policies.policies import Policy
from cai.methods.roles import RoleModel
from cai.models.scripted import ScriptedModel
from cai.runs.options import RunOptions

CHECKED = EvaluationPlan(checks=(ONE,))
N = 40


def two(n: int = N) -> list[Policy]:
    return [
        policy("a", worths(*[i % 3 for i in range(n)])),
        policy("b", worths(*[i % 3 + 1 for i in range(n)])),
    ]


async def estimated(
    out: Path,
    policies: Sequence[Policy],
    judge: ScriptedModel | None,
    plan: EvaluationPlan = CHECKED,
    run_options: RunOptions = RunOptions(sample=8),
) -> Estimates:
    prompts = [requests(out, range(N))]
    judging = None if judge is None else EvaluationJudge((RoleModel.of(judge),), ONE)
    return await estimate(policies, prompts, judging, plan, out, run_options, console=quiet())


async def test_every_step_is_foretold_from_its_sample(tmp_path: Path):
    """40 prompts: 40 responses each; 40 matchups in two orders; 80 responses checked."""
    found = await estimated(tmp_path / "out", two(), judge_by_worth())
    assert [
        (each.step, each.estimate.n_sample, each.estimate.n_total, each.estimate.n_calls)
        for each in found.steps
    ] == [
        ("responses of a", 8, 40, 40),
        ("responses of b", 8, 40, 40),
        ("matchups", 8, 40, 80),
        ("adherence to one", 16, 80, 80),
    ]


async def test_what_the_estimate_asked_is_not_asked_again(tmp_path: Path):
    whole = await evaluated(tmp_path / "whole", two(), N, CHECKED, judge_by_worth())
    out, policies, judge = tmp_path / "out", two(), judge_by_worth()
    await estimated(out, policies, judge)
    assert [n_asked(each) for each in policies] == [8, 8]
    found = await evaluated(out, policies, [requests(out, range(N))], CHECKED, judge)
    assert found.win_rates == whole.win_rates
    assert found.policies == whole.policies
    assert [n_asked(each) for each in policies] == [N, N]
    # each of four steps of the judge begins with one question on greetings
    assert len(judge.requests) == whole.n_calls - 2 * N + 4
    assert not (out / "estimate.json").exists()


async def test_an_estimate_may_be_made_again_of_more_prompts(tmp_path: Path):
    out, policies, judge = tmp_path / "out", two(), judge_by_worth()
    await estimated(out, policies, judge)
    found = await estimated(out, policies, judge, run_options=RunOptions(sample=12))
    assert [each.estimate.n_total for each in found.steps] == [40, 40, 40, 80]
    assert found.steps[2].estimate.n_sample == 12


async def test_where_all_is_sampled_already_the_judge_is_asked_about_a_part_alone(tmp_path: Path):
    out, policies, judge = tmp_path / "out", two(), judge_by_worth()
    await evaluated(out, policies, [requests(out, range(N))])
    found = await estimated(out, policies, judge)
    assert [each.estimate.n_total for each in found.steps] == [40, 40, 40, 80]
    assert len(judge.requests) == 8 * 2 + 8 * 2 + 2


async def test_of_files_as_many_prompts_are_judged_and_nothing_is_sampled(tmp_path: Path):
    def file(name: str, value: int) -> Policy:
        rows = [
            {"prompt": f"Request {i}?", "response": f"It is worth {value}."} for i in range(N // 2)
        ]
        return Policy(name, str(write_rows(tmp_path / f"{name}.jsonl", rows)))

    judge = judge_by_worth()
    found = await estimated(tmp_path / "out", [file("a", 1), file("b", 2)], judge, EvaluationPlan())
    (step,) = found.steps
    assert (step.step, step.estimate.n_sample, step.estimate.n_total) == ("matchups", 8, 20)
    assert len(judge.requests) == 8 * 2 + 1


async def test_without_a_judge_only_the_models_are_foretold(tmp_path: Path):
    found = await estimated(tmp_path / "out", two(), None, EvaluationPlan())
    assert [each.step for each in found.steps] == ["responses of a", "responses of b"]


async def test_what_stops_early_goes_on_from_an_estimate_too(tmp_path: Path):
    plan = EvaluationPlan(error_rate=0.05)
    out, policies, judge = tmp_path / "out", two(), judge_by_worth()
    await estimated(out, policies, judge, plan)
    found = await evaluated(out, policies, [requests(out, range(N))], plan, judge)
    whole = await evaluated(tmp_path / "whole", two(), N, plan, judge_by_worth())
    assert (found.win_rates, found.caveats) == (whole.win_rates, whole.caveats)
    assert found.n_calls <= 2 * N + 2 * N


async def test_an_evaluation_that_has_begun_is_not_estimated(tmp_path: Path):
    out = tmp_path / "out"
    await evaluated(out, two(), N, CHECKED, judge_by_worth())
    with pytest.raises(UsageError, match="holds an evaluation that has started"):
        await estimated(out, two(), judge_by_worth())


async def test_responses_of_another_request_are_refused_after_an_estimate_too(tmp_path: Path):
    out = tmp_path / "out"
    await estimated(out, two(), judge_by_worth())
    plan = EvaluationPlan(k=2, checks=(ONE,))
    with pytest.raises(JournalError, match="is a run with other settings"):
        await evaluated(out, two(), [requests(out, range(N))], plan, judge_by_worth())
