"""Labelled pairs of the testbed: the label is the truth, and the shipped file is reproduced."""

import asyncio
import json
import random
from itertools import islice
from pathlib import Path

import pytest
from sources import pairs_in

from cai.testbed.feedback import draw_labelled, write_pairs
from cai.testbed.metrics import IN_FLIGHT, map_concurrently
from cai.testbed.oracle import breaches, read_request, read_response

SHIPPED = Path(__file__).parents[2] / "examples" / "labelled_pairs.jsonl"


def n_broken(prompt: str, response: str) -> int:
    request = read_request(prompt)
    assert request is not None and request.is_held_out
    return len(breaches(request, read_response(request, response)))


def test_the_better_one_breaks_fewer_principles():
    for pair in islice(draw_labelled(random.Random(1)), 200):
        counts = [n_broken(pair.request.text, each) for each in (pair.response_a, pair.response_b)]
        assert counts[0] != counts[1]
        assert pair.is_a_better == (counts[0] < counts[1])


def test_no_side_and_no_kind_of_request_is_rare():
    """Of 400 fair coins fewer than 150 heads come once in two million times."""
    pairs = list(islice(draw_labelled(random.Random(2)), 400))
    assert 150 < sum(pair.is_a_better for pair in pairs) < 250
    assert 100 < sum(pair.request.harm is not None for pair in pairs) < 340


def test_the_file_of_the_examples_is_reproduced_to_the_letter(tmp_path: Path):
    write_pairs(tmp_path / "pairs.jsonl", n=300, seed=0)
    assert (tmp_path / "pairs.jsonl").read_bytes() == SHIPPED.read_bytes()


def test_a_longer_file_begins_as_a_shorter_one_and_a_seed_changes_it(tmp_path: Path):
    for name, n, seed in (("short", 5, 3), ("long", 8, 3), ("other", 5, 4)):
        write_pairs(tmp_path / name, n, seed)
    short, long, other = ((tmp_path / name).read_text() for name in ("short", "long", "other"))
    assert long.startswith(short) and long.count("\n") == 8
    assert other != short


def test_every_row_is_labelled_with_the_truth_and_read_as_a_comparison():
    rows = [json.loads(line) for line in SHIPPED.read_text("utf-8").splitlines()]
    assert len({row["id"] for row in rows}) == 300
    for row in rows:
        first, second = (n_broken(row["prompt"], row[f"response_{side}"]) for side in "ab")
        assert row["label"] == ("a" if first < second else "b")
        request = read_request(row["prompt"])
        assert request is not None
        assert row["category"] == ("harmful" if request.harm else "harmless")
    groups = list(pairs_in([SHIPPED]).read())
    assert [group.label for group in groups] == [row["label"] for row in rows]


async def test_results_come_in_the_order_of_the_items_and_so_many_at_a_time():
    running, most = 0, 0

    async def work(item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(item % 3):
            await asyncio.sleep(0)
        running -= 1
        return item * item

    assert await map_concurrently(range(200), work) == [item * item for item in range(200)]
    assert most == IN_FLIGHT


async def test_an_error_of_one_case_is_raised():
    async def work(item: int) -> float:
        return 1 / item

    with pytest.raises(ZeroDivisionError):
        await map_concurrently([1, 0], work)
