"""`read_option`: the option that a text says it chooses, and none where it says none."""

import pytest

from cai.methods.judging.option_parser import read_option

LETTERS = "ABCDEFGHI"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("(B) Wipe the lamp", "B"),
        ("B. Wipe the lamp", "B"),
        ("**C**", "C"),
        ("The answer is (C).", "C"),
        ("Answer: A", "A"),
        ("The answer is A because it is kind.", "A"),
        ("The best option is D", "D"),
        ("I choose option C.", "C"),
        ("I would say B", "B"),
        ("Let me see.\n\nB", "B"),
        ("First it seemed to be A. Then:\nAnswer: B", "B"),
        ("\\boxed{D}", "D"),
        ("I", "I"),
        ("(I)", "I"),
    ],
)
def test_a_letter_that_is_said_to_be_the_answer_is_read(text: str, letter: str):
    assert read_option(text, LETTERS) == LETTERS.index(letter)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A lamp was wiped.",
        "I cannot say.",
        "I, as an assistant, do not know.",
        "(A) and (B) are both good",
        "A or B",
        "A, B",
        "Answer: A or B",
        "The answer could be A or B",
        "It is not B",
        "b",
        "J",
    ],
)
def test_a_text_that_settles_on_no_letter_is_unreadable(text: str):
    assert read_option(text, LETTERS) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Yes", "Yes"),
        ("no, I would not", "No"),
        ("Yes!\nIt keeps the lamp dry.", "Yes"),
        ("I would say no.", "No"),
        ("Answer: yes", "Yes"),
    ],
)
def test_a_word_is_read_in_any_case(text: str, word: str):
    assert read_option(text, ("Yes", "No")) == ("Yes", "No").index(word)


@pytest.mark.parametrize(
    "text", ["Yes, and no", "yes or no", "Nobody knows", "Not really", "I cannot say yes or no."]
)
def test_a_text_that_settles_on_no_word_is_unreadable(text: str):
    assert read_option(text, ("Yes", "No")) is None


def test_more_options_than_signs_of_one_kind_are_told_apart():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert [read_option(f"Answer: {letter}", letters) for letter in letters] == list(range(26))
