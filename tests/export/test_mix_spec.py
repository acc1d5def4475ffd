"""How a mix is written, and how many rows of each file it comes to."""

import re
from pathlib import Path

import pytest
from small_runs import write_rows

from cai.errors import SourceError, UsageError
from cai.export.data_files import Kind
from cai.export.dedup import unit_key
from cai.export.mix_spec import Mix, Mixing
from cai.export.mixing import Drawn, draw, interleave
from cai.export.rows import PreferencePair, prompt_of


@pytest.mark.parametrize(
    ("text", "mix"),
    [
        ("a.jsonl", Mix("a.jsonl")),
        ("a.jsonl:weight=0.3", Mix("a.jsonl", weight=0.3)),
        ("a.jsonl:count=5000:confidence=0.9", Mix("a.jsonl", count=5000, confidence=0.9)),
        ("a.jsonl:confidence=0.9:weight=1e-1", Mix("a.jsonl", weight=0.1, confidence=0.9)),
        ("a.jsonl:helpfulness", Mix("a.jsonl", weight="helpfulness")),
        ("a.jsonl:count=5,000", Mix("a.jsonl", count=5000)),
        ("hub:owner/name:config@train:weight=0.5", Mix("hub:owner/name:config@train", weight=0.5)),
        ("odd:name.jsonl", Mix("odd:name.jsonl")),
    ],
)
def test_a_mix_is_a_file_and_what_is_said_of_it(text: str, mix: Mix):
    assert Mix.parse(text) == mix


