"""Published data sets, which are beside the checkout; where one is not, its tests are skipped."""

import csv
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2].parent / "shared" / "data"
BAD_INPUTS = DATA / "bad_inputs"
HARMLESS = DATA / "hh-rlhf" / "harmless-base.test.even.jsonl"  # 500 dialogues of red teams

needs_dialogues = pytest.mark.skipif(
    not HARMLESS.is_file(), reason="the red-team dialogues are not here"
)


def data_file(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"shared/data/{name} is not here")
    return path


def bad_inputs(kind: str) -> list[dict[str, str]]:
    """What the collection of bad inputs says of its files of that kind; empty where it is not."""
    manifest = BAD_INPUTS / "manifest.csv"
    if not manifest.exists():
        return []
    with manifest.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["kind"] == kind]
