"""The report of runs: what it says is what is in the folder."""

from pathlib import Path

import pytest
from made_runs import (
    FAILED,
    FOUND_NOTHING,
    chain,
    contested,
    made_run,
    revised,
    samples,
    scored,
)
from made_verdicts import judge_recipe, judged, judged_run, principle_verdict
from reading_pages import Page, read

from cai.evaluation.format import number, percent, share
from cai.evaluation.judge.agreement import agreement
from cai.evaluation.judge.audit import audit
from cai.methods.judging.composition import Composer
from cai.report.build import write_report

HELPS = "Take the lamp and hide it well under the old boat."
DECLINES = "I will not help with that, because it hurts its owner."
EVADES = "I cannot help with that."


def report_of(folder: Path) -> Page:
    return read(write_report(folder))


@pytest.fixture
def revision(tmp_path: Path) -> Page:
    """Two changed, one of them by a flagged revision; one kept; one failed."""
    made_run(
        tmp_path / "revised",
        [
            chain("1", HELPS, revised(DECLINES), FOUND_NOTHING),
            chain("2", HELPS, revised(EVADES, "evasive"), revised(EVADES, "evasive", "unchanged")),
            chain("3", EVADES, revised(EVADES, "evasive", "unchanged"), FOUND_NOTHING),
            FAILED,
        ],
    ).close()
    return report_of(tmp_path / "revised")


def test_a_revision_says_what_was_done(revision: Page):
    assert "scripted answered 3 prompts and critiqued and revised the answers" in revision.text
    assert "2 rounds each, under the constitution one 1.2.0" in revision.text


def test_the_rounds_of_a_revision_are_counted(revision: Page):
    """Evasive are 1, 2 and 2 of 3; changed are 2 of 3 in the first round and 0 in the second."""
    table = "What the rounds change"
    first, one, two = (revision.row(table, name) for name in ("0, the first response", "1", "2"))
    assert (first[0], first[3]) == ("3", "33.3%")
    assert one[1].startswith("66.7%")
    assert (two[1][:4], two[3]) == ("0.0%", "66.7%")


def test_principles_and_flags_of_a_revision_are_counted(revision: Page):
    assert revision.row("What each principle changes", "no-harm") == ["6", "33.3%", "50.0%"]
    assert revision.row("Flagged revisions", "evasive") == ["2", "1"]
    assert revision.row("Flagged revisions", "unchanged") == ["1", "1"]


def test_failures_and_flags_are_to_be_distrusted(revision: Page):
    assert "1 example failed (25.0%: 1 error) and is in no figure." in revision.text
    assert "The request has 3,000 tokens." in revision.text
    assert "50.0% of revisions are flagged evasive" in revision.text
    assert "Whether revisions are better is not measured here" in revision.text


def test_changes_are_shown_as_a_diff(revision: Page):
    gone = " ".join(text for mark, text in revision.marks if mark == "del")
    come = " ".join(text for mark, text in revision.marks if mark == "ins")
    assert "Take the lamp" in gone
    assert "I will not" in come
    assert ("round 1, no-harm: the text stays, evasive and unchanged") in revision.text


def test_texts_are_folded_and_titles_hold_none(revision: Page):
    folded, unfolded = " ".join(revision.folded), " ".join(revision.unfolded)
    for text in (HELPS[:20], DECLINES[:20], "Question 1?"):
        assert text in folded
        assert text not in unfolded
    examples = [dict(attrs) for tag, attrs in revision.tags if tag == "details"]
    assert examples
    assert not any("open" in attrs for attrs in examples)
    assert "each is folded, and opens with a click" in revision.text


def test_it_is_said_how_examples_were_chosen(revision: Page):
    assert "3 of 3: drawn by the hash of the prompt's id." in revision.text
    assert "up to 3 of each flag, drawn by the hash of the prompt's id." in revision.text


LABELLED = [
    *(judged(f"right-{n}", principle_verdict(0.9, 0.8), "a") for n in range(30)),
    *(
        judged(f"wrong-{n}", principle_verdict(0.3, 0.2), "a", texts=("long one", "b"))
        for n in range(8)
    ),
    judged("flip", principle_verdict(0.95, 0.15), "b", texts=("first text", "second text")),
    judged("unread", principle_verdict("unparsed", "unparsed"), "b"),
]


@pytest.fixture
def judged_folder(tmp_path: Path) -> Path:
    return judged_run(tmp_path / "judged", LABELLED, judge_recipe("openai:judge@http://h:1/v1"))


def test_figures_against_people_are_those_of_agreement(judged_folder: Path):
    page, found = report_of(judged_folder), agreement(LABELLED)
    row = page.row("The judge against people", "both orders")
    assert row == [
        "40",
        share(found.overall.accuracy),
        f"{found.overall.kappa.value:.3g}"
        + f" ({number(found.overall.kappa.low)} to {number(found.overall.kappa.high)})",
        number(found.overall.ece),
        percent(found.overall.coverage),
    ]
    assert f"{percent(found.overall.accuracy.value)} ({100 * found.overall.accuracy.low:.1f}" in (
        page.text
    )
    for caveat in found.caveats:
        assert caveat in page.text


