"""Which values fit which annotation, and what is said of those that do not."""

from enum import StrEnum
from typing import Any, Literal, Optional, Union

import pytest

from cai.training.config_values import Misfit, fitted, nearest


class Pace(StrEnum):
    NO = "no"
    STEPS = "steps"


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (True, bool),
        (3, int),
        (3, float),
        (0.5, float),
        ("text", str),
        (None, int | None),
        (3, Optional[int]),  # noqa: UP045
        ("text", Union[str, int]),  # noqa: UP007
        ([1, 2], list[int]),
        ([], list[str]),
        ({"a": 1}, dict),
        ({"a": True}, dict[str, bool]),
        ({"a": [None]}, dict[str, Any] | str | None),
        ("steps", Pace | str),
        (False, str | None | Literal[False]),
        ("b", Literal["a", "b"]),
    ],
)
def test_a_value_that_fits_stays_as_it_is(value: object, annotation: object):
    found = fitted(value, annotation)
    assert found == value
    assert type(found) is type(value)


def test_text_that_yaml_does_not_read_as_a_number_is_one_where_a_number_is_wanted():
    assert fitted("1e-4", float) == 1e-4
    assert fitted(["1e-4", 2], list[float] | None) == [1e-4, 2]
    assert fitted("1e-4", float | str) == "1e-4"


def test_a_list_becomes_the_pair_that_is_wanted():
    assert fitted([-1, 2.5], tuple[float, float] | None) == (-1, 2.5)


def test_no_is_the_choice_and_not_false():
    """YAML 1.1 reads `save_strategy: no` as a boolean."""
    assert fitted(False, Pace | str) == "no"


@pytest.mark.parametrize(
    ("value", "annotation", "wanted"),
    [
        ("ten", int, "a whole number is wanted."),
        (True, int, "a whole number is wanted."),
        (1.0, int, "a whole number is wanted."),
        (True, float, "a number is wanted."),
        (float("nan"), float, "a number is wanted."),
        ("nan", float, "a number is wanted."),
        ("inf", float | None, "a number or null is wanted."),
        (1, bool, "true or false is wanted."),
        (1, str | None, "text or null is wanted."),
        ("a", list[str], "a list of texts is wanted."),
        (["a", 1], list[str], "a list of texts is wanted."),
        ([1.0], tuple[float, float], "a list of 2 numbers is wanted."),
        ([1], dict | str, "a mapping or text is wanted."),
        ({"a": 1}, dict[str, bool], "a mapping is wanted."),
        ("step", Pace | str, "one of no, steps is wanted. Did you mean 'steps'?"),
        (True, Pace | str, "one of no, steps is wanted."),
        ({"a": 1}, Pace | None, "null or one of no, steps is wanted."),
        (0, Literal[False], "one of False is wanted."),
    ],
)
def test_a_value_that_does_not_fit_is_told_what_is_wanted(
    value: object, annotation: object, wanted: str
):
    with pytest.raises(Misfit) as caught:
        fitted(value, annotation)
    assert str(caught.value) == wanted


def test_the_nearest_names_are_offered_where_there_are_any():
    assert nearest("learnin_rate", ["learning_rate", "seed"]) == " Did you mean 'learning_rate'?"
    assert nearest("zebra", ["learning_rate", "seed"]) == ""
