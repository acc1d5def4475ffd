"""The report of trainings, evaluations and rounds: what it says is what is in the folder."""

import json
import math
from pathlib import Path

from made_findings import evaluation, series, suites, training, truth, win_rate
from reading_pages import Page, read

from cai.evaluation.format import bounds
from cai.evaluation.stats.bootstrap import wilson_estimate
from cai.report.build import write_report
from cai.testbed.truth import OracleTruth

FIGURES = {
    "steps": 20,
    "seconds": 33.6,
    "train": {"loss": 0.0178, "reward": 0.437, "not_scored": 0.125},
    "evaluation": {},
}
WATCHED = [
    {"step": 1, "length": 10.0, "refusals": 0.25, "reward": 0.125, "empty": 0.0},
    {"step": 5, "kl": 0.5},
    {"step": 9, "length": 30.0, "refusals": 0.75, "reward": 0.5, "empty": 0.0, "kl": 40.0},
    {"step": 9, "rule": "length > 2*start", "value": 30.0, "then": "warn"},
]


def report_of(folder: Path) -> Page:
    return read(write_report(folder, truth=OracleTruth()))


def pictures(page: Page) -> list[str]:
    return [attrs["aria-label"] or "" for _, attrs in page.tags if attrs.get("role") == "img"]


def test_a_training_says_from_what_on_what_and_how_it_went(tmp_path: Path):
    page = report_of(
        training(tmp_path / "rl", "grpo", "hf:/home/me/sl", figures=FIGURES, watched=WATCHED)
    )
    assert (
        "rl was trained from hf:sl by group relative policy optimization on 480 rows, 20 steps."
        in page.text
    )
    assert page.row("Figures of the trainer", "loss") == ["0.0178", "–"]
    assert page.row("Settings that were chosen", "learning_rate") == ["0.0005"]
    assert "0.125 → 0.5 mean reward" in page.text
    assert "25.0% → 75.0% responses that decline" in page.text
    assert "time 34 s" in page.text


def test_rules_that_a_training_broke_are_told_loudly_and_drawn(tmp_path: Path):
    page = report_of(training(tmp_path / "rl", "grpo", figures=FIGURES, watched=WATCHED))
    assert "Step 9: the rule “length > 2*start” was broken at 30: a warning." in page.text
    assert page.row("Rules broken", "length > 2*start") == ["9", "30", "warn"]
    (length,) = [words for words in pictures(page) if words.startswith("Words")]
    assert length.endswith("words a response, mean: 10 at step 1, 30 at step 9, limit 20")
    assert "12.5% of the last responses got no reward." in page.text


def test_what_never_changed_is_not_drawn(tmp_path: Path):
    page = report_of(training(tmp_path / "rl", "grpo", figures=FIGURES, watched=WATCHED))
    drawn = [words.partition(".")[0] for words in pictures(page)]
    assert drawn == ["Reward", "KL from the reference", "Words", "Refusals"]


def test_a_training_that_was_killed_has_no_figures_and_its_half_line_is_left_out(tmp_path: Path):
    folder = training(tmp_path / "rl", "grpo", watched=WATCHED[:2])
    with (folder / "watch.jsonl").open("a") as file:
        file.write('{"step": 9, "len')
    page = report_of(folder)
    assert "This training is not finished" in page.text
    assert "Figures of the trainer" not in page.tables
    assert "time not known" in page.text


def test_a_reward_model_is_told_by_its_pairs_held_out(tmp_path: Path):
    held_out = {"all": {"n": 32, "accuracy": 0.90625, "calibration_error": 0.0097}}
    page = report_of(
        training(tmp_path / "reward", "reward", figures={**FIGURES, "held_out": held_out})
    )
    assert "90.6% accuracy on pairs held out of this training's model, n = 32" in page.text
    assert "Only 32 pairs held out: the accuracy may be chance." in page.text


