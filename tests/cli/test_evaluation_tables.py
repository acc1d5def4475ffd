"""The tables of an evaluation: every figure whole within eighty columns, however many policies."""

from pathlib import Path

import pytest
from made_evaluations import ONE, evaluated, judge_by_worth, policy, requests, worths
from small_runs import TWO

from cai.cli.evaluate import show_evaluation
from cai.cli.tables import policy_tables
from cai.evaluation.policies.plan import EvaluationPlan


@pytest.mark.parametrize(("n", "n_tables"), [(2, 1), (6, 3)])
async def test_policies_that_do_not_fit_beside_each_other_go_on_in_the_next_table(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    n: int,
    n_tables: int,
):
    monkeypatch.setenv("COLUMNS", "80")
    out = tmp_path / "out"
    prompts = (requests(out, (0, 1), "harmful"), requests(out, (2, 3), "benign"))
    policies = [policy(f"checkpoint-{i}00", worths(i, 1 + i, 2, 3)) for i in range(n)]
    plan = EvaluationPlan(checks=(ONE, TWO), meeting="anchor")
    show_evaluation(await evaluated(out, policies, prompts, plan, judge_by_worth()))
    shown, _, caveats = capsys.readouterr().out.partition("Caveats")
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    assert f"checkpoint-{n - 1}00" in shown.partition("Together")[2]
    together = shown.partition("Together")[2].partition("Conduct on all")[0]
    assert together.count("harmful: wins against checkpoint-000") == n_tables
    assert together.count("benign: refuses (over-refusal)") == n_tables
    assert "one/long" in shown  # of two constitutions principles are told apart
    assert "\n- " in caveats


async def test_without_kinds_or_a_judge_only_conduct_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    show_evaluation(await evaluated(tmp_path / "out", [policy("a", worths(1, 2))], 2))
    out = capsys.readouterr().out
    assert "Conduct on all prompts" in out
    assert not any(word in out for word in ("Together", "Win rates", "Ratings", "principle"))


def test_a_name_that_alone_is_too_wide_has_a_table_of_its_own():
    rows = [("words", ["1", "2"])]
    tables = list(policy_tables(["x" * 90, "y"], rows))
    assert [len(table.columns) for table in tables] == [2, 2]
