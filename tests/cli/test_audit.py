"""`cai audit`: the habits of a judge as text and as JSON, its loud lines, and refusals."""

import json
from pathlib import Path

import pytest
from made_verdicts import judge_recipe, judged, judged_run, principle_verdict
from reward_server import CallCai, assert_refused

from cai.engine.run_files import Failure
from cai.engine.run_folder import RunFolder
from cai.methods.settings import JudgeSettings
from cai.runs.config import SampleRunConfig, Source

FAILED = Failure("ContextLengthError", "The request has 3,000 tokens.", False)
JUDGE, OTHER = "openai:gpt-4o@localhost:8000/v1", "claude-3-opus"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Forty pairs; the judge favours length, the first place in ten, and two principles alike."""
    items = [
        judged(
            f"pair-{i}",
            [
                principle_verdict(
                    0.9, 0.3 if i < 10 else 0.8, principle="be-kind", judge=JUDGE, mass=0.9
                ),
                principle_verdict(0.9, 0.8, principle="be-friendly", judge=JUDGE, mass=0.4),
                principle_verdict(0.6, 0.6, principle="be-brief", judge=JUDGE),
            ],
            "a" if i % 2 else "b",
            texts=("a longer text", "a text"),
            models=(JUDGE, OTHER) if i % 2 else (OTHER, OTHER),
        )
        for i in range(40)
    ]
    unread = judged("unread", principle_verdict("unparsed", judge=JUDGE))
    return judged_run(tmp_path / "run", [*items, FAILED, unread], judge_recipe(JUDGE))


def test_the_loud_line_comes_first(call_cai: CallCai, run: Path):
    ended = call_cai("audit", run)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("WARNING: The judge is the policy: openai:gpt-4o@localhost")


def test_the_figures_are_printed(call_cai: CallCai, run: Path):
    """Of 120 readable questions 10 flip; the longer wins 40 of 40, and people take it in 20."""
    out = call_cai("audit", run).out
    rows = [" ".join(line.split()) for line in out.splitlines()]
    longer = rows.index("won by the longer response, in characters 100.0% 91.2–100.0 40")
    assert rows[longer + 1].startswith("by the labels of people 50.0% ")
    (flips,) = [row for row in rows if row.startswith("position flips")]
    assert " 8.3% " in flips
    assert flips.endswith(" 120")
    assert "verdicts: 40 a, 0 b, 0 tie, 0 inconsistent, 1 unparsed, 0 refused, 0 failed" in rows
    redundant = next(row for row in rows if row.startswith("redundant"))
    assert "be-friendly 100.0%" in rows[rows.index(redundant) + 1]
    assert "1 groups failed altogether and are in no figure." in rows
    assert max(map(len, out.splitlines())) <= 80


def test_json_is_one_object(call_cai: CallCai, run: Path):
    ended = call_cai("audit", run, "--json")
    report = json.loads(ended.out)
    assert (ended.code, report["n"], report["n_groups"], report["n_failed"]) == (0, 41, 41, 1)
    assert sum(report["outcomes"].values()) == 41
    assert report["positions"]["n_flips"] == 10
    assert report["readings"]["n_low_mass"] == 80
    assert report["warnings"][0].startswith("The judge is the policy")
    own = {each["relation"]: each["own"] for each in report["ownership"]["self_preference"]}
    assert (own["same"]["share"]["value"], own["same"]["by_people"]["value"]) == (1, 1)


def test_names_out_of_the_data_do_nothing_to_the_terminal(call_cai: CallCai, tmp_path: Path):
    models = ("[red]evil[/red]\x1b[2J", "other")
    items = [judged("1", principle_verdict(0.9), models=models)]
    out = call_cai("audit", judged_run(tmp_path / "run", items)).out
    assert "[red]evil[/red]\\x1b[2J" in out
    assert "\x1b" not in out


def test_the_tie_margin_of_the_run_is_used(call_cai: CallCai, tmp_path: Path):
    """Without the louder principle the other's 0.55 is within 0.1 of one half: a tie."""
    settings = JudgeSettings(tie_margin=0.1)
    items = [
        judged(
            "1",
            [principle_verdict(0.9, principle="loud"), principle_verdict(0.55, principle="soft")],
        )
    ]
    run = judged_run(tmp_path / "run", items, judge_recipe(settings=settings))
    report = json.loads(call_cai("audit", run, "--json").out)
    changed = {
        each["principle_id"]: each["n_changed"] for each in report["principles"]["influences"]
    }
    assert changed == {"loud": 1, "soft": 0}


def test_a_run_of_another_method_is_refused(call_cai: CallCai, tmp_path: Path):
    source = Source(files=("asked.jsonl",), column="prompt", hash="ba9876543210")
    recipe = SampleRunConfig(source=source, policies=(), k=1, seed=0)
    RunFolder.open(tmp_path / "sampled", recipe.model_dump(mode="json"), {}).close()
    ended = call_cai("audit", tmp_path / "sampled")
    assert_refused(ended, "is a run of `cai sample`, and one of `cai judge` is needed")


def test_a_run_without_verdicts_or_no_run_is_refused(call_cai: CallCai, tmp_path: Path):
    run = judged_run(tmp_path / "run", [FAILED])
    said = "no judged matchup to audit, and 1 groups failed"
    assert_refused(call_cai("audit", run), said)
    assert_refused(call_cai("audit", tmp_path / "absent"))
