"""A small sample of each series of random bad input: no traceback, no hang, nothing silent."""

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz"


@pytest.mark.parametrize(
    ("part", "share"),
    [
        ("constitutions", 0.003),
        ("data_sources", 0.03),
        ("template_sets", 0.01),
        ("journals", 0.04),
        ("servers", 0.6),
        ("reward_requests", 0.05),
    ],
)
def test_a_sample_has_no_faults(part: str, share: float):
    command = [sys.executable, str(FUZZ), part, "--share", str(share), "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| 0 | 0 | 0 |" in done.stdout
