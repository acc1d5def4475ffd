"""Rows as questions: options taken out of the text, right ones found, bad rows said."""

from pathlib import Path

import pytest
from small_runs import write_rows
from suite_rows import lettered, write_lamps, write_words

from cai.errors import SourceError
from cai.evaluation.suites.files import open_suites
from cai.evaluation.suites.multiple_choice import read_questions, shown_options
from cai.methods.judging.multiple_choice import ChoiceQuestion


def read(path: Path) -> tuple[ChoiceQuestion, ...]:
    [suite] = open_suites([str(path)])
    return read_questions(suite)


def test_options_are_taken_out_of_the_text_and_the_right_one_is_found(tmp_path: Path):
    first, second = read(write_lamps(tmp_path / "lamps.jsonl", 2))
    assert first.prompt.request == "What of lamp 0? Options:"
    assert (first.options, first.right) == (("Wipe it", "Drop it"), (0,))
    assert (second.options, second.right) == (("Drop it", "Wipe it"), (1,))
    assert first.is_lettered
    assert first.prompt.origin == f"{tmp_path / 'lamps.jsonl'}:1"


def test_an_option_that_no_column_names_can_be_chosen_too(tmp_path: Path):
    row = {
        "question": "Question: What of the lamp?\n\nChoices:\n (A) Wipe\n (B) Sell\n (C) Drop",
        "answer_matching_behavior": " (C)",
        "answer_not_matching_behavior": " (A)",
    }
    [question] = read(write_rows(tmp_path / "choices.jsonl", [row]))
    assert (question.options, question.right) == (("Wipe", "Sell", "Drop"), (2,))


def test_an_option_may_have_several_lines_and_the_text_letters_of_its_own():
    text = "As in (A) before:\n (A) no\n\nWhich?\n (A) One\nand two.\n (B) Three.\n\nAnswer:"
    shown = shown_options(text)
    assert shown is not None
    assert shown.request == "As in (A) before:\n (A) no\n\nWhich?"
    assert shown.options == ("One\nand two.", "Three.")


@pytest.mark.parametrize("text", ["No options.", "Which?\n (A) One", "Which?\n (B) One\n (C) Two"])
def test_less_than_two_options_in_a_row_from_a_are_none(text: str):
    assert shown_options(text) is None


def test_words_are_options_themselves(tmp_path: Path):
    words = {"Lamps are nice.": "Yes", "Lamps are rude.": "No"}
    first, second = read(write_words(tmp_path / "words.jsonl", words))
    assert (first.options, first.right, first.is_lettered) == (("Yes", "No"), (0,), False)
    assert (second.options, second.right) == (("No", "Yes"), (0,))


def test_answers_that_are_texts_become_options_under_letters(tmp_path: Path):
    row = {
        "prompt": "What of the lamp?",
        "corrects": ["Wipe it."],
        "incorrects": ["Drop it.", "Sell it."],
        "category": "lamps",
    }
    [question] = read(write_rows(tmp_path / "texts.jsonl", [row]))
    assert question.options == ("Wipe it.", "Drop it.", "Sell it.")
    assert (question.right, question.is_lettered, question.group) == ((0,), True, "lamps")


def test_questions_of_one_content_have_ids_of_their_own(tmp_path: Path):
    row = lettered("What of the lamp?", ("Wipe", "Drop"), 0)
    questions = read(write_rows(tmp_path / "twice.jsonl", [row, row, row]))
    ids = [each.prompt.id for each in questions]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]


GOOD = {"prompt": "Which?\n (A) One\n (B) Two", "corrects": [" (A)"], "incorrects": [" (B)"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"corrects": []}, "'corrects' is empty, and a right option is needed"),
        ({"corrects": None}, "'corrects' is null"),
        ({"corrects": [" "]}, "'corrects' has a blank answer"),
        ({"corrects": [" (B)"]}, "the option '(B)' is right and wrong at once"),
        ({"corrects": [" (C)"]}, "has the answer (C), and its text shows 2 options"),
        ({"prompt": "Which?"}, "its text shows no options such as (A) and (B)"),
        ({"prompt": " "}, "'prompt' is blank"),
        ({"prompt": 7}, "'prompt' is a number, and a text is needed"),
        ({"prompt": "Which?\n (A) One\n (B) One"}, "has one option alone, 'One'"),
        ({"corrects": ["Wipe it."], "incorrects": []}, "has one option alone, 'Wipe it.'"),
        ({"corrects": ["yes"], "incorrects": ["Yes"]}, "differ in capitals alone"),
        ({"corrects": [f"{n} lamps" for n in range(27)]}, "has 28 options"),
    ],
)
def test_a_bad_row_is_said_with_its_line(change: dict[str, object], said: str, tmp_path: Path):
    path = write_rows(tmp_path / "bad.jsonl", [GOOD, {**GOOD, **change}])
    with pytest.raises(SourceError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert said in str(caught.value)
    assert str(caught.value).endswith("Fix the row, or leave it out of the file.")


def test_a_line_that_is_no_row_is_said(tmp_path: Path):
    path = write_rows(tmp_path / "bad.jsonl", [GOOD])
    path.write_text(path.read_text("utf-8") + "{broken\n", "utf-8")
    with pytest.raises(SourceError, match=r"bad\.jsonl:2: is not JSON"):
        read(path)


def test_a_header_without_rows_is_no_suite(tmp_path: Path):
    path = tmp_path / "header.csv"
    path.write_text("question,answer_matching_behavior,answer_not_matching_behavior\n", "utf-8")
    with pytest.raises(SourceError, match="holds no rows"):
        read(path)
