"""Options: which tokens are one, and which options cannot be told apart."""

import pytest

from cai.errors import UsageError
from cai.models.base import bare, check_options, ends_bare


@pytest.mark.parametrize(
    "token", ["A", " A", "(A", "**A**", "▁A", "ĠA", '"A"', "A:", "\nA)", "[A]"]
)
def test_signs_around_a_letter_leave_it_what_it_is(token: str):
    assert bare(token) == "A"


@pytest.mark.parametrize("token", ["And", "A1", "a", "-A", "A B", "Ä"])
def test_anything_else_makes_it_another_word(token: str):
    assert bare(token) != "A"


def test_signs_before_a_text_leave_it_open_and_signs_after_it_close_it():
    assert all(map(ends_bare, ["1", " 1", "(1", "**1"]))
    assert not any(map(ends_bare, ["1.", "1 ", "1)", "(1):"]))


def test_distinct_texts_are_options():
    check_options(["A", "B"])
    check_options([str(mark) for mark in range(1, 11)])
    check_options(["yes", "no", "not at all"])


@pytest.mark.parametrize("options", [[], ["A", "A"], ["A", " A"], ["A", ""], ["*"], ["(A)", "B"]])
def test_what_cannot_be_told_apart_is_refused(options: list[str]):
    with pytest.raises(UsageError, match="Give distinct letters or words"):
        check_options(options)
