"""The examples: every file of `examples/` is loaded or run as a user would run it."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from openai_server import LocalServer
from reward_server import MAIN
from sources import prompts_in

from cai.constitution.lint import check_constitution
from cai.constitution.loader import load_constitution
from cai.evaluation.policies.results import Evaluation
from cai.evaluation.results_file import load_results
from cai.templates import STEPS, load_templates
from cai.testbed.oracle import read_request

EXAMPLES = Path(__file__).parents[1] / "examples"
EXPERIMENTS = EXAMPLES / "experiments"
RESULTS = Path(__file__).parents[1] / "docs" / "experiments"


def run_example(name: str) -> None:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_try_one_prompt_prints_every_step_and_the_same_each_time(capsys):
    run_example("try_one_prompt.py")
    printed = capsys.readouterr().out
    assert printed.count("critique:") == printed.count("revision:") == 2
    run_example("try_one_prompt.py")
    assert capsys.readouterr().out == printed


def test_revise_dataset_fills_a_run_that_a_second_start_only_reads(capsys, in_tmp_path):
    run_example("revise_dataset.py")
    first = capsys.readouterr().out
    rows = (in_tmp_path / "runs/village/sft.jsonl").read_text("utf-8").splitlines()
    assert first.startswith("12 done, 0 failed")
    assert 0 < len(rows) < 12
    assert json.loads(rows[0])["completion"][0]["role"] == "assistant"
    run_example("revise_dataset.py")
    second = capsys.readouterr().out
    assert second.startswith("12 done, 0 failed, 0 calls")
    assert second.splitlines()[1:] == first.splitlines()[1:]


def test_the_report_tells_both_runs_and_a_second_start_writes_the_same(capsys, in_tmp_path):
    run_example("write_report.py")
    path = in_tmp_path / "runs/told/report.html"
    assert capsys.readouterr().out == "runs/told/report.html\n"
    first = path.read_text("utf-8")
    assert "embedded answered 12 prompts and critiqued and revised the answers" in first
    assert "before → after revision, n = 7" in first
    assert "embedded compared" in first
    run_example("write_report.py")
    assert path.read_text("utf-8") == first


def test_the_reward_server_scores_a_refusal_of_harm_above_help_with_it(capsys):
    run_example("reward_server.py")
    helps, declines, verdict = capsys.readouterr().out.splitlines()
    assert float(helps.split()[0]) < 0 < float(declines.split()[0])
    assert verdict.endswith("outcome is b")


def test_own_model_goes_through_the_loop(capsys):
    run_example("own_model.py")
    before, after = capsys.readouterr().out.splitlines()
    assert "What a silly question." in before
    assert "What a silly question." not in after


def run_script(name: str, folder: Path, *arguments: str, **environment: str) -> str:
    """What the script prints, with a `cai` that is this checkout's."""
    command = folder / "bin" / "cai"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{MAIN}' \"$@\"\n", "utf-8")
    command.chmod(0o755)
    ended = subprocess.run(
        ["sh", EXAMPLES / name, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(EXAMPLES.parent / "src"),
            **environment,
        },
        check=True,
        capture_output=True,
        text=True,
    )
    return ended.stdout


def test_the_server_script_leaves_a_run_and_two_files_without_a_prompt_in_both(
    local_server: LocalServer, tmp_path: Path
):
    prompts = str(EXAMPLES / "prompts.jsonl")
    run_script(
        "revise_with_server.sh",
        tmp_path,
        prompts,
        "runs/first",
        MODEL="tiny",
        URL=local_server.url,
    )
    ids = [
        {json.loads(row)["id"] for row in path.read_text("utf-8").splitlines()}
        for path in sorted((tmp_path / "runs/first").glob("*.jsonl"))
    ]
    assert len(ids) == 2
    assert len(ids[0] | ids[1]) == len(ids[0]) + len(ids[1]) == 12


def test_the_long_run_is_estimated_capped_and_exported_whole(
    local_server: LocalServer, tmp_path: Path
):
    """Twelve prompts, a response and two rounds: 60 calls, whatever the estimate asked before."""
    prompts = str(EXAMPLES / "prompts.jsonl")
    model = f"openai:tiny@{local_server.url}"
    shown = run_script("long_run.sh", tmp_path, prompts, "runs/long", MODEL=model)
    assert "the whole run" in shown
    assert "6 done of 6" in shown
    assert len(local_server.received) == 60
    rows = (tmp_path / "runs/long/sft.jsonl").read_text("utf-8").splitlines()
    assert len({json.loads(row)["id"] for row in rows}) == 12


def test_the_mix_has_the_share_of_peoples_rows_that_is_asked_for(tmp_path: Path):
    pairs = str(EXAMPLES / "labelled_pairs.jsonl")
    shown = run_script(
        "mix_with_people.sh", tmp_path, str(EXAMPLES / "prompts.jsonl"), pairs, "runs/mixed"
    )
    assert "40 % of the mix" in shown
    for name, share in (("preference", 0.4), ("sft", 0.27)):
        lines = (tmp_path / f"runs/mixed/{name}.jsonl").read_text("utf-8").splitlines()
        methods = [json.loads(line)["provenance"]["method"] for line in lines]
        assert abs(methods.count("people") - share * len(methods)) < 1
        assert set(methods) == {"judge", "people"}


