"""A series killed again and again, between steps and within them, finds the same as a whole one."""

import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from series import run_series, write_series
from serving import start_cai

from cai.evaluation.kept import kept
from cai.models.opening import embedded_folder
from cai.rounds.found import FILE, RoundFound, Series

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (embedded_folder() / "model.safetensors").is_file(),
        reason="the embedded model's weights are not in this checkout",
    ),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning"),
]
N_KILLS = 6


def test_a_series_that_is_killed_goes_on_to_the_same_figures(tmp_path: Path):
    path = write_series(tmp_path / "recipe")
    began_s = time.monotonic()
    whole = run_series(path, tmp_path / "whole")
    length_s = time.monotonic() - began_s
    rng, n_rounds = random.Random(0), set[int]()
    for _ in range(N_KILLS):
        process = start_cai("rounds", path, "-o", tmp_path / "out", folder=tmp_path)
        time.sleep(4 + rng.random() * length_s)  # what it takes to begin, and some of the work
        process.send_signal(signal.SIGKILL)
        process.communicate()
        n_rounds.add(_n_done(tmp_path / "out"))
    process = start_cai("rounds", path, "-o", tmp_path / "out", folder=tmp_path)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert len(n_rounds) > 1, "some kills came before others' work"
    found = kept(tmp_path / "out" / FILE, Series)
    assert [_told(each) for each in found.rounds] == [_told(each) for each in whole.rounds]
    assert found.ratings == whole.ratings


def _n_done(out: Path) -> int:
    return len(kept(out / FILE, Series).rounds) if (out / FILE).exists() else 0


def _told(found: RoundFound) -> RoundFound:
    """Without where it lies and how long it took."""
    return replace(found, policy="", seconds=0.0)
