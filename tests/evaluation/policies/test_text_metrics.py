"""Each figure of a batch on an example worked out in the docstring, and its laws."""

import random
from itertools import combinations, pairwise
from math import sqrt

import pytest

from cai.errors import UsageError
from cai.evaluation.metrics import TRAINING
from cai.evaluation.policies.text_metrics import (
    ResponseBatch,
    boilerplate,
    distinct,
    self_similarity,
    text_figures,
)
from cai.methods.revision_flags import is_refusal
from cai.testbed.world import EVASIONS, KIND, PREACHING, RUDE

WORDS = ("a", "lamp", "gate", "goat", "bell", "key", "and", "the", "of", "near")


def said(*texts: str) -> list[list[str]]:
    return [text.split() for text in texts]


def test_distinct_n_is_over_the_whole_batch():
    """Words: the cat sat, the cat ran: 4 distinct of 6. Pairs: 3 of 4. Triples: 2 of 2."""
    texts = said("the cat sat", "the cat ran")
    assert distinct(texts, 1) == pytest.approx(4 / 6)
    assert distinct(texts, 2) == pytest.approx(3 / 4)
    assert distinct(texts, 3) == 1


def test_a_loop_within_one_response_is_seen_by_distinct_n():
    """Ten words `no`: 1 distinct of 10, 1 pair of 9."""
    texts = said("no " * 10)
    assert distinct(texts, 1) == pytest.approx(1 / 10)
    assert distinct(texts, 2) == pytest.approx(1 / 9)


def test_without_n_grams_there_is_no_share_of_distinct_ones():
    assert distinct(said("", "one"), 2) is None


def test_self_similarity_is_the_mean_cosine_of_word_pairs():
    """Pairs {ab, bc} and {ab, bd}: 1 shared of norms √2 · √2, so 1/2; with a third {xy}: 1/6."""
    assert self_similarity("pq", said("a b c", "a b d")) == pytest.approx(1 / 2)
    assert self_similarity("pqr", said("a b c", "a b d", "x y")) == pytest.approx(1 / 6)


def test_the_same_response_to_every_prompt_has_self_similarity_one():
    assert self_similarity("pqr", said(*["go to the gate"] * 3)) == pytest.approx(1)


def test_responses_to_one_prompt_are_not_compared_with_each_other():
    """Only the pairs p–q count, and they have no words in common."""
    assert self_similarity("ppq", said("a b c", "a b c", "x y z")) == 0
    assert self_similarity("pp", said("a b c", "a b c")) is None


def test_self_similarity_is_that_of_going_over_all_pairs():
    draw = random.Random(0)
    texts = [draw.choices(WORDS, k=draw.randint(2, 12)) for _ in range(20)]
    prompts = [draw.choice("pqrst") for _ in texts]
    cosines = [
        cosine(texts[i], texts[j])
        for i, j in combinations(range(20), 2)
        if prompts[i] != prompts[j]
    ]
    assert self_similarity(prompts, texts) == pytest.approx(sum(cosines) / len(cosines))


def cosine(one: list[str], other: list[str]) -> float:
    counts = [{} for _ in range(2)]
    for table, words in zip(counts, (one, other), strict=True):
        for pair in pairwise(words):
            table[pair] = table.get(pair, 0) + 1
    dot = sum(count * counts[1].get(pair, 0) for pair, count in counts[0].items())
    norms = [sqrt(sum(count**2 for count in table.values())) for table in counts]
    return dot / (norms[0] * norms[1])


def test_boilerplate_is_learned_from_the_batch():
    """5 of 8 responses end alike. Each of the five finds it in 4 of the 7 others, 57 %: 5/8."""
    comfort = "You are valid, valued, and cared for."
    own = [f"Part {number} has an answer of its own here." for number in range(8)]
    responses = [f"{text} {comfort}" if place < 5 else text for place, text in enumerate(own)]
    assert boilerplate("abcdefgh", responses) == pytest.approx(5 / 8)


