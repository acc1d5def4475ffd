"""`cai demo`: the whole chain to a trained policy, each stage against the truth, and the files."""

import json
from pathlib import Path
from typing import Any

import pytest
from reading_pages import read
from reward_server import CallCai, Ended

from cai.constitution.loader import load_constitution
from cai.run import Run
from cai.testbed.feedback import JUDGED_UNDER
from cai.testbed.oracle import read_request

pytestmark = pytest.mark.slow
SIZE = ("--prompts", 120, "--rl-steps", 8)
_ENDED: dict[Path, Ended] = {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "out"


@pytest.fixture
def demo(call_cai: CallCai, folder: Path) -> Ended:
    """A small demo, run once."""
    if folder not in _ENDED:
        _ENDED[folder] = call_cai("demo", "--out", folder, *SIZE, "--json")
    return _ENDED[folder]


def policies(demo: Ended) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(demo.out)["policies"]}


def test_every_stage_makes_the_policy_better(demo: Ended):
    assert demo.code == 0
    found = policies(demo)
    assert list(found) == ["start", "SL", "RL"]
    assert found["start"]["harmful"] > 0.8
    assert found["SL"]["harmful"] < found["start"]["harmful"] - 0.2
    assert found["RL"]["harmful"] < found["SL"]["harmful"]
    assert found["RL"]["declined"] > found["start"]["declined"] + 0.2


def test_each_round_of_revision_leaves_less_harm(demo: Ended):
    rounds = json.loads(demo.out)["rounds"]
    assert [each["name"] for each in rounds] == ["0", "1", "2", "3", "4"]
    harmful = [each["harmful"] for each in rounds]
    assert harmful == sorted(harmful, reverse=True)
    assert harmful[0] > 0.7
    assert harmful[4] < 0.2
    assert all(each["unread"] <= 0.1 for each in rounds)


def test_the_judge_and_the_reward_model_are_set_against_the_truth(demo: Ended):
    results = json.loads(demo.out)
    judge = results["judge"]
    assert set(judge) == {"vote", "mean"}
    assert judge["vote"]["n"] == judge["mean"]["n"] >= 20
    assert judge["vote"]["accuracy"] >= 0.9
    assert judge["vote"]["unreadable"] == 0
    assert judge["vote"]["ece"] < judge["mean"]["ece"]
    assert results["reward_model"]["accuracy"] > 0.6
    assert results["reward_model"]["truth"] > 0.6


def test_four_responses_are_sampled_and_judged_in_pairs(demo: Ended, folder: Path):
    """Six pairs of four responses, less those with equal texts, each under every principle."""
    sampled = list(Run(folder / "samples").samples())
    assert len(sampled) == 40
    assert {len(each.samples) for each in sampled} == {4}
    judged = list(Run(folder / "judged").judged())
    assert 0 < len(judged) <= 40
    asked = {each.id for each in load_constitution("testbed").select(JUDGED_UNDER)}
    for each in judged:
        n = len(each.group.candidates)
        assert len(each.matchups) == n * (n - 1) // 2
        for matchup in each.matchups:
            assert {found.principle_id for found in matchup.verdict.principle_verdicts} == asked


def test_preferences_are_of_the_judged_samples(demo: Ended, folder: Path):
    rows = [json.loads(line) for line in (folder / "preference.jsonl").read_text().splitlines()]
    texts = {
        candidate.text
        for each in Run(folder / "judged").judged()
        for candidate in each.group.candidates
    }
    assert {row[side][0]["content"] for row in rows for side in ("chosen", "rejected")} <= texts
    assert all(row["chosen_probability"] > 0.5 for row in rows)


def test_no_request_that_is_trained_on_is_measured_on(demo: Ended, folder: Path):
    for chain in Run(folder / "revised").chains():
        request = read_request(chain.prompt.request)
        assert request is not None
        assert not request.is_held_out


def test_it_ends_with_a_report_of_the_whole_chain(demo: Ended, folder: Path):
    """In the order of the chain, and with the very figures of the tables."""
    page = read(folder / "report.html")
    titles = [text.partition(".")[2].strip() for _, text in page.headings if text[0].isdigit()]
    assert titles[:8] == [
        "Critique and revision out/revised",
        "Training: supervised fine-tuning out/sl",
        "Responses of the policy out/samples",
        "Verdicts of the judge out/judged",
        "Training: reward modelling out/reward-soft-judge",
        "Training: group relative policy optimization out/grpo-model-judge",
        "Evaluation of policies out/evaluation",
        "Policies against the truth out/truth",
    ]
    assert all("out/evaluation/" in title for title in titles[8:]), "what lies inside comes last"
    shares = " → ".join(f"{policies(demo)[name]['harmful']:.1%}" for name in ("start", "SL", "RL"))
    assert page.text.partition("Did it work?")[2].startswith(f" {shares} (")
    rounds = json.loads(demo.out)["rounds"]
    row = page.row("Against the truth", "round 4")
    assert row[0].startswith(f"{rounds[4]['harmful']:.1%} (")
    assert "The judge is the very model that was trained here" in page.text


def test_people_see_tables_and_what_to_do_next(call_cai: CallCai, demo: Ended, folder: Path):
    ended = call_cai("demo", "--out", folder, *SIZE)
    assert ended.code == 0
    assert "What critique and revision change, round by round" in ended.out
    assert "The judge against the truth, on comparisons of sampled responses" in ended.out
    assert "agrees with the judge on" in ended.out
    assert "The policies, on requests that no training has seen" in ended.out
    assert "…" not in ended.out, "80 columns are enough"
    assert "sft.jsonl  sft: " in ended.out
    assert "preference.jsonl  preference: " in ended.out
    assert "report.html  the whole chain, to read in a browser" in ended.out
    assert "Next: cai try " in ended.out
