"""Figures and names as a report writes them."""

import pytest

from cai.evaluation import format
from cai.evaluation.stats.bootstrap import Estimate
from cai.report.text import clean, model_name, model_names, share_headline, text_block


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("embedded#60e14d94", "embedded"),
        ("hf:demo/sl@bf1af314f94a", "hf:demo/sl"),
        ("hf:/home/me/models/sl@bf1af314f94a:float32", "hf:sl"),
        ("hf:Qwen/Qwen2.5-7B", "hf:Qwen/Qwen2.5-7B"),
        ("hf:Qwen/Qwen2.5-7B+/home/me/lora", "hf:Qwen/Qwen2.5-7B+lora"),
        ("hf:Qwen/Qwen2.5-7B?adapter=/home/me/lora", "hf:Qwen/Qwen2.5-7B?adapter=lora"),
        ("openai:gpt-4.1@https://api.example.org/v1", "openai:gpt-4.1 at api.example.org"),
        ("~/models/rl", "rl"),
        ("", ""),
    ],
)
def test_models_are_named_without_what_is_of_one_machine(name: str, shown: str):
    assert model_name(name) == shown


def test_several_models_are_named_once_each():
    assert model_names(["a#111111", "b", "a#222222"]) == "a and b"
    assert model_names([""]) == "an unknown model"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.012345, "0.0123"), (12.345, "12.3"), (1234.5, "1,234"), (None, "–")],
)
def test_numbers_have_three_digits(value: float | None, shown: str):
    assert format.number(value) == shown
    assert format.number(float("nan")) == "–"


def test_a_share_without_an_interval_shows_none():
    assert format.share(Estimate(0.5, 1)) == "50.0%"
    assert format.share(Estimate(0.5, 40, 0.345, 0.655)) == "50.0% (34.5–65.5)"
    assert format.share(None) == "–"
    (line,) = share_headline(Estimate(0.5, 1), "won")
    assert (line.figure, line.bounds, line.what) == ("50.0%", "", "won, n = 1")


def test_a_text_is_cut_and_what_is_left_out_is_counted():
    said = text_block("prompt", "x" * 1500)
    assert (len(said.spans[0].text), said.n_more) == (1200, 300)


def test_characters_that_a_page_cannot_hold_are_marked():
    assert clean("a\x00b\x1b[0m\ud800c\tä\n") == "a�b�[0m�c\tä\n"


def test_lists_read_as_people_say_them():
    assert [format.listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        *("", "a", "a and b", "a, b and c")
    ]
    assert (format.plural(1, "row"), format.plural(2000, "row")) == ("1 row", "2,000 rows")
