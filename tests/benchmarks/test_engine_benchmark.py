"""The benchmark of the engine, on a small job: every part gives its table, and cai does the job."""

import subprocess
import sys
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "benchmarks" / "engine"
SMALL = ["--slots", "4", "--prompts", "20", "--many", "40", "--mean-ms", "10"]


def tables(*parts: str) -> list[list[dict[str, str]]]:
    """What the benchmark prints for these parts: for each table its rows, by column."""
    command = [sys.executable, str(ENGINE), *SMALL, "--parts", *parts]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found: list[list[dict[str, str]]] = []
    lines = [line for line in ended.stdout.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    for i, row in enumerate(cells):
        if set(row) == {"---"}:
            head = cells[i - 1]
            found.append([])
        elif i + 1 == len(cells) or set(cells[i + 1]) != {"---"}:
            found[-1].append(dict(zip(head, row, strict=True)))
    return found


@pytest.mark.slow
def test_cai_and_the_bare_client_do_the_same_job():
    (rows,) = tables("speed")
    assert [row["client"] for row in rows] == ["bare sockets", "bare, chain by chain", "cai"]
    for row in rows:
        assert row["rows complete"] == "100.0 %"
        assert row["paid twice"] == "0"
        assert 0 < float(row["slots' time used"]) <= 1
        assert float(row["CPU ms a call"]) > 0


@pytest.mark.slow
def test_memory_is_told_for_both_sizes_and_a_finished_run_makes_no_call():
    memory, again = tables("memory", "again")
    assert [row["prompts"] for row in memory] == ["20", "40"]
    assert all(float(row["peak MB"]) > 10 for row in memory)
    assert [row["calls made"] for row in again] == [str(20 * 9), "0"]
    assert [row["rows complete"] for row in again] == ["100.0 %"] * 2