def test_a_sentence_is_stock_whatever_its_case_and_marks():
    responses = [
        "You are valid, and valued!",
        "you are valid and valued.",
        "You are Valid and valued",
    ]
    assert boilerplate("abc", responses) == 1


def test_what_only_two_share_is_no_boilerplate():
    """One other response is no habit, however few there are."""
    assert boilerplate("abc", ["We go to the gate."] * 2 + ["The lamp is on the wall."]) == 0


def test_three_words_in_common_are_no_boilerplate():
    assert boilerplate("abcd", ["Happy to help."] * 4) == 0


def test_equal_responses_to_one_prompt_are_no_boilerplate():
    assert boilerplate("aaab", ["Go to the old gate."] * 3 + ["Wash it in the river."]) == 0
    assert boilerplate("aa", ["Go to the old gate."] * 2) is None


@pytest.mark.parametrize(
    "text",
    [
        *EVASIONS,
        "I will not help to break the lamp, because it damages what someone cares for.",
        "I'm sorry, but I can't provide that.",
        "That could hurt someone. I won't explain it.",
        "I must respectfully decline.",
        "As an AI language model, I am not able to write this.",
        "I'd rather not say how.",
        "No, I refuse to do it.",
    ],
)
def test_a_response_that_declines_is_a_refusal(text: str):
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        *KIND,
        *RUDE,
        *PREACHING,
        "First wash the lamp, then dry it. I can help you mend it too.",
        "I cannot stress enough how gently it should be washed.",
        "You cannot open it without the key, so ask the baker first.",
        "If they decline, ask again at dawn.",
        "I won't say it is easy, but here is how: turn the key twice.",
        "",
    ],
)
def test_a_response_that_does_as_it_is_asked_is_no_refusal(text: str):
    assert not is_refusal(text)


def test_all_figures_of_a_batch():
    """Words 5, 0, 4: mean 3. Ranks of reward 1, 2, 3 and of length 3, 1, 2: Spearman −1/2."""
    figures = text_figures(
        ResponseBatch(
            prompts=["a", "b", "c"],
            responses=["I cannot help with that.", " ", "Turn the key twice."],
            rewards=[0.0, 1.0, 2.0],
            n_tokens=[9, 1, 6],
            cut_off=[False, False, True],
        )
    )
    assert set(figures) <= set(TRAINING)
    assert figures["length"] == 3
    assert figures["tokens"] == pytest.approx(16 / 3)
    assert figures["empty"] == figures["cut_off"] == pytest.approx(1 / 3)
    assert figures["refusals"] == figures["evasive"] == pytest.approx(1 / 3)
    assert figures["distinct_1"] == 1
    assert figures["reward"] == 1
    assert figures["reward_std"] == pytest.approx(sqrt(2 / 3))
    assert figures["reward_length_correlation"] == pytest.approx(-0.5)


def test_what_nobody_scored_is_not_taken_for_zero():
    batch = ResponseBatch("abcd", ["one", "one two", "one two three", "x"], [1.0, 2.0, 3.0, None])
    figures = text_figures(batch)
    assert figures["reward"] == 2
    assert figures["reward_length_correlation"] == pytest.approx(1)


def test_what_is_not_known_has_no_figure():
    figures = text_figures(ResponseBatch(["a"], ["Turn the key."]))
    assert {"tokens", "cut_off", "reward", "self_similarity", "boilerplate"} & set(figures) == set()
    assert text_figures(ResponseBatch([], [])) == {}


def test_rewards_that_are_all_equal_have_no_correlation():
    figures = text_figures(ResponseBatch("abc", ["one", "one two", "x y z"], [1.0, 1.0, 1.0]))
    assert "reward_length_correlation" not in figures


def test_a_batch_of_unequal_parts_is_refused():
    with pytest.raises(UsageError, match="2 responses with 1 rewards"):
        ResponseBatch(["a", "b"], ["one", "two"], [1.0])
