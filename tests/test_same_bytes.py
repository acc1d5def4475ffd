"""Judgements of the embedded model are the same bytes at any concurrency and number of threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PAIRS = Path(__file__).parents[1] / "examples" / "labelled_pairs.jsonl"


def exported(folder: Path, concurrency: int, n_threads: int) -> bytes:
    """The preferences of six pairs under five principles, judged in a process of its own."""
    run, rows = folder / "run", folder / "rows.jsonl"
    judging = ["judge", PAIRS, "-c", "testbed", "--tag", "specific", "-m", "embedded",
               "--limit", 6, "--concurrency", concurrency, "-o", run]  # fmt: skip
    for command in (judging, ["export", run, "--format", "everything", "-o", rows]):
        subprocess.run(
            [sys.executable, "-c", "from cai.cli.main import main; main()", *map(str, command)],
            env={**os.environ, "OMP_NUM_THREADS": str(n_threads)},
            check=True,
            capture_output=True,
        )
    return rows.read_bytes()


@pytest.mark.slow
def test_exports_are_the_same_bytes_at_any_concurrency_and_with_any_threads(tmp_path: Path):
    settings = [(1, 1), (5, 1), (64, 1), (64, 2)]
    files = {each: exported(tmp_path / f"{each[0]}-{each[1]}", *each) for each in settings}
    assert files[1, 1].count(b"\n") == 6
    assert len(set(files.values())) == 1
