"""Which rows are held out: by the prompt's content, both sides with rows where that is possible."""

import pytest

from cai.errors import UsageError
from cai.export.rows import Demonstration, prompt_of
from cai.training.data.load import TrainingRow, split_rows
from cai.types import user_prompt


def rows(*numbers: int) -> list[TrainingRow]:
    return [
        TrainingRow(Demonstration(user_prompt(f"Question {n}?"), f"Answer {place}.", ""), "file")
        for place, n in enumerate(numbers)
    ]


def prompts(found: tuple[TrainingRow, ...]) -> set[str]:
    return {prompt_of(row.unit).request for row in found}


def test_about_the_share_is_held_out_and_every_row_is_on_one_side():
    given = rows(*range(2000))
    train, held_out = split_rows(given, 0.05)
    assert sorted((*train, *held_out), key=given.index) == given
    assert 60 < len(held_out) < 140


def test_equal_prompts_stay_on_one_side():
    train, held_out = split_rows(rows(*range(50), *range(50)), 0.3)
    assert not prompts(train) & prompts(held_out)
    assert len(train) == 2 * len(prompts(train))


def test_a_prompt_is_on_the_same_side_whatever_else_is_there():
    _, among_many = split_rows(rows(*range(400)), 0.2)
    _, among_others = split_rows(rows(*range(200, 600)), 0.2)
    shared = {f"Question {n}?" for n in range(200, 400)}
    assert prompts(among_many) & shared == prompts(among_others) & shared != set()


@pytest.mark.parametrize("n", range(2, 12))
@pytest.mark.parametrize("share", [0.001, 0.999])
def test_of_two_prompts_or_more_each_side_has_one(n: int, share: float):
    train, held_out = split_rows(rows(*range(n)), share)
    assert train
    assert held_out


def test_of_one_prompt_or_a_share_of_nothing_all_is_trained_on():
    assert split_rows(rows(1, 1, 1), 0.5) == (tuple(rows(1, 1, 1)), ())
    assert split_rows(rows(1, 2), 0) == (tuple(rows(1, 2)), ())


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_out_of_its_range_is_told(share: float):
    with pytest.raises(UsageError, match="evaluation share"):
        split_rows(rows(1, 2), share)
