"""Options: which tokens are one, and which options cannot be told apart."""

import pytest

from cai.errors import UsageError
from cai.models.base import bare, check_options, ends_bare, folded
from cai.types import Message


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


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ("sua", ["u:0+1", "a:2"]),
        ("ssu", ["u:0+1+2"]),
        ("sau", ["a:1", "u:0+2"]),
        ("usu", ["u:0", "u:1+2"]),
        ("us", ["u:0", "u:1"]),
        ("uau", ["u:0", "a:1", "u:2"]),
    ],
)
def test_system_turns_are_folded_into_the_users_next_turn(roles: str, expected: list[str]):
    names = {"s": "system", "u": "user", "a": "assistant"}
    turns = folded([Message(names[role], str(n)) for n, role in enumerate(roles)])
    said = [f"{turn.role[0]}:{turn.content}".replace("\n\n", "+") for turn in turns]
    assert said == expected
