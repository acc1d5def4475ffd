"""Word-level diffs: both texts can be read out of one, and what is cut is said."""

import random

import pytest

from cai.report.diffs import FEW_WORDS, changed_share, diff
from cai.report.model import TextBlock


def texts(found: TextBlock) -> tuple[str, str]:
    before = "".join(span.text for span in found.spans if span.kind != "ins")
    after = "".join(span.text for span in found.spans if span.kind != "del")
    return before, after


def random_text(rng: random.Random) -> str:
    words = [rng.choice(["one", "two", "three,", "four.", "\n\n", "fünf"]) for _ in range(30)]
    return "".join(word + rng.choice([" ", "  ", "\n"]) for word in words[: rng.randrange(30)])


@pytest.mark.parametrize("seed", range(40))
def test_both_texts_can_be_read_out_of_a_diff(seed: int):
    rng = random.Random(seed)
    before, after = random_text(rng), random_text(rng)
    read = texts(diff("x", before, after))
    assert [text.split() for text in read] == [before.split(), after.split()]


def test_whole_words_come_and_go():
    found = diff("x", "You are a silly goose of the lake.", "You are a kind goose of the lake.")
    assert [(span.kind, span.text) for span in found.spans] == [
        ("same", "You are a"),
        ("del", " silly"),
        ("ins", " kind"),
        ("same", " goose of the lake."),
    ]


def test_equal_texts_are_one_span():
    (span,) = diff("x", "The same text.", "The same text.").spans
    assert (span.kind, span.text) == ("same", "The same text.")


def test_a_word_or_two_between_changes_belong_to_the_change():
    assert FEW_WORDS == 2
    found = diff("x", "a b of the c d", "w x of the y z")
    assert [span.kind for span in found.spans] == ["del", "ins"]
    assert texts(found) == ("a b of the c d", "w x of the y z")


def test_what_is_cut_off_is_counted():
    found = diff("x", "a " * 1000, "b " * 3000, longest=1200)
    assert found.n_more == 6000 - 1200
    assert [len(text) for text in texts(found)] == [1200, 1200]


def test_texts_that_repeat_themselves_are_compared_at_their_ends():
    before = "Once " + "no yes " * 150 + "end."
    after = "Once " + "no but " * 150 + "end."
    found = diff("x", before, after, longest=5000)
    assert [span.kind for span in found.spans] == ["same", "del", "ins", "same"]
    assert texts(found) == (before, after)
    assert (found.spans[0].text, found.spans[-1].text) == ("Once no", " end.")


def test_the_changed_share_is_of_the_words_of_both():
    """Of 3 + 3 words two are in both, each counted twice: 1 − 4/6."""
    assert changed_share("a b c", "a b d") == pytest.approx(1 / 3)
    assert changed_share("a b", "a b") == 0
    assert changed_share("a", "b") == 1
    assert changed_share("", "") == 0
