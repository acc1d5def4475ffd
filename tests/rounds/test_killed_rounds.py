"""A series killed again and again, between steps and within them, finds the same as a whole one."""

import signal
import time
from pathlib import Path

import pytest
from reward_server import start_cai
from small_rounds import run_series, told, write_series

from cai.evaluation.results_file import load_results
from cai.rounds.state import FILE, Series

pytestmark = pytest.mark.slow
MOMENTS = (
    "round-0/anchors/people/run.yaml",
    "round-1/prompts.jsonl",
    "round-1/steps/judge/run.yaml",
    "round-1/steps/dpo/training.yaml",
    "round-1/anchors/adherence/run.yaml",
    "round-2/steps/sample/run.yaml",
)
"""What has just come into being when the process is killed."""


def test_a_series_that_is_killed_goes_on_to_the_same_figures(tmp_path: Path):
    path, out = write_series(tmp_path / "recipe"), tmp_path / "out"
    whole = run_series(path, tmp_path / "whole")
    for moment in MOMENTS:
        process = start_cai("rounds", path, "-o", out, folder=tmp_path)
        while not (out / moment).exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (out / FILE).exists() or len(load_results(out / FILE, Series).rounds) < 3
    process = start_cai("rounds", path, "-o", out, folder=tmp_path)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert told(load_results(out / FILE, Series)) == told(whole)
