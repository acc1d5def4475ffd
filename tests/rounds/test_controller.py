"""Series on the embedded model: going on, stopping, rolling back, asking, and what is refused."""

import shutil
from pathlib import Path

import pytest
from reward_server import CallCai
from small_rounds import SETTINGS, run_series, told, write_series

from cai.engine.run_folder import RunFolder
from cai.errors import TrainingError, UsageError
from cai.evaluation.results_file import load_results
from cai.rounds.config import load_rounds
from cai.rounds.state import FILE, Series, begin
from cai.runs.config import JudgeRunConfig, run_config_as
from cai.runs.judged import composer_of, read_judged

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Series]:
    """Two rounds: the recipe, the folder, and what was found."""
    folder = tmp_path_factory.mktemp("series")
    path = write_series(folder / "recipe")
    return path, folder / "out", run_series(path, folder / "out")


def test_every_round_is_measured_against_the_anchors(done: tuple[Path, Path, Series]):
    _, out, series = done
    assert [each.number for each in series.rounds] == [0, 1, 2]
    assert series.ended == "All 2 rounds are done."
    first, second = series.rounds[0], series.rounds[1]
    assert second.policy == f"hf:{out}/round-1/steps/dpo"
    assert {"length", "distinct_2", "refusals/benign", "entropy", "agreement"} <= set(first.figures)
    assert first.figures["kl_start"].value == 0
    assert second.figures["kl_start"].value == second.figures["kl_last"].value
    assert set(second.figures) | set(second.missing) >= set(series.metrics)
    assert set(series.rounds[2].adherence) == {"no-harm", "wrong-nobody", "refuse-misdeeds"}
    assert "judge_gap" in second.missing, "the judge is the frozen one"
    assert [each.policy for each in series.ratings] == ["round 0", "round 1", "round 2"]
    assert load_results(out / FILE, Series) == series


def test_the_same_call_again_does_nothing_and_says_the_same(done: tuple[Path, Path, Series]):
    path, out, series = done
    weights = out / "round-2" / "steps" / "dpo" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert run_series(path, out) == series
    assert weights.stat().st_mtime_ns == before


def test_another_series_is_refused_in_the_same_folder(
    done: tuple[Path, Path, Series], tmp_path: Path
):
    _, out, _ = done
    other = write_series(tmp_path, seed=7)
    with pytest.raises(UsageError, match=r"another prompts, seed, anchors|another .*seed"):
        run_series(other, out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    with pytest.raises(UsageError, match="is not empty, and not a series"):
        run_series(other, tmp_path / "full")


def test_a_round_that_failed_half_way_leaves_no_figures_and_goes_on(tmp_path: Path):
    path, out = write_series(tmp_path / "recipe", rounds=1), tmp_path / "out"
    whole = run_series(path, tmp_path / "whole")
    begin(load_rounds(path), out)
    run = out / "round-1" / "steps" / "dpo"
    run.mkdir(parents=True)
    (run / "letter.txt").write_text("somebody's")
    with pytest.raises(TrainingError, match="not the folder of a training"):
        run_series(path, out)
    assert [each.number for each in load_results(out / FILE, Series).rounds] == [0]
    shutil.rmtree(run)
    series = run_series(path, out)
    assert len(series.rounds) == 2
    assert told(series) == told(whole)


def test_a_rule_rolls_back_to_the_best_round_and_twice_in_a_row_ends(tmp_path: Path):
    rules = ["length > 0.1*start then roll back"]
    path = write_series(tmp_path / "recipe", rounds=3, rules=rules)
    series = run_series(path, tmp_path / "out")
    assert [each.decision for each in series.rounds] == ["go on", "roll back", "roll back"]
    assert [each.from_round for each in series.rounds] == [0, 0, 0]
    assert series.rounds[2].parent == 0
    assert series.ended.startswith("Two rounds in a row were rolled back")


def test_a_rule_stops_before_the_first_training(tmp_path: Path):
    path = write_series(tmp_path / "recipe", rules=["length > 1 then stop"])
    series = run_series(path, tmp_path / "out")
    assert len(series.rounds) == 1
    assert series.ended.startswith("Round 0 ends the series by its rules: length is")
    again = run_series(path, tmp_path / "out")
    assert len(again.rounds) == 1
    on = run_series(path, tmp_path / "out", "go on")
    assert [each.decision for each in on.rounds] == ["go on", "stop"]


def test_a_rule_asks_and_the_answer_is_kept(tmp_path: Path, call_cai: CallCai):
    path = write_series(tmp_path / "recipe", rules=["length > 0.1*start then ask"])
    asked = call_cai("rounds", path, "-o", tmp_path / "out")
    assert asked.code == 0
    assert "Round 1 needs a decision" in asked.out
    assert not (tmp_path / "out" / "round-2").exists()
    again = call_cai("rounds", path, "-o", tmp_path / "out")
    assert "Round 1 needs a decision" in again.out
    on = call_cai("rounds", path, "-o", tmp_path / "out", "--decide", "go on")
    assert "Round 2 needs a decision" in on.out
    series = load_results(tmp_path / "out" / FILE, Series)
    assert [each.decision for each in series.rounds] == ["go on", "go on", "ask"]
    ended = call_cai("rounds", path, "-o", tmp_path / "out", "--decide", "stop")
    assert "Round 2 ends the series" in ended.out


def test_more_rounds_may_be_asked_for(tmp_path: Path):
    path = write_series(tmp_path / "recipe", rounds=1)
    assert len(run_series(path, tmp_path / "out").rounds) == 2
    longer = write_series(tmp_path / "recipe", rounds=2)
    assert len(run_series(longer, tmp_path / "out").rounds) == 3


def test_policy_and_a_fixed_model_judge_together_and_peoples_pairs_are_mixed_in(tmp_path: Path):
    train = [{"dpo": {"settings": SETTINGS, "eval_share": 0.0, "mix": ["people.jsonl:count=3"]}}]
    round = {"models": {"judge": "policy"}, "jury": ["embedded"], "train": train}
    path = write_series(tmp_path / "recipe", round=round, per_round=12)
    series = run_series(path, tmp_path / "out")
    assert series.rounds[2].judges == (series.rounds[1].policy, "embedded")
    with RunFolder.existing(tmp_path / "out" / "round-2" / "steps" / "judge") as run:
        recipe = run_config_as(run, JudgeRunConfig)
        judged = [body for _, body in read_judged(run, composer_of([run]))]
    names = {each.model for each in recipe.judges}
    assert len(names) == 2
    for each in judged:
        said = {one.judge for one in each.matchups[0].verdict.principle_verdicts}
        assert said == names, "both judge every pair"
    card = (tmp_path / "out" / "round-2" / "steps" / "dpo" / "README.md").read_text("utf-8")
    assert "people.jsonl" in card
