"""What is left out because of other rows: lengths balanced, near duplicates, labels once."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from made_runs import FAILED, chain, contested, made_run, revised, samples

from cai.engine.run_files import Failure
from cai.export.export import Export, ExportSummary
from cai.export.formats import Format, Row
from cai.export.near_duplicates import NearDuplicates
from cai.export.selection import Selection
from cai.methods.judging.ranking import Judged
from cai.runs.config import Body

LONG, SHORT = "a longer text", "short"


def rows_of(
    folder: Path,
    items: Sequence[Body | Failure],
    format: Format,
    selection: Selection,
) -> tuple[list[Row], ExportSummary]:
    summary = ExportSummary(format)
    with made_run(folder, items) as run:
        return list(Export.of([run], format, selection).rows(summary)), summary


def leaning(id: str, longer_wins: float) -> Judged:
    """A pair whose longer text wins with that probability."""
    return contested(id, [f"{LONG} {id}", f"{SHORT} {id}"], {(0, 1): longer_wins})


def sides(rows: Sequence[Row]) -> Counter[str]:
    lengths = [
        (len(row["chosen"][0]["content"]), len(row["rejected"][0]["content"])) for row in rows
    ]
    return Counter(
        "longer" if chosen > rejected else "shorter" if chosen < rejected else "equal"
        for chosen, rejected in lengths
    )


def test_the_least_sure_of_the_commoner_side_go_until_both_are_equal(tmp_path: Path):
    """The longer one wins at 0.9, 0.8, 0.7, 0.6 and 0.55, the shorter one at 0.6 and 0.95: three of
    the five go, and those are the least sure."""
    wins = [0.55, 0.9, 0.4, 0.7, 0.05, 0.8, 0.6]
    items = [leaning(str(n), p) for n, p in enumerate(wins)]
    rows, summary = rows_of(tmp_path, items, "preference", Selection(balances_length=True))
    assert [row["id"] for row in rows] == ["1", "2", "4", "5"]
    assert sides(rows) == Counter(longer=2, shorter=2)
    assert summary.dropped == Counter({"unbalanced length": 3})
    assert summary.n_considered == 7


def test_pairs_of_equal_length_stay_and_do_not_count(tmp_path: Path):
    items = [
        contested("same", ["one", "two"], {(0, 1): 0.9}), leaning("1", 0.9), leaning("2", 0.8),
        leaning("3", 0.3),
    ]  # fmt: skip
    rows, _ = rows_of(tmp_path, items, "reward", Selection(balances_length=True))
    assert [row["id"] for row in rows] == ["same", "1", "3"]
    assert sides(rows) == Counter(equal=1, longer=1, shorter=1)


@pytest.mark.parametrize("seed", range(4))
def test_both_sides_are_exactly_equal_whatever_there_is(seed: int, tmp_path: Path):
    rng = random.Random(seed)
    items = [leaning(str(n), rng.choice([0.1, 0.2, 0.7, 0.8, 0.9, 0.5])) for n in range(80)]
    before, _ = rows_of(tmp_path / "all", items, "preference", Selection())
    rows, summary = rows_of(tmp_path / "even", items, "preference", Selection(balances_length=True))
    fewer = min(sides(before)["longer"], sides(before)["shorter"])
    assert sides(rows) == Counter(longer=fewer, shorter=fewer)
    assert summary.n_considered == 80 == len(rows) + summary.dropped.total()


def test_where_all_lean_one_way_nothing_is_left_and_that_is_counted(tmp_path: Path):
    items = [leaning(str(n), 0.9) for n in range(3)]
    selection = Selection(balances_length=True)
    rows, summary = rows_of(tmp_path / "run", items, "preference", selection)
    assert (rows, summary.dropped) == ([], Counter({"unbalanced length": 3}))
    nothing, summary = rows_of(tmp_path / "none", [leaning("1", 0.5)], "preference", selection)
    assert (nothing, summary.dropped) == ([], Counter(tie=1))


def test_pairs_that_nobody_judged_are_the_least_sure(tmp_path: Path):
    """Two revisions and one judged pair lean to the longer side, one judged to the shorter."""
    chains = [chain(f"r{n}", SHORT, revised(f"{LONG} {n}")) for n in range(2)]
    summary = ExportSummary("preference")
    with (
        made_run(tmp_path / "one", chains) as one,
        made_run(tmp_path / "two", [leaning("sure", 0.51), leaning("order_ba", 0.1)]) as two,
    ):
        export = Export.of([one, two], "preference", Selection(balances_length=True))
        rows = list(export.rows(summary))
    assert [row["id"] for row in rows] == ["sure", "order_ba"]
    assert summary.dropped == Counter({"unbalanced length": 2})


def test_which_of_equally_sure_pairs_go_does_not_depend_on_their_order(tmp_path: Path):
    """Not the first or the last of a file, which may be sorted by something."""
    items = [leaning(f"long {n}", 0.9) for n in range(40)] + [
        leaning(f"short {n}", 0.1) for n in range(20)
    ]
    selection = Selection(balances_length=True)
    kept = [
        {row["id"] for row in rows_of(tmp_path / name, listed, "preference", selection)[0]}
        for name, listed in (("order_ab", items), ("order_ba", items[::-1]))
    ]
    assert kept[0] == kept[1]
    early = sum(f"long {n}" in kept[0] for n in range(20))
    assert 3 <= early <= 17  # 10 ± 3·√(20·½·½·(20/39))


TEXT = " ".join(f"word{n}" for n in range(60))
NEAR = TEXT.replace("word59", "other")  # 57 of 59 triples in common: 0.97
HALF = " ".join([*TEXT.split()[:45], *(f"new{n}" for n in range(15))])  # 43 of 73: 0.59


def test_of_near_duplicates_the_first_stays(tmp_path: Path):
    items = [
        chain("1", TEXT, asked="Why?"),
        FAILED,
        chain("2", NEAR, asked="Why?"),
        chain("3", HALF, asked="Why?"),
        chain("4", TEXT.upper(), asked="why?"),
    ]
    rows, summary = rows_of(tmp_path, items, "sft", Selection(near_duplicates=0.8))
    assert [row["id"] for row in rows] == ["1", "3"]
    assert summary.dropped == Counter({"near-duplicate": 2, "failed": 1})
    assert summary.n_considered == 5


@pytest.mark.parametrize(("threshold", "ids"), [(0.5, "1"), (0.8, "13"), (0.99, "123")])
def test_how_near_is_near_can_be_set(threshold: float, ids: str, tmp_path: Path):
    items = [chain("1", TEXT), chain("2", NEAR), chain("3", HALF)]
    items = [chain(each.prompt.id, each.response.text, asked="Why?") for each in items]
    rows, _ = rows_of(tmp_path, items, "sft", Selection(near_duplicates=threshold))
    assert "".join(row["id"] for row in rows) == ids


def test_pairs_are_near_by_prompt_and_chosen_response(tmp_path: Path):
    items = [
        contested("1", [TEXT, "one"], {(0, 1): 0.9}, asked="Why?"),
        contested("2", ["two", NEAR], {(0, 1): 0.1}, asked="Why?"),
        contested("3", [NEAR, "three"], {(0, 1): 0.1}, asked="Why?"),
        contested("4", [TEXT, "four"], {(0, 1): 0.9}, asked=f"Quite another question: {HALF}"),
    ]
    for format, n in (("preference", 3), ("reward", 3), ("kto", 6)):
        rows, summary = rows_of(tmp_path / format, items, format, Selection(near_duplicates=0.8))
        assert sorted({row["id"] for row in rows}) == ["1", "3", "4"]
        assert (summary.n_rows, summary.dropped) == (n, Counter({"near-duplicate": 1}))


def test_rows_of_one_example_are_not_near_duplicates_of_each_other(tmp_path: Path):
    """The best of a group is chosen in several of its pairs, and rounds change little."""
    group = contested("1", [TEXT, "one", "two"], {(0, 1): 0.9, (0, 2): 0.9})
    selection = Selection(pairs="all", near_duplicates=0.8)
    assert len(rows_of(tmp_path / "pairs", [group], "preference", selection)[0]) == 2
    rounds = chain("1", "x", revised(TEXT), revised(NEAR))
    selection = Selection(all_rounds=True, near_duplicates=0.8)
    assert len(rows_of(tmp_path / "rounds", [rounds], "sft", selection)[0]) == 2


def test_near_prompts_are_left_out_too(tmp_path: Path):
    items = [samples("1", "x", asked=TEXT), samples("2", "x", asked=NEAR), samples("3", "x")]
    rows, _ = rows_of(tmp_path, items, "prompts", Selection(near_duplicates=0.8))
    assert [row["id"] for row in rows] == ["1", "3"]


def test_lengths_are_balanced_over_what_near_duplicates_leave(tmp_path: Path):
    """Without its duplicate the longer side has one pair, and the shorter one loses one of two."""
    items = [
        contested("1", [TEXT, SHORT], {(0, 1): 0.9}, asked="Why?"),
        contested("2", [NEAR, SHORT], {(0, 1): 0.9}, asked="Why?"),
        leaning("3", 0.1),
        leaning("4", 0.2),
    ]
    selection = Selection(balances_length=True, near_duplicates=0.8)
    rows, summary = rows_of(tmp_path, items, "preference", selection)
    assert [row["id"] for row in rows] == ["1", "3"]
    assert summary.dropped == Counter({"near-duplicate": 1, "unbalanced length": 1})


@pytest.mark.parametrize("text", ["", "one", "one two", "one two three", "\ud83d half", "词"])
def test_short_texts_are_near_when_their_words_are_the_same(text: str):
    near = NearDuplicates(0.8)
    assert not near.is_near_duplicate(text, 0)
    assert near.is_near_duplicate(f" {text}\n", 1)
    assert not near.is_near_duplicate(f"{text} and more", 2)
    assert not near.is_near_duplicate(text, 0)


def test_likeness_is_found_where_it_is_and_not_found_where_it_is_not():
    """Of texts of 100 words whose last k are others, the likeness is (98 − k) / (98 + k): 0.88 for
    6 words and 0.69 for 18. The estimate's error is 0.03 and 0.04, so that hardly any of 200 near
    ones is missed, and hardly any of 200 others is taken for one."""
    rng = random.Random(0)
    words = [f"w{n}" for n in range(5000)]
    found = Counter[int]()
    for k in (6, 18):
        near = NearDuplicates(0.8)
        for n in range(200):
            text = rng.sample(words, 100)
            other = [*text[: 100 - k], *(f"x{n}-{m}" for m in range(k))]
            assert not near.is_near_duplicate(" ".join(text), 2 * n)
            found[k] += near.is_near_duplicate(" ".join(other), 2 * n + 1)
    assert found[6] >= 190
    assert found[18] <= 6


def test_a_response_is_labelled_once_and_never_both_ways(tmp_path: Path):
    """a beats b and c, b beats c: a is good twice, c bad twice, and b is good and bad."""
    group = contested("1", ["a", "b", "c"], {(0, 1): 0.9, (0, 2): 0.9, (1, 2): 0.9})
    rows, summary = rows_of(tmp_path, [group], "kto", Selection(pairs="all"))
    assert [(row["completion"][0]["content"], row["label"]) for row in rows] == [
        ("a", True), ("c", False),
    ]  # fmt: skip
    assert summary.unwritten == Counter({"good and bad": 2, "repeated": 2})
    assert (summary.n_good, summary.n_bad, summary.n_considered) == (1, 1, 3)
    kept = summary.n_considered - summary.dropped.total()
    assert summary.n_rows + summary.unwritten.total() == 2 * kept
    assert summary.describe() == (
        "kto: 2 rows (1 good, 1 bad); responses not written: 2 good and bad, 2 repeated"
    )
    assert summary.as_json() == {
        "format": "kto", "rows": 2, "considered": 3, "left_out": {}, "good": 1, "bad": 1,
        "unwritten": {"good and bad": 2, "repeated": 2},
    }  # fmt: skip


def test_equal_responses_to_different_prompts_are_different(tmp_path: Path):
    items = [
        contested("1", ["Yes.", "No."], {(0, 1): 0.9}),
        contested("2", ["Yes.", "No."], {(0, 1): 0.1}),
        contested("3", ["Yes. ", "Maybe."], {(0, 1): 0.9}, asked="Question 1?"),
    ]
    rows, summary = rows_of(tmp_path, items, "kto", Selection())
    said = [(row["id"], row["completion"][0]["content"], row["label"]) for row in rows]
    assert said == [
        ("1", "Yes.", True), ("1", "No.", False), ("2", "No.", True), ("2", "Yes.", False),
        ("3", "Maybe.", False),
    ]  # fmt: skip
    assert summary.unwritten == Counter(repeated=1)


def test_labels_are_those_of_the_pairs_that_stay(tmp_path: Path):
    """The pair that the balance leaves out would have made "a longer text" good and bad."""
    items = [
        contested("1", [LONG, SHORT], {(0, 1): 0.6}, asked="Why?"),
        contested("2", ["a", LONG], {(0, 1): 0.9}, asked="Why?"),
        contested("3", [f"{LONG}!", "b"], {(0, 1): 0.9}, asked="Why?"),
    ]
    rows, summary = rows_of(tmp_path, items, "kto", Selection(balances_length=True))
    said = [(row["completion"][0]["content"], row["label"]) for row in rows]
    assert said == [("a", True), (LONG, False), (f"{LONG}!", True), ("b", False)]
    assert (summary.dropped, summary.unwritten) == (Counter({"unbalanced length": 1}), Counter())
