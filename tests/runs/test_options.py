"""What a start is about: parts that are disjoint and the whole, and a sample spread over it."""

from itertools import pairwise

import pytest

from cai.engine.budget import Caps
from cai.errors import UsageError
from cai.runs.options import WHOLE, Part, RunOptions


@pytest.mark.parametrize("of", [1, 2, 3, 7, 20])
def test_the_parts_share_no_example_and_are_the_whole(of: int):
    parts = [[p for p in range(13) if Part(number, of).has(p)] for number in range(1, of + 1)]
    assert sorted(position for part in parts for position in part) == list(range(13))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_the_whole_is_one_part_of_one():
    assert RunOptions().part == WHOLE == Part(1, 1)
    assert all(WHOLE.has(position) for position in range(10))


@pytest.mark.parametrize(("number", "of"), [(0, 4), (5, 4), (-1, 4), (1, 0), (0, 0)])
def test_a_part_that_there_is_not_says_which_there_are(number: int, of: int):
    with pytest.raises(UsageError) as caught:
        Part(number, of)
    assert str(caught.value) == (f"There is no part {number} of {of}. Write 1/4, 2/4, 3/4 and 4/4.")


@pytest.mark.parametrize(
    ("run_options", "n"),
    [
        (RunOptions(), 13),
        (RunOptions(limit=5), 5),
        (RunOptions(limit=50), 13),
        (RunOptions(part=Part(1, 3)), 5),  # 0, 3, 6, 9, 12
        (RunOptions(part=Part(2, 3)), 4),  # 1, 4, 7, 10
        (RunOptions(part=Part(3, 3)), 4),
        (RunOptions(limit=4, part=Part(1, 3)), 2),  # 0, 3
        (RunOptions(part=Part(20, 20)), 0),
        (RunOptions(sample=2), 13),  # a sample is of all of them
    ],
)
def test_it_is_about_so_many_of_thirteen(run_options: RunOptions, n: int):
    assert run_options.n_of(13) == n


@pytest.mark.parametrize("n", [1, 2, 10, 97, 1000])
@pytest.mark.parametrize("sample", [1, 2, 3, 10, 96])
def test_a_sample_is_as_many_as_asked_for_and_spread(sample: int, n: int):
    """No two neighbours are closer or farther apart than n / sample, rounded down or up."""
    chosen = [index for index in range(n) if RunOptions(sample=sample).is_sampled(index, n)]
    assert len(chosen) == min(sample, n)
    gaps = [after - before for before, after in pairwise(chosen)]
    if sample <= n:
        assert set(gaps) <= {n // sample, -(-n // sample)}
        assert chosen[0] == 0 and chosen[-1] >= n - -(-n // sample)


def test_three_of_ten_are_the_first_and_where_the_share_grows():
    """⌊3 i / 10⌋ for i = 0 … 9 is 0 0 0 0 1 1 1 2 2 2: it grows at 4 and 7, and begins at 0."""
    assert [i for i in range(10) if RunOptions(sample=3).is_sampled(i, 10)] == [0, 4, 7]


def test_without_a_sample_every_example_is_taken():
    assert all(RunOptions().is_sampled(index, 10) for index in range(10))


def test_a_cap_and_hedging_do_not_go_together():
    RunOptions(hedges=True).check()
    RunOptions(caps=Caps(tokens=5)).check()
    with pytest.raises(UsageError, match="cap cannot be enforced"):
        RunOptions(hedges=True, caps=Caps(tokens=5)).check()