def write_log(folder: Path, *losses: tuple[int, float]) -> None:
    """As transformers writes it, beside figures that are not drawn and a loss that cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    history = [{"step": step, "loss": loss, "epoch": 0.5} for step, loss in losses]
    state = {
        "log_history": [*history, {"step": 301, "loss": math.nan}, {"step": 301, "runtime": 2}]
    }
    (folder / "trainer_state.json").write_text(json.dumps(state), "utf-8")


def test_the_loss_of_a_finished_training_is_drawn_from_its_log(tmp_path: Path):
    folder = training(tmp_path / "sl", figures=FIGURES)
    write_log(folder / "checkpoints" / "checkpoint-20", (10, 2.5), (20, 1.25))
    write_log(folder / "checkpoints", (10, 2.5), (20, 1.25), (300, 0.5))
    (words,) = pictures(report_of(folder))
    assert words == "Loss. loss: 2.5 at step 10, 0.5 at step 300"


def test_the_loss_of_an_unfinished_training_is_drawn_up_to_its_last_checkpoint(tmp_path: Path):
    folder = training(tmp_path / "sl")
    write_log(folder / "checkpoints" / "checkpoint-10", (5, 3.5), (10, 2.5))
    write_log(folder / "checkpoints" / "checkpoint-20", (5, 3.5), (10, 2.5), (20, 1.25))
    (words,) = pictures(report_of(folder))
    assert words == "Loss. loss: 3.5 at step 5, 1.25 at step 20"


RATES = (
    win_rate("SL", "start", 81, 19, level=0.78, unread=10),
    win_rate("RL", "SL", 52, 48, level=0.45),
)


def test_an_evaluation_says_who_wins_and_how_sure_that_is(tmp_path: Path):
    page = report_of(evaluation(tmp_path / "eval", *RATES))
    assert "start, SL and RL responded to 100 prompts, compared by openai:judge at" in page.text
    worked = page.text.partition("Did it work?")[2]
    assert worked.startswith(
        " 81.0% (76.0–86.0 %) matches that SL wins against start (better beyond chance), n = 100"
    )
    assert "52.0% (47.0–57.0 %) matches that RL wins against SL (no difference" in worked


def test_the_tables_of_an_evaluation_are_its_figures(tmp_path: Path):
    page = report_of(evaluation(tmp_path / "eval", *RATES))
    assert page.row("Win rates", "SL against start") == [
        *("110", "110", "81.0% (76.0–86.0)", "78.0% (73.0–83.0)", "81.0% (76.0–86.0)", "60.0%")
    ]
    assert page.row("How the matches ended", "SL against start") == ["81", "19", "10"]
    ratings = "Ratings, in points of Elo above the anchor"
    assert page.row(ratings, "SL") == ["200", "+251 (+210 to +295)"]
    assert page.row(ratings, "start")[1] == "0"
    assert page.row(ratings, "RL")[1] == "–"
    assert page.row("What the responses are like on harmful prompts", "RL")[1:3] == [
        *("30.0% (25.0–35.0)", "10.0% (5.0–15.0)")
    ]
    assert page.row("Adherence on all prompts", "no-harm")[0] == "30.0% (25.0–35.0)"


def test_what_an_evaluation_leaves_in_doubt_is_said(tmp_path: Path):
    caveat = "The judge is of the same family as SL."
    page = report_of(evaluation(tmp_path / "eval", *RATES, caveats=[caveat]))
    doubts = page.text.partition("What to distrust")[2]
    assert doubts.startswith(f" {caveat}")
    assert "9.1% of the matches of SL against start could not be read." in doubts
    assert "Length decides: RL wins 52.0% as judged, and would win 45.0% at equal length." in doubts
    assert "2 checks of SL could not be read" in doubts
    assert "RL declines more of the benign prompts: 30.0%, not 10.0%." in doubts
    assert "SL declines more" not in doubts


def test_an_evaluation_without_a_judge_tells_conduct(tmp_path: Path):
    page = report_of(evaluation(tmp_path / "eval"))
    assert (
        "10.0% → 20.0% → 30.0% (25.0–35.0 %) responses that decline on harmful prompts, "
        "start → SL → RL, n = 200 each" in page.text
    )
    assert "Win rates" not in page.tables


def test_no_path_of_the_machine_is_in_a_report(tmp_path: Path):
    page = report_of(evaluation(tmp_path / "eval", *RATES))
    assert "somebody" not in page.text
    assert str(tmp_path) not in page.text


def test_rounds_say_which_is_the_best_and_which_rules_were_broken(tmp_path: Path):
    page = report_of(series(tmp_path / "tries"))
    assert "3 of 5 rounds of training on the judge's labels" in page.text
    assert "Ended after round 3, which broke a rule." in page.text
    worked = page.text.partition("Did it work?")[2]
    assert worked.startswith(" round 2 is the best of 4 by the frozen judge")
    assert "80.0% (75.0–85.0 %) matches that round 2 wins against round 0" in worked
    assert "55.0% (50.0–60.0 %) matches that round 3 wins against round 0" in worked
    doubts = page.text.partition("What to distrust")[2]
    assert doubts.startswith(" Round 3: length is 64, above 3 × its start.")
    assert "The last round is not the best: round 2 is." in doubts
    assert "judge_gap: there is no judge before round 1" in doubts
    assert "In round 3 no verdict would change without give-reasons." in doubts


def test_the_drift_of_rounds_is_in_tables_and_lines(tmp_path: Path):
    page = report_of(series(tmp_path / "tries"))
    assert page.row("Drift, by round (95 %)", "length: words a response, mean") == [
        *("20 (19 to 21)", "24 (23 to 25)", "31 (30 to 32)", "64 (63 to 65)")
    ]
    assert page.row("The rounds", "round 3")[:3] == ["round 2", "roll back", "1"]
    drawn = {words.partition(".")[0]: words for words in pictures(page)}
    assert "round 0 +0, round 1 +70, round 2 +241, round 3 +35" in drawn["Ratings over rounds"]
    length = drawn["length: words a response, mean"]
    assert "round 0 20, round 1 24, round 2 31, round 3 64" in length
    assert length.endswith("broken in round 3: length is 64, above 3 × its start.")
    assert "round 0: no-harm 40.0%" in drawn["Adherence, first and last round"]


def test_the_limits_of_rules_are_drawn_where_the_series_says_them(tmp_path: Path):
    """Twice round 0's 20 is 40; a rule against the round before has no one limit."""
    folder = series(tmp_path / "tries")
    rules = ["length > 2*start then stop", "length > last+10", "length < 5"]
    (folder / "rounds.yaml").write_text(json.dumps({"rules": rules}), "utf-8")
    (length,) = [words for words in pictures(report_of(folder)) if words.startswith("length")]
    assert "; limit 40 by the rule length > 2*start then stop; limit 5 by the rule length" in length
    assert "last+10" not in length
    (folder / "rounds.yaml").write_text("rules: [nothing > 3]", "utf-8")
    (length,) = [words for words in pictures(report_of(folder)) if words.startswith("length")]
    assert "limit" not in length


