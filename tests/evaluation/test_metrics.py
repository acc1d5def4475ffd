"""The table of metrics: names, words and formats."""

from pathlib import Path

from cai.evaluation.metrics import ROUNDS, TEXT, TRAINING, metric_of

DOCS = Path(__file__).parents[2] / "docs"


def test_a_share_is_in_percent_and_a_number_has_three_digits():
    assert ROUNDS["win_last"].text(0.6153) == "61.5%"
    assert ROUNDS["kl_start"].text(1.2345) == "1.23"
    assert TEXT["length"].text(None) == "–"


def test_labels_are_headings_in_one_line():
    assert TEXT["self_similarity"].heading == "self-\nsimilarity"
    assert TEXT["self_similarity"].label == "self-similarity"
    assert ROUNDS["judges_agree"].label == "agree"
    assert TEXT["cut_off"].label == "cut off"


def test_a_metric_of_one_kind_of_prompts_is_that_of_all():
    assert metric_of("refusals/benign", ROUNDS) is TEXT["refusals"]


def test_every_metric_has_the_name_that_it_is_found_by():
    for table in (TEXT, TRAINING, ROUNDS):
        assert [metric.name for metric in table.values()] == list(table)


def test_the_page_about_rounds_names_every_metric():
    page = (DOCS / "rounds.md").read_text("utf-8").replace("`distinct_1` … `distinct_3`", "")
    names = [name for name in ROUNDS if not name.startswith("distinct_")]
    assert [name for name in names if f"`{name}`" not in page] == []
