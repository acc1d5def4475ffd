"""The monitor: its history, its file, what it says of broken rules, and going on after a break."""

import json
from pathlib import Path

import pytest

from cai.errors import TrainingError
from cai.evaluation.policies.text_metrics import ResponseBatch
from cai.training.monitor.monitor import FILE, TrainingMonitor, parse_rule, trainer_figures

STOP = parse_rule("kl > 10 then stop")
WARN = parse_rule("length > 2*start")


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / FILE).read_text("utf-8").splitlines()]


def test_figures_are_kept_by_step_and_as_json_lines(tmp_path: Path):
    monitor = TrainingMonitor(tmp_path / "out", [])
    figures = monitor.observe(3, ResponseBatch("ab", ["Turn the key.", "Wash it."]))
    monitor.record(4, {"kl": 0.5})
    assert figures["length"] == 2.5
    assert monitor.history == [(3, figures), (4, {"kl": 0.5})]
    assert lines(tmp_path / "out") == [{"step": 3, **figures}, {"step": 4, "kl": 0.5}]


def test_a_rule_that_stops_says_rule_value_and_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    monitor = TrainingMonitor(tmp_path, [STOP])
    monitor.record(1, {"kl": 2.0})
    assert monitor.stop is None
    monitor.record(2, {"kl": 12.5})
    assert monitor.stop is not None
    line = "Step 2: kl is 12.5 (rule 'kl > 10 then stop'). The run stops here."
    assert monitor.stop.line == line
    assert [record.getMessage() for record in caplog.records] == [line]
    assert lines(tmp_path)[-1] == {"step": 2, "rule": STOP.text, "value": 12.5, "then": "stop"}


def test_a_warning_says_its_limit_and_comes_once_until_the_metric_was_back():
    monitor = TrainingMonitor(None, [WARN])
    found = [
        monitor.record(step, {"length": value}) for step, value in enumerate([5, 11, 12, 9, 13])
    ]
    assert [len(broken) for broken in found] == [0, 1, 0, 0, 1]
    assert [broken.step for broken in monitor.broken] == [1, 4]
    assert monitor.stop is None
    assert monitor.broken[0].line == (
        "Step 1: length is 11 (rule 'length > 2*start', limit 10). A warning; the run goes on."
    )


def test_a_value_that_is_no_number_is_no_figure(tmp_path: Path):
    monitor = TrainingMonitor(tmp_path, [STOP])
    monitor.record(1, {"kl": float("nan")})
    assert monitor.history == []
    assert not (tmp_path / FILE).exists()


def test_a_resumed_run_has_the_start_of_the_first(tmp_path: Path):
    first = TrainingMonitor(tmp_path, [WARN])
    first.begin(0)
    for step, length in ((1, 10.0), (2, 11.0), (3, 30.0)):
        first.record(step, {"length": length})
    again = TrainingMonitor(tmp_path, [WARN])
    again.begin(2)
    assert again.history == [(1, {"length": 10.0}), (2, {"length": 11.0})]
    assert [entry["step"] for entry in lines(tmp_path)] == [1, 2]
    assert len(again.record(3, {"length": 21.0})) == 1


def test_a_resumed_run_is_not_stopped_by_what_stopped_it_before(tmp_path: Path):
    first = TrainingMonitor(tmp_path, [STOP])
    first.record(1, {"kl": 12.0})
    assert first.stop is not None
    again = TrainingMonitor(tmp_path, [STOP])
    again.begin(1)
    assert again.record(2, {"kl": 13.0}) == []
    assert again.stop is None


def test_a_new_run_in_an_old_folder_begins_its_file_anew(tmp_path: Path):
    TrainingMonitor(tmp_path, []).record(1, {"length": 10.0})
    monitor = TrainingMonitor(tmp_path, [])
    monitor.begin(0)
    assert monitor.history == []
    assert lines(tmp_path) == []


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path):
    (tmp_path / FILE).write_text('{"step": 1, "length": 10.0}\n{"step": 2, "len', "utf-8")
    monitor = TrainingMonitor(tmp_path, [])
    monitor.begin(5)
    assert monitor.history == [(1, {"length": 10.0})]


def test_a_process_that_does_not_write_reads_and_watches_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    TrainingMonitor(tmp_path, []).record(1, {"kl": 1.0})
    other = TrainingMonitor(tmp_path, [STOP])
    other.begin(1, is_writing=False)
    assert len(other.record(2, {"kl": 11.0})) == 1
    assert lines(tmp_path) == [{"step": 1, "kl": 1.0}]
    assert caplog.records == []


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(TrainingError, match=r"watch\.jsonl: cannot be written"):
        TrainingMonitor(tmp_path / "file", []).record(1, {"kl": 1.0})
    with pytest.raises(TrainingError, match=r"watch\.jsonl: cannot be written"):
        TrainingMonitor(tmp_path / "file", []).begin(0)


def test_the_trainers_kl_per_token_becomes_nats_a_response():
    """0.1 nats a token over 20 tokens: 2 nats."""
    logs = {"loss": 0.1, "kl": 0.1, "completions/mean_length": 20.0, "entropy": 0.7, "reward": None}
    assert trainer_figures(logs) == {"kl": pytest.approx(2), "entropy": 0.7}
