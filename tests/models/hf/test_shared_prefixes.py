"""Sharing: questions are put into the groups that save most, and these into bounded batches."""

import random
from collections.abc import Iterator, Sequence

import pytest

from cai.models.hf.prefix_cache import (
    ChoiceRequest,
    PrefixGroup,
    group_by_prefix,
    split_into_batches,
)
from cai.models.hf.tokenizer import OptionTree

LETTER = OptionTree.of([[(1,)], [(2,)]])
THREE_ROWS = OptionTree.of([[(1, 1)], [(2, 2)], [(3, 3)]])


def question(*parts: Sequence[int], options: OptionTree = LETTER) -> ChoiceRequest:
    return ChoiceRequest(tuple(token for part in parts for token in part), options)


def found(questions: Sequence[ChoiceRequest]) -> set[tuple[frozenset[int], int]]:
    """The groups as numbers of questions, with how many tokens they share."""
    number = {each: at for at, each in enumerate(questions)}
    return {
        (frozenset(number[each] for each in group.questions), group.n_shared)
        for group in group_by_prefix(questions)
    }


HEAD, TALK, OTHER = [7] * 40, [8] * 200, [9] * 200


def test_one_conversation_under_many_principles_is_one_group():
    asked = [question(HEAD, TALK, [number] * 9) for number in range(10, 16)]
    assert found(asked) == {(frozenset(range(6)), 240)}


def test_two_orders_are_two_groups_although_they_begin_alike():
    """Together they save 5 · 40 tokens, apart 2 · 2 · 240."""
    asked = [question(HEAD, talk, [n]) for n in (1, 2, 3) for talk in (TALK, OTHER)]
    assert found(asked) == {(frozenset({0, 2, 4}), 240), (frozenset({1, 3, 5}), 240)}


def test_a_long_beginning_of_few_yields_to_a_shorter_one_of_many():
    """Two share 60, all eight 40: 7 · 40 is more than 60."""
    asked = [question(HEAD, [n] * 20, [n, n]) for n in (1, 2, 3, 4, 5, 6, 7)]
    asked.append(question(HEAD, [1] * 20, [2, 2]))
    assert found(asked) == {(frozenset(range(8)), 40)}


def test_what_shares_little_is_alone():
    asked = [question([3] * 31, [n] * 100) for n in range(4)]
    assert found(asked) == {(frozenset({n}), 0) for n in range(4)}
    assert found([]) == set()
    assert found([question()]) == {(frozenset({0}), 0)}


def test_the_last_token_of_a_request_is_never_shared():
    """Of equal requests, and where one begins the other."""
    assert found([question(TALK), question(TALK)]) == {(frozenset({0, 1}), 199)}
    assert found([question(TALK), question(TALK, [1])]) == {(frozenset({0, 1}), 199)}


def test_options_of_several_tokens_share_their_own_request():
    """Three rows of one request save 2 · 199 tokens; a neighbour makes it 3 · 199."""
    asked = [question(TALK, options=THREE_ROWS)]
    assert found(asked) == {(frozenset({0}), 199)}
    (group,) = group_by_prefix([*asked, question(TALK)])
    assert (group.n_rows, group.n_saved) == (4, 3 * 199)
    assert group.n_tokens == 199 + 3 * (1 + 1) + 1


def test_a_few_that_share_much_leave_the_others_together():
    """Three save 2 · 240 for themselves, the other three 2 · 40; all six would save 5 · 40."""
    asked = [question(HEAD, TALK, [n]) for n in range(3)]
    asked += [question(HEAD, [n] * 9) for n in range(3)]
    assert found(asked) == {(frozenset({0, 1, 2}), 240), (frozenset({3, 4, 5}), 40)}


def partitions(items: list[ChoiceRequest]) -> Iterator[list[list[ChoiceRequest]]]:
    if not items:
        yield []
        return
    for rest in partitions(items[1:]):
        yield [[items[0]], *rest]
        for at, part in enumerate(rest):
            yield [*rest[:at], [items[0], *part], *rest[at + 1 :]]


def saved(part: list[ChoiceRequest]) -> int:
    """What one group of these saves: nothing where fewer than 32 tokens are shared."""
    columns = zip(*(each.ids[:-1] for each in part), strict=False)
    alike = [len(set(column)) == 1 for column in columns]
    n_shared = alike.index(False) if False in alike else len(alike)
    return (sum(each.n_rows for each in part) - 1) * n_shared if n_shared >= 32 else 0


@pytest.mark.parametrize("seed", range(12))
def test_no_other_groups_would_save_much_more(seed: int):
    """At least four fifths of what the best division saves, for six that branch at random."""
    rng = random.Random(seed)
    pieces = [[number] * rng.choice([10, 25, 40]) for number in range(3)]
    asked = [
        question(
            *rng.choices(pieces, k=rng.randint(1, 5)), options=rng.choice([LETTER, THREE_ROWS])
        )
        for _ in range(6)
    ]
    groups = group_by_prefix(asked)
    assert sorted(map(id, asked)) == sorted(id(q) for group in groups for q in group.questions)
    most = max(sum(map(saved, parts)) for parts in partitions(asked))
    assert 0.8 * most <= sum(group.n_saved for group in groups) <= most


def read(portion: list[PrefixGroup]) -> int:
    return sum(group.n_tokens for group in portion)


def test_portions_hold_every_question_once_and_are_bounded():
    rng = random.Random(1)
    asked = [
        question(HEAD, [talk] * 200, [rng.randrange(9) for _ in range(rng.randint(1, 30))])
        for talk in range(10)
        for _ in range(8)
    ]
    made = split_into_batches(asked, 1000)
    parts = [group.questions for portion in made for group in portion]
    assert sorted(id(each) for part in parts for each in part) == sorted(map(id, asked))
    assert max(map(read, made)) <= 1000
    assert len(made) < 10


def test_a_group_that_is_too_large_is_cut_and_a_question_is_not():
    """Ten questions of 100 tokens after 240 that all share: 3 a group fit into 300."""
    asked = [question(HEAD, TALK, [number] * 100) for number in range(10)]
    made = split_into_batches(asked, 300)
    assert [len(group.questions) for portion in made for group in portion] == [3, 3, 3, 1]
    assert [group.n_shared for portion in made for group in portion] == [240] * 4
    assert len(split_into_batches(asked, 1)) == 10


def test_a_chain_of_ever_shorter_beginnings_is_no_deep_recursion():
    asked = [question([5] * n, [6]) for n in range(40, 1500)]
    assert sum(len(group.questions) for group in group_by_prefix(asked)) == len(asked)
