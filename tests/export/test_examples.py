"""Judged groups as pairs: which side is chosen, how sure the row is, and what makes no pair.

The matchups are written down by hand; `(0, 1): 0.25` says that the response at place 0 is better
than that at place 1 with a probability of 0.25.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import FAILED, Contests, contested, judged_with, made_run
from made_verdicts import mean_of, principle_verdict

from cai.engine.run_files import Failure
from cai.export.examples import pairs_of_judged
from cai.export.export import Export, ExportSummary
from cai.export.formats import Format, Row
from cai.export.rows import Dropped, PreferencePair
from cai.export.selection import PairChoice, Selection
from cai.methods.judging.composition import Composer
from cai.methods.judging.ranking import Judged, JudgedMatchup, strengths
from cai.methods.judging.verdict import Outcome

BEST_WORST, ALL, ONE = (Selection(pairs=choice) for choice in ("best-worst", "all", "one"))


def pairs(
    judged: Judged, selection: Selection = BEST_WORST, tie_margin: float = 0.0
) -> list[PreferencePair]:
    found = pairs_of_judged(judged, selection, Composer("mean", tie_margin=tie_margin))
    return [each for each in found if isinstance(each, PreferencePair)]


def reasons(
    judged: Judged, selection: Selection = BEST_WORST, tie_margin: float = 0.0
) -> list[str]:
    found = pairs_of_judged(judged, selection, Composer("mean", tie_margin=tie_margin))
    return [each.reason for each in found if isinstance(each, Dropped)]


def exported(
    folder: Path, items: Sequence[Judged | Failure], format: Format, selection: Selection
) -> tuple[list[Row], ExportSummary]:
    summary = ExportSummary(format)
    with made_run(folder, items) as run:
        return list(Export.of([run], format, selection).rows(summary)), summary


@pytest.mark.parametrize("selection", [BEST_WORST, ALL, ONE])
@pytest.mark.parametrize(
    ("p_a", "chosen", "probability"),
    [(0.75, "first", 0.75), (0.25, "second", 0.75), (1.0, "first", 1.0), (0.0, "second", 1.0)],
)
def test_the_side_that_the_judge_prefers_is_chosen(
    p_a: float, chosen: str, probability: float, selection: Selection
):
    (pair,) = pairs(contested("1", ["first", "second"], {(0, 1): p_a}), selection)
    assert pair.chosen == chosen
    assert {pair.chosen, pair.rejected} == {"first", "second"}
    assert pair.chosen_probability == probability
    models = {"first": "policy-0", "second": "policy-1"}
    assert (pair.chosen_model, pair.rejected_model) == (models[chosen], models[pair.rejected])


@pytest.mark.parametrize("p_a", [0.125, 0.375, 0.625, 1.0])
def test_swapping_the_sides_changes_neither_the_chosen_text_nor_its_probability(p_a: float):
    (order_ab,) = pairs(contested("1", ["x", "y"], {(0, 1): p_a}))
    (order_ba,) = pairs(contested("1", ["y", "x"], {(0, 1): 1 - p_a}))
    assert (order_ab.chosen, order_ab.rejected) == (order_ba.chosen, order_ba.rejected)
    assert order_ab.chosen_probability == order_ba.chosen_probability
    assert order_ab.judging and order_ba.judging
    assert order_ab.judging.by_principle == order_ba.judging.by_principle


@pytest.mark.parametrize("selection", [BEST_WORST, ALL, ONE])
def test_a_judge_that_always_says_the_first_letter_makes_ties_and_no_row(selection: Selection):
    """With the responses swapped, its 0.9 for A is 0.1 for the response that now stands at B: the
    mean is one half, by log-probabilities a tie and in words inconsistent."""
    by_logprobs = contested("1", ["x", "y"], {(0, 1): (0.9, 0.1)})
    assert (pairs(by_logprobs, selection), reasons(by_logprobs, selection)) == ([], ["tie"])
    in_words = contested(
        "1",
        ["x", "y"],
        {(0, 1): mean_of([principle_verdict(1.0, 0.0, is_voted=True)])},
    )
    assert reasons(in_words, selection) == ["inconsistent"]
    kept = replace(selection, includes_inconsistent=True)
    assert reasons(in_words, kept) == ["tie"]


@pytest.mark.parametrize("outcome", ["unparsed", "refused", "failed"])
@pytest.mark.parametrize("selection", [BEST_WORST, ALL, ONE])
def test_what_could_not_be_read_makes_no_pair(outcome: Outcome, selection: Selection):
    judged = contested("1", ["x", "y"], {(0, 1): outcome})
    assert (pairs(judged, selection), reasons(judged, selection)) == ([], [outcome])


@pytest.mark.parametrize("outcome", ["unparsed", "refused", "failed"])
def test_a_response_whose_contests_failed_is_never_the_rejected_one(outcome: Outcome):
    judged = contested("1", ["x", "y", "z"], {(0, 1): 0.75, (0, 2): outcome, (1, 2): outcome})
    assert reasons(judged) == ["no ranking"]
    (pair,) = pairs(judged, ALL)
    assert (pair.chosen, pair.rejected) == ("x", "y")
    assert pair.judging and pair.judging.chosen_rank is None
    assert reasons(judged, ALL) == [outcome, outcome]
    assert [each.chosen for each in pairs(judged, ONE)] == ["x"]


def cut_off(judged: Judged, *places: int) -> Judged:
    """The group with the responses at these places cut off."""
    candidates = tuple(
        replace(each, is_cut_off=place in places)
        for place, each in enumerate(judged.group.candidates)
    )
    return replace(judged, group=replace(judged.group, candidates=candidates))


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("selection", [BEST_WORST, ALL, ONE])
def test_a_response_that_was_cut_off_makes_no_pair_unless_it_is_kept(
    place: int, selection: Selection
):
    judged = cut_off(contested("1", ["x", "y"], {(0, 1): 0.75}), place)
    assert (pairs(judged, selection), reasons(judged, selection)) == ([], ["cut-off"])
    kept = replace(selection, drops=frozenset({"critique-instead"}))
    assert [each.chosen for each in pairs(judged, kept)] == ["x"]


def test_of_several_only_the_pairs_with_the_one_that_was_cut_off_are_dropped():
    judged = contested("1", ["x", "y", "z"], {(0, 1): 0.75, (0, 2): 0.75, (1, 2): 0.75})
    found = cut_off(judged, 2)
    assert [(each.chosen, each.rejected) for each in pairs(found, ALL)] == [("x", "y")]
    assert reasons(found, ALL) == ["cut-off", "cut-off"]


def test_inconsistent_pairs_are_kept_when_asked_for():
    """Three of four samples of the first order and two of the second favour A: 0.75 and 0.4 are
    0.575 in the mean."""
    verdict = mean_of([principle_verdict(0.75, 0.4, is_voted=True)])
    judged = contested("1", ["x", "y"], {(0, 1): verdict})
    assert verdict.outcome == "inconsistent"
    assert reasons(judged) == ["inconsistent"]
    (pair,) = pairs(judged, Selection(includes_inconsistent=True))
    assert pair.chosen == "x"
    assert pair.chosen_probability == pytest.approx(0.575)
    assert pair.judging and (pair.judging.outcome, pair.judging.n_flips) == ("inconsistent", 1)


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["x", " "], "empty text"),
        (["", "x"], "empty text"),
        (["a b", "a  b\n"], "equal texts"),
    ],
)
def test_texts_that_are_empty_or_the_same_make_no_pair(texts: list[str], reason: str):
    for choice in (BEST_WORST, ALL, ONE):
        assert reasons(contested("1", texts, {(0, 1): 0.9}), choice) == [reason]


def test_best_over_worst_is_their_own_contest_where_they_met():
    """Of the strengths x is the best and z the worst; their matchup says 0.625."""
    judged = contested("1", ["z", "y", "x"], {(0, 1): 0.25, (1, 2): 0.25, (0, 2): 0.375})
    (pair,) = pairs(judged)
    assert (pair.chosen, pair.rejected, pair.chosen_probability) == ("x", "z", 0.625)
    judging = pair.judging
    assert judging is not None
    assert (judging.basis, judging.outcome, judging.margin) == ("matchup", "b", 0.125)
    assert (judging.chosen_place, judging.rejected_place) == (2, 0)
    assert (judging.chosen_rank, judging.rejected_rank, judging.n_responses) == (1, 3, 3)


@pytest.mark.parametrize("met", [{}, {(0, 2): "refused"}])
def test_best_over_worst_is_by_strengths_where_they_did_not_meet_or_could_not_be_read(
    met: Contests,
):
    judged = contested("1", ["x", "y", "z"], {(0, 1): 0.75, (1, 2): 0.75, **met})
    assert judged.strengths is not None
    (pair,) = pairs(judged)
    assert (pair.chosen, pair.rejected) == ("x", "z")
    best, _, worst = judged.strengths
    assert pair.chosen_probability == pytest.approx(1 / (1 + math.exp(worst - best)))
    assert pair.chosen_probability > 0.8
    assert pair.judging and pair.judging.basis == "strengths"
    assert (pair.judging.outcome, pair.judging.by_principle) == (None, ())


def test_a_contest_against_the_ranking_makes_no_pair():
    """x beats y and y beats z by far, and z beats x by a little: x is ranked over z all the same,
    and neither may be called the better one."""
    judged = contested("1", ["x", "y", "z"], {(0, 1): 0.95, (1, 2): 0.95, (0, 2): 0.45})
    assert judged.ranking == (0, 1, 2)
    assert reasons(judged) == ["against the ranking"]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_where_all_tie_nothing_is_best_or_worst(n: int):
    matchups = {(i, j): 0.5 for i in range(n) for j in range(i + 1, n)}
    judged = contested("1", [f"text {i}" for i in range(n)], matchups)
    for selection in (BEST_WORST, ONE):
        assert reasons(judged, selection) == ["tie"]
    assert reasons(judged, ALL) == ["tie"] * len(matchups)


def test_strengths_within_the_judge_s_margin_for_ties_are_a_tie():
    """x over y and y over z with 0.55 each: strengths are about 0.18 apart, some 0.59 in all."""
    judged = contested("1", ["x", "y", "z"], {(0, 1): 0.55, (1, 2): 0.55})
    assert len(pairs(judged, tie_margin=0.05)) == 1
    assert reasons(judged, tie_margin=0.2) == ["tie"]


def test_the_margin_of_the_run_s_own_judge_is_used(tmp_path: Path):
    judged = contested("1", ["x", "y", "z"], {(0, 1): 0.55, (1, 2): 0.55})
    with made_run(tmp_path, [judged], judged_with(0.2)) as run:
        summary = ExportSummary("preference")
        assert list(Export.of([run], "preference").rows(summary)) == []
    assert summary.dropped == Counter(tie=1)


def test_all_gives_every_contest_and_one_gives_one_of_them():
    matchups = {(0, 1): 0.75, (0, 2): 0.5, (1, 2): 0.25, (2, 3): "refused", (0, 3): 0.625}
    judged = contested("1", ["a", "b", "c", "d"], matchups)
    found = [(pair.chosen, pair.rejected) for pair in pairs(judged, ALL)]
    assert found == [("a", "b"), ("c", "b"), ("a", "d")]
    assert reasons(judged, ALL) == ["tie", "refused"]
    (one,) = pairs(judged, ONE)
    assert (one.chosen, one.rejected) in found


def test_the_one_pair_depends_on_the_prompt_alone_and_takes_each_contest_in_turn():
    """Of 300 prompts, each of three matchups is drawn 100 ± 4·√(300·⅓·⅔) = 100 ± 33 times."""
    matchups = {(0, 1): 0.75, (0, 2): 0.75, (1, 2): 0.75}
    drawn = [pairs(contested(str(id), ["a", "b", "c"], matchups), ONE)[0] for id in range(300)]
    counts = Counter((pair.chosen, pair.rejected) for pair in drawn)
    assert len(counts) == 3
    assert all(abs(n - 100) <= 33 for n in counts.values())
    others = dict.fromkeys(matchups, 0.9)
    for id in range(20):
        (again,) = pairs(contested(str(id), ["d", "e", "f"], others), ONE)
        assert again.judging and drawn[id].judging
        assert again.judging.rejected_place == drawn[id].judging.rejected_place


@pytest.mark.parametrize(
    ("min_margin", "n"), [(0.0, 3), (0.05, 3), (0.1, 2), (0.25, 1), (0.3, 0), (0.5, 0)]
)
def test_a_pair_is_taken_from_the_least_margin_on(min_margin: float, n: int):
    """0.55, 0.6 and 0.75 are 0.05, 0.1 and 0.25 from one half, whatever a float makes of it."""
    judged = contested("1", ["a", "b", "c"], {(0, 1): 0.55, (0, 2): 0.4, (1, 2): 0.75})
    selection = Selection(pairs="all", min_margin=min_margin)
    assert len(pairs(judged, selection)) == n
    assert reasons(judged, selection) == ["unsure"] * (3 - n)


def test_of_the_principles_the_probability_of_the_chosen_side_is_told():
    """Under be-kind 0.25 for A at weight 3, under be-brief 0.75 at weight 1: 0.375 in the mean."""
    principle_verdicts = [
        principle_verdict(0.25, principle="be-kind", weight=3.0),
        principle_verdict(1.0, 0.5, principle="be-brief"),
        principle_verdict("refused", 0.5, principle="be-brief"),
    ]
    (pair,) = pairs(contested("1", ["x", "y"], {(0, 1): mean_of(principle_verdicts)}))
    assert (pair.chosen, pair.chosen_probability) == ("y", 0.625)
    assert pair.judging is not None
    told = {each.principle: each.probability for each in pair.judging.by_principle}
    assert told == {"be-kind": 0.75, "be-brief": 0.25}
    assert (pair.judging.n_flips, pair.judging.n_questions) == (0, 2)


def test_equal_strengths_share_a_rank():
    matchups = (
        JudgedMatchup(0, 1, mean_of([principle_verdict(0.9)])),
        JudgedMatchup(0, 2, mean_of([principle_verdict(0.9)])),
    )
    judged = contested("1", ["x", "y", "z"], {})
    judged = Judged(judged.group, matchups, strengths(3, matchups))
    found = [pair.judging for pair in pairs(judged, ALL)]
    assert [each.rejected_rank for each in found if each] == [2, 2]


EVERY_REASON: list[Judged | Failure] = [
    contested("1", ["x", "y"], {(0, 1): 0.75}),
    contested("2", ["x", "y"], {(0, 1): 0.5}),
    contested(
        "3",
        ["x", "y"],
        {(0, 1): mean_of([principle_verdict(1.0, 0.0, is_voted=True)])},
    ),
    contested("4", ["x", "y"], {(0, 1): "unparsed"}),
    contested("5", ["x", "y"], {(0, 1): "refused"}),
    contested("6", ["x", "y"], {(0, 1): ("failed", 0.5)}),
    FAILED,
    contested("7", ["x", "x "], {(0, 1): 0.75}),
    contested("8", ["x", ""], {(0, 1): 0.75}),
    contested("9", ["x", "y"], {(0, 1): 0.51}),
    contested("10", ["x", "y", "z"], {(0, 1): 0.75}),
    contested("11", ["x", "y", "z"], {(0, 1): 0.95, (1, 2): 0.95, (0, 2): 0.35}),
    contested("12", ["x", "y"], {(0, 1): 0.1}),
]


@pytest.mark.parametrize("format", ["preference", "reward", "kto", "sft"])
def test_everything_left_out_is_counted_with_its_reason(format: Format, tmp_path: Path):
    rows, summary = exported(tmp_path, EVERY_REASON, format, Selection(min_margin=0.1))
    assert summary.dropped == Counter(
        {
            "tie": 1, "inconsistent": 1, "unparsed": 1, "refused": 1, "failed": 2,
            "equal texts": 1, "empty text": 1, "unsure": 1, "no ranking": 1,
            "against the ranking": 1,
        }
    )  # fmt: skip
    assert summary.n_considered == len(EVERY_REASON) == summary.dropped.total() + 2
    assert len(rows) == summary.n_rows == (4 if format == "kto" else 2)


@pytest.mark.parametrize("choice", ["best-worst", "all", "one"])
def test_rows_and_what_is_left_out_add_up(choice: PairChoice, tmp_path: Path):
    """Of `all` to the matchups (3 of two groups, 1 of ten) and the failed example, 17; else 13."""
    rows, summary = exported(tmp_path, EVERY_REASON, "preference", Selection(pairs=choice))
    assert summary.n_considered == (15 if choice == "all" else 13)
    assert len(rows) + summary.dropped.total() == summary.n_considered


def test_a_row_tells_how_it_was_judged(tmp_path: Path):
    rows, _ = exported(tmp_path, EVERY_REASON[-1:], "reward", BEST_WORST)
    assert rows[0]["chosen"] == [{"role": "assistant", "content": "y"}]
    assert rows[0]["chosen_probability"] == 0.9
    assert rows[0]["judging"] == {
        "basis": "matchup",
        "outcome": "b",
        "margin": 0.4,
        "compose": "mean",
        "calibration": "none",
        "p_tie": None,
        "speaking": pytest.approx(0.8),
        "by_principle": (
            {
                "principle": "be-kind",
                "probability": pytest.approx(0.9),
                "chosen": pytest.approx(0.8),
                "rejected": 0.0,
            },
        ),
        "n_flips": 0,
        "n_questions": 1,
        "chosen_place": 1,
        "rejected_place": 0,
        "chosen_rank": 1,
        "rejected_rank": 2,
        "n_responses": 2,
    }
    provenance = rows[0]["provenance"]
    assert (provenance["method"], provenance["run"]) == ("judge", tmp_path.name)
    assert provenance["models"] == ["policy-1", "policy-0"]
    assert provenance["principle_ids"] == ["be-kind"]
    assert [judge["model"] for judge in provenance["judges"]] == ["scripted-judge"]
    assert "margin" not in rows[0]  # trainers of reward models would subtract it in their loss