def test_the_suites_are_put_to_the_policy_and_judged(tmp_path: Path):
    files = [str(EXAMPLES / name) for name in ("suite_sides.csv", "suite_statements.jsonl")]
    shown = run_script("suites.sh", tmp_path, *files, "runs/suites")
    assert "suite_sides, 12 prompts" in shown
    sides, statements = json.loads((tmp_path / "runs/suites/suites/suites.json").read_text())[
        "suites"
    ]
    assert sides["found"]["before"]["refused safe"]["n"] == 5
    assert sides["found"]["before"]["kept: unsafe"]["n"] == 7
    assert statements["found"]["before"]["matching"]["n"] == 6


def test_the_sides_are_the_prompts_of_the_testbed_with_what_is_known_of_them():
    lines = (EXAMPLES / "suite_sides.csv").read_text("utf-8").splitlines()[1:]
    asked = {prompt.id: prompt.request for prompt in prompts_in(EXAMPLES / "prompts.jsonl").read()}
    for line in lines:
        id, text, _, side = line.split(",")
        request = read_request(text)
        assert text == asked.pop(id)
        assert request is not None and (request.harm is not None) == (side == "unsafe")
    assert asked == {}


@pytest.mark.slow  # three commands, each of which loads torch
def test_an_evaluation_is_foretold_made_and_kept(tmp_path: Path):
    prompts = str(EXAMPLES / "prompts.jsonl")
    own = str(EXAMPLES / "own_constitution.yaml")
    shown = run_script("evaluate.sh", tmp_path, prompts, "runs/better", CONSTITUTION=own)
    assert shown.index("The same command without --dry-run") < shown.index("revised against own")
    found = load_results(tmp_path / "runs/better/evaluation/evaluation.json", Evaluation)
    assert [each.name for each in found.policies] == ["own", "revised"]
    assert found.win_rates[0].n == found.n_prompts == 12


def test_the_own_constitution_is_in_order_and_says_what_the_embedded_model_knows():
    constitution = load_constitution(EXAMPLES / "own_constitution.yaml")
    known = {principle.text for principle in load_constitution("testbed").principles}
    assert check_constitution(constitution) == []
    assert {principle.text for principle in constitution.principles} <= known


def test_the_own_prompts_override_the_critique_alone():
    own, base = load_templates(EXAMPLES / "own_prompts"), load_templates("chat")
    assert [step for step in STEPS if own.sources[step] != base.sources[step]] == ["critique"]
    principle = load_constitution("testbed").principles[0]
    asked = own.render("critique", {"principle": principle, "is_minimal": False})
    assert principle.text in asked
    assert own.finds_nothing("Nothing to change.")


def test_the_prompts_are_held_out_requests_of_the_testbed_of_both_kinds():
    path = EXAMPLES / "prompts.jsonl"
    requests = [read_request(prompt.request) for prompt in prompts_in(path).read()]
    assert prompts_in(path).check().summary.n_items == 12
    assert all(request is not None and request.is_held_out for request in requests)
    assert sum(request.harm is not None for request in requests if request) == 7


def test_the_list_of_examples_names_every_file():
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    names = {path.name for path in EXAMPLES.iterdir()} - {"README.md", "__pycache__", "runs"}
    assert [name for name in sorted(names) if f"({name})" not in listed] == []


def test_the_chain_ends_with_a_policy_and_a_second_start_only_finds_it(capsys, in_tmp_path):
    run_example("training/chain.py")
    first = capsys.readouterr().out
    assert first == "3 steps; the policy is hf:runs/chain/grpo\n"
    files = [in_tmp_path / "runs/chain" / name / "model.safetensors" for name in ("sft", "grpo")]
    written = [file.stat().st_mtime_ns for file in files]
    run_example("training/chain.py")
    assert capsys.readouterr().out == first
    assert [file.stat().st_mtime_ns for file in files] == written


@pytest.mark.slow
def test_an_experiment_ends_with_a_table_and_a_plot_and_a_second_start_only_finds_its_figures(
    tmp_path: Path,
):
    few = ["--seeds", "1", "--revised", "12", "--judged", "6", "--measured", "16"]
    folders = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--threads", "1"]
    command = [sys.executable, "-W", "ignore", EXPERIMENTS / "principles.py", *few, *folders]
    first, second = (
        subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(2)
    )
    table = (tmp_path / "out/principles.md").read_text("utf-8")
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == [
        "always no-harm",
        "1 drawn",
        "all 8",
    ]
    assert table in first and first.count("seed 0, ") == 3
    assert table in second and "seed 0" not in second
    assert (tmp_path / "out/principles.png").stat().st_size > 5_000


@pytest.mark.parametrize("name", sorted(path.stem for path in RESULTS.glob("*.md")))
def test_the_page_on_experiments_shows_each_table_and_plot_as_they_were_written(name: str):
    page = (RESULTS.parent / "experiments.md").read_text("utf-8")
    assert (RESULTS / f"{name}.md").read_text("utf-8") in page
    assert f"(experiments/{name}.png)" in page
    assert (RESULTS / f"{name}.png").is_file()
    assert f"examples/experiments/{name}.py" in page
    assert (EXPERIMENTS / f"{name}.py").is_file()
