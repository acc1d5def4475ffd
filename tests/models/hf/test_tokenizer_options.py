"""Spelling: which tokens are an option, and what the probabilities of tokens say about options."""

import math

import pytest
from tiny import CORPUS, make_tokenizer
from tokenizers import normalizers

from cai.errors import ModelError
from cai.models.hf.tokenizer import OptionTree, Speller

DIGITS = ["1 2 (1 [1 1. 1: 0 A B", "A B (A (B 1 2 3"]
LN = math.log


def texts(tokenizer, spelled: OptionTree) -> list[set[str]]:
    """The tokens of every spelling of each option, joined by bars."""
    paths: list[tuple[int, ...]] = []
    for step in spelled.steps:
        before = () if step.parent is None else paths[step.parent]
        paths.append((*before, step.token))
    return [
        {"|".join(tokenizer.decode([token]) for token in paths[end]) for end in ends}
        for ends in spelled.ends
    ]


def test_a_letter_is_gathered_from_all_its_tokens():
    tokenizer = make_tokenizer(corpus=DIGITS)
    found = texts(tokenizer, Speller(tokenizer, len(tokenizer)).spell(["A", "B"]))
    assert found == [{"A", " A"}, {"B", " B"}]


def test_only_tokens_that_the_model_has_are_taken():
    """The forms with a space come last in the vocabulary, beyond what this model predicts."""
    tokenizer = make_tokenizer(corpus=DIGITS)
    n_tokens = len(tokenizer) - len(tokenizer.get_vocab().keys() & {"ĠA"})
    found = texts(tokenizer, Speller(tokenizer, tokenizer.get_vocab()["ĠA"]).spell(["A", "B"]))
    assert n_tokens < len(tokenizer)
    assert "A" in found[0] and " A" not in found[0]


def test_a_word_of_several_tokens_is_its_own_spelling_and_any_single_token():
    tokenizer = make_tokenizer(corpus=["yes yes yes no", *CORPUS])
    found = texts(tokenizer, Speller(tokenizer, len(tokenizer)).spell(["yes", "zebra"]))
    assert " yes" in found[0] and len(found[0]) == 2
    assert len(found[1]) == 1 and found[1].pop().replace("|", "") == "zebra"


def test_an_option_that_lengthens_another_does_so_in_all_spellings_that_are_open():
    """ "1." is closed: what follows it is no longer a number of two digits."""
    tokenizer = make_tokenizer(corpus=DIGITS)
    tokenizer.add_tokens(["1.", "(1"])
    one, ten = texts(tokenizer, Speller(tokenizer, len(tokenizer)).spell(["1", "10"]))
    assert one == {"1", " 1", "1.", "(1"}
    assert ten == {"1|0", " 1|0", "(1|0"}


def test_the_vocabulary_is_read_once():
    tokenizer = make_tokenizer(corpus=DIGITS)
    speller = Speller(tokenizer, len(tokenizer))
    assert speller.spell(["A", "B"]) is speller.spell(("A", "B"))
    assert speller.spell(["B", "A"]).ends == speller.spell(["A", "B"]).ends[::-1]


def test_options_that_the_tokenizer_makes_equal_are_refused():
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    with pytest.raises(ModelError, match="option 'a' is the same as the option 'A'"):
        Speller(tokenizer, len(tokenizer)).spell(["A", "a"])


def test_an_option_without_tokens_is_refused():
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("€", "")
    with pytest.raises(ModelError, match="option '€' is the same as nothing"):
        Speller(tokenizer, len(tokenizer)).spell(["A", "€"])


def probabilities(spelled: OptionTree, values: dict[tuple[int, ...], float]) -> list[float]:
    """Of the options, where each path has that probability after what goes before it."""
    paths: list[tuple[int, ...]] = []
    for step in spelled.steps:
        before = () if step.parent is None else paths[step.parent]
        paths.append((*before, step.token))
    return [math.exp(value) for value in spelled.logprobs([LN(values[path]) for path in paths])]


def test_spellings_are_added_and_tokens_multiplied():
    """0.25 + 0.125 for the one; 0.5 · 0.5 for the other."""
    spelled = OptionTree.of([[(3,), (4,)], [(5, 6)]])
    values = {(3,): 0.25, (4,): 0.125, (5,): 0.5, (5, 6): 0.5}
    assert probabilities(spelled, values) == pytest.approx([0.375, 0.25])
    assert spelled.rows == ((5,),)


def test_what_lengthens_an_option_is_taken_from_it():
    """1 has 0.5, of which 0.4 go on to 10: 0.3 and 0.2. Of 10, 0.1 go on to 100: 0.18 and 0.02."""
    two = OptionTree.of([[(1,)], [(1, 0)]])
    assert probabilities(two, {(1,): 0.5, (1, 0): 0.4}) == pytest.approx([0.3, 0.2])
    three = OptionTree.of([[(1, 0, 0)], [(1,)], [(1, 0)]])
    values = {(1,): 0.5, (1, 0): 0.4, (1, 0, 0): 0.1}
    assert probabilities(three, values) == pytest.approx([0.02, 0.3, 0.18])
    assert three.rows == ((1, 0),)


def test_an_option_that_always_goes_on_is_impossible():
    spelled = OptionTree.of([[(1,)], [(1, 0)]])
    assert spelled.logprobs([LN(0.5), 0.0]) == [-math.inf, LN(0.5)]
    assert spelled.logprobs([-math.inf, -1.0]) == [-math.inf, -math.inf]


def test_rows_are_the_fewest_that_predict_every_token():
    """After 1 and after 5 6; what is read after the request alone is read in the first row."""
    spelled = OptionTree.of([[(1, 2), (1, 3)], [(5, 6, 7)], [(8,)]])
    assert spelled.rows == ((1,), (5, 6))
    places = {(step.token, step.row, step.from_end) for step in spelled.steps}
    assert places == {(1, 0, 1), (2, 0, 0), (3, 0, 0), (5, 0, 1), (6, 1, 1), (7, 1, 0), (8, 0, 1)}
    assert spelled.n_longest == 3