def test_without_rules_of_their_own_rounds_have_the_usual_limits(tmp_path: Path):
    folder = series(tmp_path / "tries")
    (folder / "rounds.yaml").write_text("rules: null", "utf-8")
    (length,) = [words for words in pictures(report_of(folder)) if words.startswith("length")]
    assert "; limit 40 by the rule length > 2*start then stop; limit 8 by the rule" in length


def test_suites_are_told_with_their_differences(tmp_path: Path):
    page = report_of(suites(tmp_path / "suites"))
    assert "start and RL were evaluated on hhh, judged by openai:judge at h." in page.text
    assert "+0.160 (0.11 to 0.21) hhh: answered right, last policy less first, n = 221" in page.text
    assert page.row("Suite hhh, 221 cases", "answered right") == [
        *("0.5 (0.45 to 0.55)", "0.66 (0.61 to 0.71)", "0.16 (0.11 to 0.21)")
    ]
    assert "3 examples failed and are in no figure." in page.text


def test_what_rounds_cost_is_unknown_where_a_price_is(tmp_path: Path):
    page = report_of(series(tmp_path / "tries"))
    assert "dollars not known for every model" in page.text
    assert "time 4 min 00 s" in page.text


def test_policies_are_told_against_the_truth_with_what_became_worse(tmp_path: Path):
    """Of 300 harmful and 200 harmless requests; one share could not be measured."""
    page = report_of(
        truth(tmp_path / "t", ("start", 0.9, 0.85), ("SL", 0.3, 0.6), ("RL", 0.2, 0.5))
    )
    worked = page.text.partition("Did it work?")[2]
    interval = bounds(wilson_estimate(60, 300))
    assert worked.startswith(
        f" 90.0% → 30.0% → 20.0% ({interval} %) harmful requests that a policy"
    )
    assert "start → SL → RL, n = 300 each" in worked
    doubts = page.text.partition("What to distrust")[2]
    assert doubts.startswith(" Harmless requests are helped with less than before: 85.0% → 50.0%.")
    intervals = [bounds(wilson_estimate(n, 300)) for n in (150, 30, 0)]
    assert page.row("What each policy does", "SL")[1:4] == [
        f"{share} ({interval})"
        for share, interval in zip(("50.0%", "10.0%", "0.0%"), intervals, strict=True)
    ]


def test_what_became_better_is_no_doubt(tmp_path: Path):
    page = report_of(truth(tmp_path / "t", ("start", 0.9, 0.85), ("RL", 0.2, 0.86)))
    assert "than before" not in page.text
