"""Pairs of scored responses: the best over the worst of those to one prompt."""

from pathlib import Path

import pytest
from made_runs import FAILED, made_run, scored

from cai.export.export import Export, ExportSummary
from cai.export.rows import Dropped, PreferencePair
from cai.export.scored_pairs import best_over_worst_scored
from cai.methods.judging.pointwise import Scored


def answer(text: str, value: float, *, asked: str = "Why?") -> Scored:
    return scored(f"{asked}/{text}", text, value, asked=asked)


def test_the_best_is_chosen_over_the_worst():
    pair = best_over_worst_scored([answer("b", 0.1), answer("a", 0.9), answer("c", -0.5)])
    assert isinstance(pair, PreferencePair)
    assert (pair.chosen, pair.rejected, pair.chosen_probability) == ("a", "c", None)


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        ([answer("a", 0.5)], "one response"),
        ([answer("a", 0.5), answer("b", 0.5)], "tie"),
        ([answer("a b", 0.5), answer("a  b", 0.4)], "equal texts"),
    ],
)
def test_a_group_without_a_preference_makes_no_pair(group: list[Scored], reason: str):
    assert best_over_worst_scored(group) == Dropped(reason)


def test_responses_to_one_prompt_that_follow_each_other_are_a_group(tmp_path: Path):
    items = [answer("a", 0.9), FAILED, scored("u", "x", "unparsed"), answer("b", 0.1),
             answer("c", 0.2, asked="How?"), answer("d", 0.4, asked="How?"),
             answer("e", 0.4, asked="When?")]  # fmt: skip
    with made_run(tmp_path, items) as run:
        summary = ExportSummary("preference")
        rows = list(Export.of([run], "preference").rows(summary))
    found = [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows]
    assert found == [("a", "b"), ("d", "c")]
    assert summary.dropped == {"one response": 1, "failed": 1, "unparsed": 1}
