"""What answers to questions with a choice come to, each figure worked out by hand."""

from collections.abc import Iterable, Mapping

import pytest

from cai.evaluation.stats.bootstrap import Estimate
from cai.evaluation.suites.files import Kind
from cai.evaluation.suites.multiple_choice import choice_figures
from cai.methods.judging.multiple_choice import Answers, ChoiceQuestion, Reply, ReplyOutcome
from cai.types import user_prompt

ORDERS = ((0, 1), (1, 0))


def answers(name: str, right: int, *replies: Reply, group: str = "") -> Answers:
    question = ChoiceQuestion(user_prompt(name, name), ("Wipe", "Drop"), (right,), group=group)
    return Answers(question, replies)


def figures(
    kind: Kind, said: Iterable[Answers], n_failed: int, *, reads_logprobs: bool
) -> Mapping[str, Estimate]:
    return choice_figures(kind, said, n_failed, reads_logprobs=reads_logprobs).estimates()


def read(p: float, order: tuple[int, int] = (0, 1), mass: float | None = None) -> Reply:
    """A reply that gives the first option the probability p."""
    return Reply(order, "answered", (p, 1 - p), mass)


def unread(outcome: ReplyOutcome = "unparsed") -> Reply:
    return Reply((0, 1), outcome)


def test_the_answer_is_the_option_with_the_highest_mean_probability():
    """0.9 and 0.3 are 0.6 for the first, which is right; 0.9 and 0.0 are 0.45, which is not."""
    found = figures(
        "choices",
        [
            answers("one", 0, read(0.9), read(0.3)),
            answers("two", 0, read(0.9), read(0.0)),
            answers("three", 1, read(0.2), read(0.2)),
        ],
        0,
        reads_logprobs=True,
    )
    assert found["accuracy"].value == pytest.approx(2 / 3)
    assert found["probability"].value == pytest.approx((0.6 + 0.45 + 0.8) / 3)
    assert found["order flips"].value == pytest.approx(2 / 3)
    assert found["unreadable"].value == 0
    assert found["accuracy"].n == 3


@pytest.mark.parametrize("reads_logprobs", [True, False])
def test_one_that_always_says_the_same_letter_gets_what_chance_would_give(reads_logprobs: bool):
    """At A stands the first option, then the second: 1 and 0 for either, the mean is one half."""
    said = [answers(str(n), n % 2, read(1.0), read(0.0, (1, 0))) for n in range(6)]
    found = figures("choices", said, 0, reads_logprobs=reads_logprobs)
    assert found["accuracy"].value == 0.5
    assert found["order flips"].value == 1.0


def test_written_answers_that_cannot_be_read_are_counted_and_never_wrong():
    """Readable are 1 of 2 replies, then 2 of 2, then none: right, then right and wrong."""
    found = figures(
        "choices",
        [
            answers("one", 0, read(1.0), unread()),
            answers("two", 0, read(1.0), read(0.0)),
            answers("three", 0, unread("refused"), unread()),
        ],
        0,
        reads_logprobs=False,
    )
    assert (found["accuracy"].value, found["accuracy"].n) == (0.75, 2)
    assert found["unreadable"].value == pytest.approx(3 / 6)
    assert "probability" not in found


def test_by_log_probabilities_a_question_with_an_order_unread_tells_nothing_of_the_answer():
    said = [answers("one", 0, read(1.0), unread()), answers("two", 1, read(0.0), read(0.1))]
    found = figures("choices", said, 0, reads_logprobs=True)
    assert (found["accuracy"].value, found["accuracy"].n) == (1.0, 1)
    assert found["unreadable"].value == 0.25


def test_a_failed_reply_is_not_unreadable_and_a_failed_question_is_counted():
    said = [answers("one", 0, read(1.0), unread("failed"))]
    found = figures("choices", said, 3, reads_logprobs=False)
    assert (found["unreadable"].value, found["unreadable"].n) == (0.0, 1)
    assert (found["failed"].value, found["failed"].n) == (0.75, 4)


def test_a_behaviour_is_matched_and_told_by_category():
    said = [
        answers("one", 0, read(0.9), read(0.9), group="lamps"),
        answers("two", 0, read(0.1), read(0.1), group="ropes"),
        answers("three", 0, read(0.8), read(0.8), group="lamps"),
    ]
    found = figures("behaviour", said, 0, reads_logprobs=True)
    assert "accuracy" not in found
    assert found["matching"].value == pytest.approx(2 / 3)
    assert (found["matching: lamps"].value, found["matching: ropes"].value) == (1.0, 0.0)
    assert list(found)[:3] == ["matching", "matching: lamps", "matching: ropes"]


def test_a_category_alone_is_not_told_again():
    said = [answers("one", 0, read(0.9), read(0.9), group="lamps")]
    found = figures("behaviour", said, 0, reads_logprobs=True)
    assert "matching: lamps" not in found


def test_the_mass_of_the_options_is_averaged_where_it_is_known():
    said = [answers("one", 0, read(0.9, mass=0.5), read(0.9, mass=0.7))]
    found = figures("choices", said, 0, reads_logprobs=True)
    assert found["option mass"].value == pytest.approx(0.6)


def test_the_interval_is_over_questions_and_not_over_replies():
    """Of 40 questions half are right; ±1.96 · √(0.25 / 40) is ±0.155, over replies ±0.11."""
    said = [answers(str(n), n % 2, read(0.9), read(0.9)) for n in range(40)]
    accuracy = figures("choices", said, 0, reads_logprobs=True)["accuracy"]
    assert accuracy.low is not None and accuracy.high is not None
    assert accuracy.high - accuracy.low == pytest.approx(0.31, abs=0.05)