WRONG = [
    ("a.jsonl:wieght=0.3", "a mix has no 'wieght'. Did you mean 'weight'?"),
    ("a.jsonl:share=0.3", "a mix has no 'share'. Write one of weight, count, confidence."),
    ("a.jsonl:weight=1", "the weight is 1, and it is the share of the mixed rows, between 0 and 1"),
    ("a.jsonl:weight=0", "the weight is 0, "),
    ("a.jsonl:weight=nan", "the weight is 'nan', and it is a number"),
    ("a.jsonl:weight=much", "the weight is 'much', and it is a number"),
    ("a.jsonl:count=0", "the count is 0, and it is at least 1"),
    ("a.jsonl:count=1.5", "the count is '1.5', and it is a whole number"),
    ("a.jsonl:confidence=0.5", "the confidence is 0.5"),
    ("a.jsonl:confidence=1.1", "the confidence is 1.1, "),
    ("a.jsonl:weight=0.3:count=5", "has a weight and a count"),
    ("a.jsonl:helpfulness:count=5", "has a weight and a count"),
    ("a.jsonl:count=4:count=5", "gives the count twice"),
    ("a.jsonl:weight=0.2:helpfulness", "gives the weight twice"),
    (":weight=0.3", "A mix names no file"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_mix_that_cannot_be_followed_is_told_in_one_line(text: str, said: str):
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        Mix.parse(text)
    assert "\n" not in str(caught.value)


def test_weights_leave_room_and_files_are_named_once():
    with pytest.raises(UsageError, match=r"sum to 1\.1"):
        Mixing((Mix("a", weight=0.5), Mix("b", weight=0.6))).check("sft")
    with pytest.raises(UsageError, match="a: is mixed in twice"):
        Mixing((Mix("a"), Mix("a", count=2))).check("sft")
    with pytest.raises(UsageError, match="rows of 'sft' have no labels"):
        Mix("a", confidence=0.9).data_file("sft", skip_bad_rows=False)


def test_the_paper_gives_the_share_of_helpfulness():
    """135,296 of 318,127 comparisons; of texts to learn from 270,592 of 1,001,916."""
    mix = Mix.parse("people.jsonl:helpfulness")
    assert mix.share("preference") == pytest.approx(0.4253, abs=5e-5)
    assert mix.share("sft") == pytest.approx(0.2701, abs=5e-5)
    assert mix.share("prompts") == pytest.approx(609_596 / 1_283_569)


def write_pairs(path: Path, numbers: range) -> Path:
    rows = [{"prompt": f"Q{n}?", "chosen": f"yes {n}", "rejected": "no"} for n in numbers]
    return write_rows(path, rows)


def drawn_of(
    *mixes: Mix, n_own: int, own: frozenset[int] = frozenset(), seed: int = 0
) -> list[Drawn]:
    return draw(Mixing(mixes, seed), "preference", own, n_own, lambda row: None)


def asked(drawn: Drawn) -> list[str]:
    return [prompt_of(row.unit).request for row in drawn.rows()]


def test_the_weight_is_the_share_of_the_mixed_rows(tmp_path: Path):
    """300 rows that are to be 0.3 of the mix stand beside 700."""
    file = write_pairs(tmp_path / "a.jsonl", range(400))
    (drawn,) = drawn_of(Mix(str(file), weight=0.3), n_own=700)
    assert (drawn.outcome.n, drawn.outcome.n_distinct) == (300, 400)
    assert drawn.outcome.share == pytest.approx(0.3)
    assert drawn.outcome.describe() == f"{file}: 300 rows, 30 % of the mix"
    assert len(set(asked(drawn))) == 300


def test_several_weights_and_counts_hold_together(tmp_path: Path):
    """Beside 40 rows 20 by count: these 60 are 0.6 of 100, and 0.1 and 0.3 the others."""
    files = [
        str(write_pairs(tmp_path / f"{n}.jsonl", range(50 * n, 50 * n + 50))) for n in range(3)
    ]
    mixes = (Mix(files[0], weight=0.1), Mix(files[1], count=20), Mix(files[2], weight=0.3))
    assert [each.outcome.n for each in drawn_of(*mixes, n_own=40)] == [10, 20, 30]


def test_a_file_with_too_few_rows_gives_all_and_the_others_keep_their_shares(tmp_path: Path):
    """Of 90 own and 10 rows, 0.5 was asked of the short one; the other is 0.2 of 125."""
    short = str(write_pairs(tmp_path / "short.jsonl", range(10)))
    long = str(write_pairs(tmp_path / "long.jsonl", range(10, 100)))
    one, two = drawn_of(Mix(short, weight=0.5), Mix(long, weight=0.2), n_own=90)
    assert (one.outcome.n, two.outcome.n) == (10, 25)
    assert one.outcome.is_short
    assert not two.outcome.is_short
    assert one.outcome.describe() == (
        f"{short}: 10 rows, 8 % of the mix where 50 % was requested, as it has no more"
    )
    (few,) = drawn_of(Mix(short, count=11), n_own=1)
    assert "where 11 were requested" in few.outcome.describe()
    (all_of_it,) = drawn_of(Mix(short), n_own=1)
    assert (all_of_it.outcome.n, all_of_it.outcome.is_short) == (10, False)


def test_a_draw_hangs_on_the_seed_and_not_on_the_order_and_a_larger_one_holds_it(tmp_path: Path):
    file = write_pairs(tmp_path / "a.jsonl", range(200))
    turned = write_pairs(tmp_path / "b.jsonl", range(199, -1, -1))
    few, again, other, many = (
        set(asked(drawn_of(Mix(str(path), count=n), n_own=1, seed=seed)[0]))
        for path, n, seed in ((file, 40, 0), (turned, 40, 0), (file, 40, 1), (file, 90, 0))
    )
    assert few == again != other
    assert len(few) == 40
    assert few < many


def test_what_is_there_already_is_not_mixed_in(tmp_path: Path):
    file = str(write_pairs(tmp_path / "a.jsonl", range(10)))
    also = str(write_pairs(tmp_path / "b.jsonl", range(5, 15)))
    (whole,) = drawn_of(Mix(file), n_own=1)
    own = frozenset(unit_key(row.unit) for row in whole.rows() if prompt_of(row.unit).id > "8")
    assert 0 < len(own) < 10
    one, two = drawn_of(Mix(file), Mix(also), n_own=len(own), own=own)
    assert not {unit_key(row.unit) for row in one.rows()} & own
    assert one.outcome.left_out == {"repeated": len(own)}
    assert set(asked(two)).isdisjoint(asked(one))
    with pytest.raises(SourceError, match=r"a\.jsonl: no row is left to mix in \(not taken: 10 re"):
        drawn_of(Mix(file), n_own=1, own=frozenset(unit_key(row.unit) for row in whole.rows()))


@pytest.mark.parametrize("kind", ["preference", "kto"])
def test_the_confidence_of_a_file_is_that_of_rows_without_their_own(kind: Kind, tmp_path: Path):
    rows = [
        {"prompt": "1", "chosen": "x", "rejected": "y"},
        {"prompt": "2", "chosen": "x", "rejected": "y", "label_confidence": 0.7},
    ]
    file = write_rows(tmp_path / "a.jsonl", rows)
    mixing = Mixing((Mix(str(file), confidence=0.9),))
    (drawn,) = draw(mixing, kind, (), 1, lambda row: None)
    found = {prompt_of(row.unit).request: row for row in drawn.rows()}
    assert [found[name].confidence for name in ("1", "2")] == [0.9, 0.7]
    if kind == "preference":
        assert all(
            isinstance(row.unit, PreferencePair) and row.unit.chosen_probability == row.confidence
            for row in found.values()
        )


def test_rows_are_interleave_evenly_from_the_first_on():
    others = [(2, iter(["x", "y"])), (8, iter("12345678"))]
    woven = list(interleave("abcd", 4, others))
    assert woven == [*"ax12b34cy56d78"]
    longer = list(interleave("abcdef", 4, [(2, iter("xy"))]))
    assert longer == [*"axbcydef"], "a run that grew since it was counted loses nothing"
    assert list(interleave("a", 4, [(2, iter("xy"))])) == [*"axy"]
