"""Reading a choice: spellings are added, missing options bounded, nonsense refused, mass kept."""

import math
from collections.abc import Sequence

import pytest

from cai.errors import ModelError, NoLogprobs, UsageError
from cai.models.base import Choice, Usage, mass_of
from cai.models.openai.api import read_choice


def read(tokens: dict[str, float], options: Sequence[str] = "AB") -> Choice:
    """The choice for tokens given with probabilities."""
    logged = [(token, math.log(p) if p else -math.inf) for token, p in tokens.items()]
    return read_choice(logged, options, "here")


def probabilities(tokens: dict[str, float], options: Sequence[str] = "AB") -> list[float]:
    return [math.exp(value) for value in read(tokens, options).logprobs]


def test_spellings_of_an_option_are_added():
    """A has 0.1 + 0.2 + 0.1 + 0.2 = 0.6 and B 0.2 of the mass: three to one."""
    tokens = {"A": 0.1, " A": 0.2, "(A": 0.1, "**A**": 0.2, "B": 0.2, "The": 0.2}
    assert probabilities(tokens) == pytest.approx([0.75, 0.25])


def test_a_longer_word_is_not_the_option():
    assert probabilities({"A": 0.3, "B": 0.3, "And": 0.4}) == pytest.approx([0.5, 0.5])


def test_a_missing_option_is_as_likely_as_the_rarest_token_shown():
    """The tokens leave 0.1; the rarest has 0.05, the tighter bound: 0.85 to 0.05."""
    assert probabilities({"A": 0.85, "x": 0.05}) == pytest.approx([0.85 / 0.9, 0.05 / 0.9])


def test_a_missing_option_is_no_likelier_than_what_the_tokens_leave():
    """The rarest has 0.1, but only 0.04 is left: 0.86 to 0.04."""
    assert probabilities({"A": 0.86, "x": 0.1}) == pytest.approx([0.86 / 0.9, 0.04 / 0.9])


def test_an_option_shown_as_impossible_gets_the_bound_too():
    assert probabilities({"A": 0.9, "B": 0.0, "x": 0.05})[1] == pytest.approx(0.05 / 0.95)


def test_certainty_stays_finite():
    assert all(map(math.isfinite, read({"A": 1.0}).logprobs))


def test_swapping_the_options_swaps_the_answer():
    tokens = {"A": 0.2, " B": 0.5, "C": 0.1}
    assert probabilities(tokens, "AB") == pytest.approx(probabilities(tokens, "BA")[::-1])


def test_no_option_at_all_names_what_came():
    with pytest.raises(NoLogprobs, match=r"here: none of the options A, B .*'<think>', 'I\\n'"):
        probabilities({"I\n": 0.1, "<think>": 0.9})


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.5])
def test_what_is_no_log_probability_is_an_error(value: float):
    with pytest.raises(ModelError, match=r"here: .* for the token 'A' is not a log-probability"):
        read_choice([("A", value), ("B", -1.0)], "AB", "here")


def test_a_log_probability_rounded_above_zero_is_certainty():
    choice = read_choice([("A", 1e-6)], "AB", "here")
    assert math.exp(choice.logprobs[0]) == pytest.approx(1)
    assert choice.mass == 1


def test_the_mass_is_that_of_the_option_tokens_seen():
    """0.5 and 0.1 for A, 0.2 for B; the bound of a missing option is no probability seen."""
    assert read({"A": 0.5, " A": 0.1, "B": 0.2, "The": 0.1}).mass == pytest.approx(0.8)
    assert read({"A": 0.5, "The": 0.1}).mass == pytest.approx(0.5)


def test_usage_is_passed_on():
    assert read_choice([("A", -1.0)], "AB", "here", Usage(3, 1)).usage == Usage(3, 1)


def test_an_option_that_may_begin_a_hidden_one_is_not_read():
    """ "1" may be a mark of 1 or the first half of 10."""
    with pytest.raises(NoLogprobs, match=r"'1' is an option .* begin the option 10, .* parsed"):
        read({"1": 0.3, " 1": 0.1, "2": 0.4}, ("1", "2", "10"))


def test_an_option_that_begins_another_is_read_where_both_are_seen_or_it_is_negligible():
    """In the second, 10 has the bound of 0.0005: the rarest token shown."""
    both = probabilities({"1": 0.3, "10": 0.1, "2": 0.4}, ("1", "2", "10"))
    assert both == pytest.approx([0.375, 0.5, 0.125])
    rare = probabilities({"1": 0.0005, "2": 0.9}, ("1", "2", "10"))
    assert rare == pytest.approx([0.0005 / 0.901, 0.9 / 0.901, 0.0005 / 0.901])


@pytest.mark.parametrize("options", [(), ("A", "A"), ("A", " B"), ("A", "")])
def test_options_that_cannot_be_told_apart_are_refused(options):
    with pytest.raises(UsageError, match="cannot be told apart"):
        read({"A": 0.9}, options)


def test_normalised_probabilities_add_up_to_one():
    values = Choice.normalised((-1000.0, -1001.0, -math.inf)).logprobs
    assert sum(map(math.exp, values)) == pytest.approx(1)
    assert values[0] - values[1] == pytest.approx(1)


@pytest.mark.parametrize("values", [(math.nan, -1.0), (-math.inf, -math.inf), (0.0, math.inf), ()])
def test_what_is_no_choice_is_an_error_and_no_number(values):
    with pytest.raises(ModelError, match="log-probabilities of the options"):
        Choice.normalised(values)


def test_a_mass_is_a_sum_of_probabilities_or_unknown():
    assert mass_of([math.log(0.5), math.log(0.25), -math.inf]) == pytest.approx(0.75)
    assert mass_of([math.log(0.5), math.log(0.5 + 1e-9)]) == 1
    assert mass_of([0.0, 0.0]) is None
    assert mass_of([math.nan, -1.0]) is None


def test_an_option_of_several_tokens_is_known_by_the_token_that_begins_it():
    """P("Y") + P(" Yes") = 0.6 counts for Yes, P("No") = 0.2 for No: 0.75 and 0.25 of 0.8."""
    tokens = [("Y", math.log(0.55)), (" No", math.log(0.2)), (" Yes", math.log(0.05))]
    choice = read_choice(tokens, ("Yes", "No"), "here")
    assert [math.exp(value) for value in choice.logprobs] == pytest.approx([0.75, 0.25])
    assert choice.mass == pytest.approx(0.8)


def test_a_token_that_begins_two_options_counts_for_neither():
    """ "N" begins None and Nil: 0.2 and 0.1 are left, two thirds and one."""
    tokens = [("N", math.log(0.5)), ("None", math.log(0.2)), ("Nil", math.log(0.1))]
    choice = read_choice(tokens, ("None", "Nil"), "here")
    assert [math.exp(value) for value in choice.logprobs] == pytest.approx([2 / 3, 1 / 3])
