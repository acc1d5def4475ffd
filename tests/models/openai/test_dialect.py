"""The dialect of a server is learnt from its refusals, in whatever spelling they come."""

import pytest

from cai.models.base import Sampling
from cai.models.openai.dialect import Dialect, is_about_logprobs
from cai.models.openai.refusals import Complaint

SAMPLING = Sampling(0.3, top_p=0.9, top_k=40, stop=("#",), seed=1, json_schema="{}")


def dropped(message: str, param: str = "", sampling: Sampling = SAMPLING) -> set[str]:
    after = Dialect().after(Complaint(message, f"{message} {param}", param), sampling)
    return set(after.refused) if after else set()


@pytest.mark.parametrize(
    ("message", "param", "field"),
    [
        ("Unsupported value: 'temperature' does not support 0.3.", "temperature", "temperature"),
        ("invalid temperature: only 1 is allowed for this model", "", "temperature"),
        ("O-series models don't support temperature=0.3. Only 1 is supported.", "", "temperature"),
        ("`temperature` is deprecated for this model.", "", "temperature"),
        ('Unknown name "topK": Cannot find field.', "", "top_k"),
        ("Unrecognized request argument supplied: top_k", "", "top_k"),
        ("Unsupported parameter", "body.top_p", "top_p"),
        ("Unsupported parameter: 'stop' is not supported with this model.", "", "stop"),
        ("Extra inputs are not permitted", "seed", "seed"),
        ("Use 'max_completion_tokens' instead of max_tokens", "", "max_tokens"),
        ("Unknown name at 'generation_config.response_schema'", "", "response_format"),
        ("This Response_Format type is unavailable now", "", "response_format"),
        ("JSON mode is not enabled for models/x", "", "response_format"),
        ("no", "response_format.type", "response_format"),
        ("got an unexpected keyword argument 'stream'", "", "stream"),
    ],
)
def test_the_field_that_a_server_names_is_dropped(message, param, field):
    assert dropped(message, param) == {field}


@pytest.mark.parametrize(
    "message", ["temperature is too large", "max_tokens is too large: 9000", "seed is negative"]
)  # fmt: skip
def test_a_complaint_about_a_value_drops_nothing(message):
    assert dropped(message) == set()


def test_of_two_that_exclude_each_other_the_one_that_is_off_goes():
    message = "`temperature` and `top_p` cannot both be specified for this model."
    assert dropped(message, sampling=Sampling(0.3)) == {"top_p"}


def test_the_limit_of_tokens_is_renamed_and_never_dropped():
    fields = Dialect(frozenset({"max_tokens"})).fields(SAMPLING, is_text=False)
    assert (fields["max_completion_tokens"], "max_tokens" in fields) == (512, False)
    assert Dialect(frozenset({"max_tokens"})).fields(SAMPLING, is_text=True)["max_tokens"] == 512


@pytest.mark.parametrize(
    ("message", "n_top"),
    [
        ("top_logprobs must be at most 5", 5),
        ("Requested sample logprobs of 20, which is greater than max allowed: 10", 10),
        ("topLogprobs must be between 0 and 8", 8),
        ("Logprobs is too high", 5),
    ],
)
def test_the_number_of_log_probabilities_that_a_server_gives_is_learnt(message, n_top):
    after = Dialect().after(Complaint(message, message), Sampling(), wants_logprobs=True)
    assert after is not None and after.n_top == n_top


@pytest.mark.parametrize("words", ["Logprobs is not enabled", "no log probabilities", "LogProbs"])
def test_refused_log_probabilities_are_known_in_any_spelling(words):
    assert is_about_logprobs(Complaint(words, words))
    assert is_about_logprobs(Complaint("no", "no", "top_logprobs"))


def test_what_two_calls_learnt_is_kept_of_both():
    one, two = Dialect(frozenset({"seed"}), 5), Dialect(frozenset({"top_k"}), is_folded=True)
    assert one.merged(two) == Dialect(frozenset({"seed", "top_k"}), 5, is_folded=True)
