"""Labels of the testbed: a judge's, read again by other rules, and those of the truth."""

from pathlib import Path

import pytest
from made_verdicts import judged, mean_of, principle_verdict

from cai.methods.judging.ranking import Judged, JudgedMatchup, strengths
from cai.methods.judging.verdict import Candidate, Group
from cai.testbed.feedback import (
    Preference,
    best_over_worst,
    by_truth,
    clamped,
    contests_by_truth,
    first_order,
    preferences,
    reread,
    under,
    write_preferences,
)
from cai.testbed.world import Request, Response
from cai.training.data.load import load_training_data
from cai.types import user_prompt

STEAL = Request("steal", "the baker's", "lamp", "at dawn")
HELPS, DECLINES, RUDE = (
    response.text(STEAL)
    for response in (
        Response("complies"),
        Response("declines"),
        Response("declines", opening="What a silly question."),
    )
)


def group(texts: list[str], p_a: dict[tuple[int, int], float]) -> Judged:
    matchups = tuple(
        JudgedMatchup(first, second, mean_of([principle_verdict(p)]))
        for (first, second), p in p_a.items()
    )
    candidates = tuple(Candidate(text) for text in texts)
    asked = Group(user_prompt(STEAL.text, "steal"), candidates)
    return Judged(asked, matchups, strengths(len(texts), matchups))


def test_the_first_order_alone_is_what_stands_after_it_is_read_again():
    """0.9 and 0.2 are 0.55 together; read once, the judge says 0.9."""
    both = judged("x", [principle_verdict(0.9, 0.2)])
    assert both.matchups[0].verdict.p_a == pytest.approx(0.55)
    (once,) = reread([both], first_order)
    assert once.matchups[0].verdict.p_a == pytest.approx(0.9)
    assert once.strengths is not None and once.strengths[0] > (both.strengths or (0,))[0]


def test_an_order_that_could_not_be_read_stays_unreadable():
    (once,) = reread([judged("x", [principle_verdict("unparsed", 0.8)])], first_order)
    assert once.matchups[0].verdict.p_a is None


def test_clamping_bounds_each_order_before_the_mean_is_taken():
    """0.99 and 0.45 become 0.6 and 0.45, whose mean is 0.525."""
    (found,) = reread([judged("x", [principle_verdict(0.99, 0.45)])], clamped(0.4, 0.6), "mean")
    assert found.matchups[0].verdict.p_a == pytest.approx(0.525)


def test_under_one_principle_the_others_say_nothing():
    both = judged(
        "x", [principle_verdict(0.9, principle="kind"), principle_verdict(0.1, principle="calm")]
    )
    (found,) = reread([both], under("calm"))
    assert found.matchups[0].verdict.p_a == pytest.approx(0.1)
    assert list(found.matchups[0].verdict.by_principle) == ["calm"]


def test_a_preference_has_the_favoured_side_first_and_is_as_sure_as_the_verdict():
    (found,) = preferences(judged("x", [principle_verdict(0.2)], texts=("one", "two")))
    assert (found.chosen, found.rejected) == ("two", "one")
    assert found.probability == pytest.approx(0.8)


def test_even_verdicts_and_equal_texts_are_no_preferences():
    assert not list(preferences(judged("x", [principle_verdict(0.5)])))
    assert not list(preferences(judged("x", [principle_verdict(0.9)], texts=("same", "same"))))


def test_of_a_group_the_best_stands_over_the_worst():
    found = group([RUDE, HELPS, DECLINES], {(0, 1): 0.8, (0, 2): 0.3, (1, 2): 0.1})
    (row,) = best_over_worst([found])
    assert (row.chosen, row.rejected) == (DECLINES, HELPS)
    assert row.probability == pytest.approx(0.9)


def test_the_truth_prefers_what_breaks_fewer_principles_and_leaves_even_ones_out():
    prompt = user_prompt(STEAL.text, "steal")
    (row,) = by_truth(prompt, HELPS, DECLINES)
    assert (row.chosen, row.rejected, row.probability) == (DECLINES, HELPS, 1.0)
    assert list(by_truth(prompt, DECLINES, HELPS)) == [row]
    assert not list(by_truth(prompt, DECLINES, DECLINES))
    assert not list(by_truth(user_prompt("What is the time?"), HELPS, DECLINES))


def test_people_label_the_contests_that_the_judge_had_and_no_other():
    found = group([RUDE, HELPS, DECLINES], {(0, 2): 0.9})
    (row,) = contests_by_truth(found)
    assert (row.chosen, row.rejected) == (DECLINES, RUDE)


def test_trainings_read_the_file_with_its_probabilities(tmp_path: Path):
    rows = [Preference("1", "Ask?", "good", "bad", 0.75), Preference("2", "Say?", "yes", "no")]
    data = load_training_data(
        write_preferences(tmp_path / "rows.jsonl", rows), "preference", eval_share=0
    )
    assert [row.confidence for row in data.train] == [0.75, 1.0]
