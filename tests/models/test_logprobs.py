"""Option log-probabilities: spellings are added, missing options bounded, nonsense refused."""

import math

import pytest

from cai.errors import ModelError, NoLogprobs, UsageError
from cai.models.openai.logprobs import option_logprobs
from cai.models.protocol import Choice


def probabilities(tokens: dict[str, float], options: str = "AB") -> list[float]:
    """The options' probabilities for tokens given with probabilities."""
    logged = [(token, math.log(p) if p else -math.inf) for token, p in tokens.items()]
    return [math.exp(value) for value in option_logprobs(logged, options, "here")]


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
    assert all(map(math.isfinite, option_logprobs([("A", 0.0)], "AB", "here")))


def test_swapping_the_options_swaps_the_answer():
    tokens = {"A": 0.2, " B": 0.5, "C": 0.1}
    assert probabilities(tokens, "AB") == pytest.approx(probabilities(tokens, "BA")[::-1])


def test_no_option_at_all_names_what_came():
    with pytest.raises(NoLogprobs, match=r"here: none of the options A, B .*'<think>', 'I\\n'"):
        probabilities({"I\n": 0.1, "<think>": 0.9})


def test_nan_is_an_error():
    with pytest.raises(ModelError, match="here: the log-probability of the token 'A' is not a num"):
        option_logprobs([("A", math.nan), ("B", -1.0)], "AB", "here")


@pytest.mark.parametrize("options", [("A", "A"), ("A", " B"), ("A", "")])
def test_options_that_cannot_be_told_apart_are_refused(options):
    with pytest.raises(UsageError, match="cannot be told apart"):
        option_logprobs([("A", -0.1)], options, "here")


def test_normalised_probabilities_add_up_to_one():
    values = Choice.normalised((-1000.0, -1001.0, -math.inf)).logprobs
    assert sum(map(math.exp, values)) == pytest.approx(1)
    assert values[0] - values[1] == pytest.approx(1)
