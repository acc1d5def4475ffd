"""Which examples are kept of a stream: a bounded number, and always the same."""

import random

from cai.report.examples import TopN, hash_fraction


def test_the_highest_are_kept_in_order():
    best: TopN[str] = TopN(3)
    for number in (5, 1, 9, 7, 3, 8):
        best.offer(number, f"item {number}")
    assert best.items == ["item 9", "item 8", "item 7"]
    assert best.n_offered == 6


def test_of_equal_ones_the_first_are_kept():
    best: TopN[int] = TopN(2)
    for item in range(5):
        best.offer(1.0, item)
    assert best.items == [0, 1]


def test_items_themselves_are_never_compared():
    best: TopN[object] = TopN(2)
    for _ in range(10):
        best.offer(1.0, object())
    assert len(best.items) == 2


def test_nothing_is_kept_where_none_are_wanted():
    best: TopN[int] = TopN(0)
    best.offer(1.0, 1)
    assert (best.items, best.n_offered) == ([], 1)


def test_a_lot_depends_on_the_id_alone_and_is_even():
    assert hash_fraction("a") == hash_fraction("a") != hash_fraction("b")
    lots = [hash_fraction(str(n)) for n in range(2000)]
    assert all(0 <= each < 1 for each in lots)
    assert 0.47 < sum(lots) / len(lots) < 0.53


def test_a_sample_by_lot_does_not_depend_on_the_order():
    ids = [str(n) for n in range(100)]
    shuffled = random.Random(0).sample(ids, 100)
    chosen: list[list[str]] = []
    for order in (ids, shuffled):
        best: TopN[str] = TopN(5)
        for id in order:
            best.offer(hash_fraction(id), id)
        chosen.append(list(best.items))
    assert chosen[0] == chosen[1]