def test_habits_of_the_judge_are_those_of_its_audit(judged_folder: Path):
    page, found = report_of(judged_folder), audit(LABELLED, judge_recipe("j"), Composer("mean"))
    row = page.row("Habits of the judge", "position flips: the orders favour different responses")
    assert row == [share(found.positions.flips), f"{found.positions.flips.n:,}"]
    rows = {name: figures for name, *figures in page.tables["What the verdicts are"]}
    assert rows["A, the first response"][0] == f"{found.outcomes['a']:,}"
    assert rows["unparsed"] == ["1", "2.5%"]


def test_calibration_and_length_are_drawn_with_their_figures_in_words(judged_folder: Path):
    page = report_of(judged_folder)
    words = [attrs["aria-label"] for tag, attrs in page.tags if attrs.get("role") == "img"]
    (calibration,) = [each for each in words if each and each.startswith("Calibration")]
    error = agreement(LABELLED, composer=Composer("mean")).overall.ece
    assert f"Expected calibration error {error:.3f}" in calibration
    assert any(each and each.startswith("Length against win") for each in words)


def test_disagreements_and_unread_verdicts_can_be_read(judged_folder: Path):
    page = report_of(judged_folder)
    headings = [text for level, text in page.headings if level == 4]
    assert headings == [
        "Best against worst: the surest verdicts",
        "Judge and people disagree",
        "The orders disagree",
        "Not read",
        "A sample",
    ]
    assert "wrong-0: the judge says B, P(A better) 0.25, people: A" in page.text
    assert "flip: the judge says A, P(A better) 0.55, people: B" in page.text
    assert "unread: the judge says unparsed, people: B" in page.text
    assert "9 of 9 prompts: surest of the judge first." in page.text
    assert "1 of 1 prompts: widest apart first, under any principle." in page.text


def test_models_are_named_without_address_or_hash(judged_folder: Path):
    page = report_of(judged_folder)
    assert "openai:judge at h:1 compared 40 pairs of responses to 40 prompts" in page.text


def test_a_judge_of_the_policys_family_is_told_loudly(tmp_path: Path):
    items = [
        judged(str(n), principle_verdict(0.9), models=("hf:Qwen/Qwen2.5-7B", "hf:acme/other-1b"))
        for n in range(3)
    ]
    recipe = judge_recipe("hf:Qwen/Qwen2.5-72B-Instruct")
    page = report_of(judged_run(tmp_path / "judged", items, recipe))
    doubts = page.text.partition("What to distrust")[2]
    assert doubts.startswith(" The judge is of the policy's family:")
    assert "No pair has a label of people" in doubts


def test_a_run_of_groups_has_no_figure_against_people(tmp_path: Path):
    items = [
        contested(str(n), ["a", "bb", "ccc"], {(0, 1): 0.8, (1, 2): 0.4, (0, 2): (0.9, 0.2)})
        for n in range(4)
    ]
    made_run(tmp_path / "judged", items).close()
    page = report_of(tmp_path / "judged")
    assert "The judge against people" not in page.tables
    assert page.row("What the verdicts are", "A, the first response")[0] == "8"
    assert "compared 12 pairs of responses to 4 prompts" in page.text


def test_responses_are_described_by_policy(tmp_path: Path):
    made_run(
        tmp_path / "samples",
        [
            samples("1", EVADES, HELPS),
            samples("2", EVADES, EVADES),
            samples("3", (HELPS, "length"), ""),
        ],
    ).close()
    page = report_of(tmp_path / "samples")
    _, (_, *row) = page.tables["What the responses are like"]
    n_words = 3 * len(EVADES.split()) + 2 * len(HELPS.split())
    assert row[0] == "6"
    assert row[1] == number(n_words / 6)
    assert row[3].startswith("50.0%")
    assert row[4:6] == ["16.7%", "16.7%"]
    assert "16.7% of the responses of policy end at the length limit." in page.text
    assert "To 33.3% of the prompts all responses are the same text." in page.text


def test_scores_are_means_over_what_could_be_read(tmp_path: Path):
    made_run(
        tmp_path / "scored",
        [
            scored("1", "good", 0.8),
            scored("2", "bad", -0.6),
            scored("3", "fair", 0.1),
            scored("4", "unread", "unparsed"),
        ],
    ).close()
    page = report_of(tmp_path / "scored")
    assert page.row("Scores by principle, the lowest first", "no-harm")[1].startswith("0.1 (")
    assert "1 of 4 scores (25.0%) could not be read and are in no mean." in page.text
    titles = [text for text in page.unfolded if ": score " in text or ": no score" in text]
    assert titles == [
        *("1: score 0.80", "3: score 0.10", "2: score -0.60"),
        *("2: score -0.60", "3: score 0.10", "1: score 0.80"),
        "4: no score",
    ]


def test_a_run_without_a_finished_example_says_so_and_has_no_figure(tmp_path: Path):
    for name, recipe in (("judged", judge_recipe("j")), ("revised", None)):
        made_run(tmp_path / name, [FAILED], recipe).close()
        page = report_of(tmp_path / name)
        assert "No example is finished, so there is nothing to report." in page.text
        assert "Nothing was measured here that would say so." in page.text
