"""How labels of pairs are written: words, numbers, probabilities, and how sure they are."""

import json
from pathlib import Path

import pytest
from sources import pairs_in

from cai.data.pair_options import PairOptions
from cai.errors import SourceError, UsageError

SIDES = {"prompt": "q", "text_a": "x", "text_b": "y"}
NUMBERED = {"instruction": "q", "output_1": "x", "output_2": "y"}


def labels(
    tmp_path: Path, sides: dict[str, str], column: str, *values: object, **options: object
) -> list[tuple[str | None, float]]:
    """The label and confidence of a row for each value; prompts differ, so that none contradict."""
    rows = [
        {key: f"{number} {text}" for key, text in sides.items()} | {column: value}
        for number, value in enumerate(values)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = options.get("label_values")
    pairs = pairs_in(
        path, PairOptions(label_values=chosen if isinstance(chosen, tuple) else None)
    ).read()
    return [(pair.label, pair.label_confidence) for pair in pairs]


@pytest.mark.parametrize(
    ("value", "label"),
    [
        *[(value, "a") for value in ("a", "A", " A ", "text_a", "Text_A", "model_a", "A>B", 1)],
        *[(value, "a") for value in ("1", "1.0", 1.0)],
        *[(value, "b") for value in ("b", "B", "text_b", "model_b", "B>A", 2, "2", 2.0)],
        *[(value, "tie") for value in ("tie", "Tie", "A=B", "tie (bothbad)", 1.5, "1.5")],
        *[(value, None) for value in (None, "", " ")],
    ],
)
def test_a_label_is_read_as_it_is_written(tmp_path: Path, value: object, label: str | None):
    assert labels(tmp_path, SIDES, "preferred", value) == [(label, 1.0)]


def test_zero_is_a_tie_where_the_labels_go_to_two(tmp_path: Path):
    assert labels(tmp_path, NUMBERED, "preference", 1, 2, 0) == [
        ("a", 1.0),
        ("b", 1.0),
        ("tie", 1.0),
    ]


@pytest.mark.parametrize("sides", [SIDES, NUMBERED])
def test_zero_without_a_two_has_to_be_explained(tmp_path: Path, sides: dict[str, str]):
    with pytest.raises(SourceError, match="0 could be the first response or a tie") as caught:
        labels(tmp_path, sides, "label", 0, 1, 1)
    assert "--label-values 0,1" in str(caught.value)
    first = labels(tmp_path, sides, "label", 0, 1, label_values=("0", "1"))
    assert first == [("a", 1.0), ("b", 1.0)]
    tie = labels(tmp_path, sides, "label", 0, 1, label_values=("1", "2", "0"))
    assert tie == [("tie", 1.0), ("a", 1.0)]


def test_zero_without_a_two_is_noticed_in_a_sorted_file_too(tmp_path: Path):
    """The first 50 labels are all 1, so that only the whole file shows that 2 never comes."""
    labels(tmp_path, SIDES, "label", *[1] * 60, *[0] * 60)
    with pytest.raises(SourceError, match="0 could be the first response or a tie"):
        pairs_in(tmp_path / "a.jsonl").check()
    labels(tmp_path, SIDES, "label", *["a"] * 60, *["tie"] * 60)
    assert pairs_in(tmp_path / "a.jsonl").check().summary.labels == {"a": 60, "tie": 60}


def test_columns_that_count_from_zero_have_labels_that_do(tmp_path: Path):
    sides = {"prompt": "q", "response_0": "x", "response_1": "y"}
    assert labels(tmp_path, sides, "better_response_id", 0, 1, "response_0") == [
        ("a", 1.0),
        ("b", 1.0),
        ("a", 1.0),
    ]
    with pytest.raises(SourceError, match="go up to 2, and the columns count from 0"):
        labels(tmp_path, sides, "better_response_id", 1, 2)


def test_a_number_between_the_two_is_how_probable_the_second_is(tmp_path: Path):
    """1.2 is 0.2 for the second, so 0.8 for the first; 1.9 is 0.9 for the second."""
    [first, second] = labels(tmp_path, NUMBERED, "preference", 1.2, "1.9")
    assert first == ("a", pytest.approx(0.8))
    assert second == ("b", pytest.approx(0.9))


@pytest.mark.parametrize(
    "value", ["c", "text_c", "AB", 3, -1, 2.1, 0.5, True, [1], {"a": 1}, "nan", "yes"]
)
def test_what_is_no_label_is_a_bad_row(tmp_path: Path, value: object):
    with pytest.raises(SourceError, match=r"a\.jsonl:2: 'label' is .*, and one of a, ") as caught:
        labels(tmp_path, SIDES, "label", 1, value)
    assert "is needed. Fix the row" in str(caught.value)
    path = tmp_path / "a.jsonl"
    assert pairs_in(path, skip_bad_rows=True).check().summary.bad_kinds == {"wrong label": 1}


def test_not_a_number_is_no_label(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "q", "text_a": "x", "text_b": "y", "label": NaN}\n')
    with pytest.raises(SourceError, match="'label' is nan"):
        pairs_in(path).check()


def test_label_values_are_the_only_labels_beside_tie(tmp_path: Path):
    values = ("left", "RIGHT", "Tie")
    read = labels(tmp_path, SIDES, "label", *values, label_values=("left", "right"))
    assert read == [("a", 1.0), ("b", 1.0), ("tie", 1.0)]
    booleans = labels(tmp_path, SIDES, "label", True, False, label_values=("true", "false"))
    assert booleans == [("a", 1.0), ("b", 1.0)]
    for other in ("a", 1, "text_a"):
        with pytest.raises(SourceError, match="and one of tie, left, right is needed"):
            labels(tmp_path, SIDES, "label", other, label_values=("left", "right"))


@pytest.mark.parametrize("values", [(), ("a",), ("a", "A"), ("a", ""), ("1", "1.0"), tuple("abcd")])
def test_label_values_are_two_or_three(tmp_path: Path, values: tuple[str, ...]):
    with pytest.raises(UsageError, match="not two or three different values"):
        labels(tmp_path, SIDES, "label", "a", label_values=values)


def confidences(tmp_path: Path, *rows: dict[str, object]) -> list[float]:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [pair.label_confidence for pair in pairs_in(path).read()]


def test_a_column_says_how_sure_the_label_is(tmp_path: Path):
    row = {**SIDES, "label": "a"}
    assert confidences(
        tmp_path, {**row, "confidence": 0.9}, {**row, "confidence": "0.5"}, {**row}
    ) == [0.9, 0.5, 1.0]
    ranked = {"prompt": "q", "chosen": "x", "rejected": "y", "label_confidence": 0.7}
    assert confidences(tmp_path, ranked) == [0.7]
    assert (
        "confidence in 'label_confidence'"
        in pairs_in(tmp_path / "a.jsonl").check().summary.describe()
    )


def test_a_probability_of_the_chosen_side_is_its_confidence_and_below_one_half_turns_the_label(
    tmp_path: Path,
):
    rows = [
        {"prompt": str(n), "chosen": "x", "rejected": "y", "chosen_probability": p}
        for n, p in enumerate([0.75, 0.25, 0.5, None])
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    found: list[tuple[str | None, float, bool]] = []
    for pair in pairs_in(path).read():
        better = {"a": pair.response_a, "b": pair.response_b}.get(pair.label or "")
        found.append((better, pair.label_confidence, pair.has_confidence))
    assert found == [("x", 0.75, True), ("y", 0.75, True), (None, 1.0, True), ("x", 1.0, False)]


@pytest.mark.parametrize("column", ["chosen_probability", "label_confidence"])
def test_a_column_that_is_named_after_probabilities_holds_nothing_else(column: str, tmp_path: Path):
    row = {"prompt": "q", "chosen": "x", "rejected": "y", column: 1.5}
    with pytest.raises(SourceError, match=rf"a\.jsonl:1: '{column}' is 1\.5, and a number from"):
        confidences(tmp_path, row)


def test_a_confidence_below_one_half_is_a_bad_row_behind_good_ones(tmp_path: Path):
    """What a column holds is told from its first 50 rows."""
    rows = [{**SIDES, "label": "a", "confidence": 0.9}] * 50
    with pytest.raises(SourceError, match=r":51: 'confidence' is 0\.4, and a number from 0\.5 to"):
        confidences(tmp_path, *rows, {**SIDES, "label": "a", "confidence": 0.4})


def test_a_label_between_two_numbers_is_surer_of_itself_than_the_column(tmp_path: Path):
    row = {**SIDES, "label": 1.25, "confidence": 0.9}
    assert confidences(tmp_path, row) == [0.75]


def test_a_column_of_that_name_with_something_else_in_it_is_left_alone(tmp_path: Path):
    row = {**SIDES, "label": "a"}
    for value in ("TRUE", 7, "high", 0.4, None):
        assert confidences(tmp_path, {**row, "agreement": value}) == [1.0]
