"""`check_pairs` and `read_pairs`: layouts, forms, ids, bad rows by kind, contradictions, memory."""

import json
import tracemalloc
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest
from sources import pairs_in, write

from cai.data.labelled_pair import LabelledPair
from cai.data.pair_options import PairOptions
from cai.data.source import MAX_BAD_ROWS
from cai.errors import SourceError, UsageError
from cai.types import Message, Prompt

GOOD = {"prompt": "Hello?", "chosen": "Good day.", "rejected": "What?"}
USER, GOOD_TURN, BAD_TURN = (
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Good day."},
    {"role": "assistant", "content": "What?"},
)


def better(pair: LabelledPair) -> tuple[str, str]:
    """The better response and the other one."""
    assert pair.label in ("a", "b")
    sides = (pair.response_a, pair.response_b)
    return sides if pair.label == "a" else (sides[1], sides[0])


def only(path: Path, **options: str) -> LabelledPair:
    [pair] = pairs_in(path, PairOptions(**options)).read()
    return pair


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        {"Prompt": "Hello?", "Chosen": "Good day.", "Rejected": "What?"},
        {"question": "Hello?", "chosen": [GOOD_TURN], "rejected": [BAD_TURN]},
        {"prompt": [USER], "chosen": [GOOD_TURN], "rejected": [BAD_TURN]},
        {"chosen": [USER, GOOD_TURN], "rejected": [USER, BAD_TURN]},
        {"prompt": "Hello?", "chosen": [USER, GOOD_TURN], "rejected": [USER, BAD_TURN]},
        {
            "chosen": "\n\nHuman: Hello?\n\nAssistant: Good day.",
            "rejected": "\n\nHuman: Hello?\n\nAssistant: What?",
        },
        {
            "prompt": "\n\nHuman: Hello?\n\nAssistant:",
            "chosen": "Good day.",
            "rejected": "What?",
        },
        {"prompt": "Hello?", "corrects": ["Good day."], "incorrects": ["What?"]},
        {"input": "Hello?", "output_1": "What?", "output_2": "Good day.", "label": 2},
        {"instruction": "Hello?", "output_1": "Good day.", "output_2": "What?", "preference": 1.0},
        {"question": "Hello?", "response_A": "What?", "response_B": "Good day.", "label": "B>A"},
        {"prompt": "Hello?", "text_a": "Good day.", "text_b": "What?", "preferred": "A"},
        {"prompt": "Hello?", "text_a": "What?", "text_b": "Good day.", "preferred_text": "text_b"},
        {"prompt": "Hello?", "response_a": "Good day.", "response_b": "What?", "preferred": 1},
        {
            "prompt": "Hello?",
            "response_0": "What?",
            "response_1": "Good day.",
            "better_response_id": 1,
        },
        {
            "conversation_a": [USER, GOOD_TURN],
            "conversation_b": [USER, BAD_TURN],
            "winner": "model_a",
        },
    ],
)
def test_a_known_form_gives_the_pair(tmp_path: Path, row: dict[str, object]):
    pair = only(write(tmp_path / "a.jsonl", row))
    assert pair.prompt.messages == (Message("user", "Hello?"),)
    assert pair.prompt.origin == f"{tmp_path / 'a.jsonl'}:1"
    assert better(pair) == ("Good day.", "What?")
    assert pair.label_confidence == 1.0


def test_named_columns_are_taken_whatever_they_are_called(tmp_path: Path):
    row = {"ask": "Hello?", "mild": "Good day.", "harsh": "What?", "who": "harsh"}
    path = write(tmp_path / "a.jsonl", row)
    ranked = only(path, prompt_column="ask", better_column="mild", worse_column="harsh")
    assert better(ranked) == ("Good day.", "What?")
    labelled = only(
        path, prompt_column="ask", a_column="mild", b_column="harsh", label_column="who"
    )
    assert (labelled.response_a, labelled.response_b, labelled.label) == ("Good day.", "What?", "b")


def test_without_a_label_column_a_pair_has_no_label(tmp_path: Path):
    row = {"prompt": "Hello?", "response_a": "Good day.", "response_b": "What?"}
    path = write(tmp_path / "a.jsonl", row)
    assert only(path).label is None
    summary = pairs_in(path).check().summary
    assert (summary.labels, summary.n_labelled) == ({None: 1}, 0)
    assert "no column with labels" in summary.describe()


def test_the_better_response_is_a_about_half_of_the_time(tmp_path: Path):
    """Of 1,000 fair coins, 500 ± 63 is four standard deviations: sqrt(1000) / 2 = 15.8."""
    rows = [{"prompt": f"{n}?", "chosen": "Yes.", "rejected": "No."} for n in range(1000)]
    path = write(tmp_path / "a.jsonl", *rows)
    labels = pairs_in(path).check().summary.labels
    assert abs(labels["a"] - 500) < 63
    assert labels["a"] + labels["b"] == 1000


def test_which_response_is_a_does_not_depend_on_which_one_is_better(tmp_path: Path):
    turned = {"prompt": "Hello?", "chosen": "What?", "rejected": "Good day."}
    first = only(write(tmp_path / "a.jsonl", GOOD))
    second = only(write(tmp_path / "b.jsonl", turned))
    assert (first.response_a, first.response_b) == (second.response_a, second.response_b)
    assert {first.label, second.label} == {"a", "b"}


def test_swapping_a_pair_twice_gives_the_pair():
    pair = LabelledPair(
        Prompt("1", (Message("user", "x"),)), "yes", "no", "a", 0.8, "m", "n", {"k": "v"}
    )
    assert pair.swapped == LabelledPair(pair.prompt, "no", "yes", "b", 0.8, "n", "m", {"k": "v"})
    assert pair.swapped.swapped == pair


def test_every_right_answer_is_paired_with_every_wrong_one(tmp_path: Path):
    row = {"prompt": "2 + 2?", "corrects": ["4", "four"], "incorrects": ["3", "5", "22"], "id": "k"}
    path = write(tmp_path / "a.jsonl", row)
    pairs = list(pairs_in(path).read())
    right, wrong = ("4", "four"), ("3", "5", "22")
    assert [better(pair) for pair in pairs] == [(good, bad) for good in right for bad in wrong]
    assert [pair.prompt.id for pair in pairs] == [f"k.{n}" for n in range(1, 7)]
    derived = [pair.prompt.id for pair in pairs_in(path, PairOptions(id_column="")).read()]
    assert len(set(derived)) == 6


def test_a_transcript_prompt_keeps_its_turns(tmp_path: Path):
    prompt = "\n\nHuman: One?\n\nAssistant: Two.\n\nHuman: Three?\n\nAssistant:"
    path = write(tmp_path / "a.jsonl", {**GOOD, "prompt": prompt})
    assert only(path).prompt.messages == (
        Message("user", "One?"),
        Message("assistant", "Two."),
        Message("user", "Three?"),
    )


def test_a_response_that_repeats_the_prompt_or_imitates_turns_stays_as_it_is(tmp_path: Path):
    imitation = "\n\nHuman: Say A.\n\nAssistant: A"
    path = write(
        tmp_path / "a.jsonl",
        {**GOOD, "chosen": "Hello? Good day."},
        {**GOOD, "rejected": imitation},
    )
    assert [better(pair) for pair in pairs_in(path).read()] == [
        ("Hello? Good day.", "What?"),
        ("Good day.", imitation),
    ]


def test_the_instruction_is_joined_with_its_input(tmp_path: Path):
    row = {"instruction": "Sum up.", "input": "A text.", "output_1": "x", "output_2": "y"}
    assert only(write(tmp_path / "a.jsonl", row)).prompt.request == "Sum up.\n\nA text."


def test_one_prompt_can_stand_for_all_rows(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"text_a": "x", "text_b": "y", "preferred": "b"})
    with pytest.raises(SourceError, match="no column is known to hold the prompts") as caught:
        pairs_in(path).check()
    assert "--prompt-column NAME" in str(caught.value)
    assert "--prompt-text TEXT" in str(caught.value)
    assert only(path, prompt_text="Write.").prompt.request == "Write."
    summary = pairs_in(path, PairOptions(prompt_text="Write.")).check().summary
    assert "from 'text_a' and 'text_b', one prompt for all" in summary.describe()


def test_the_judged_turn_of_a_conversation_is_the_last_one_read(tmp_path: Path):
    def conversation(*contents: str) -> list[dict[str, str]]:
        roles = ("user", "assistant", "user", "assistant")
        return [
            {"role": role, "content": text} for role, text in zip(roles, contents, strict=False)
        ]

    row = {
        "model_a": "m",
        "model_b": "n",
        "winner": "tie",
        "turn": 1,
        "conversation_a": conversation("1?", "one", "2?", "two"),
        "conversation_b": conversation("1?", "uno", "2?", "dos"),
    }
    path = write(tmp_path / "a.jsonl", row)
    pair = only(path)
    assert (pair.prompt.request, pair.response_a, pair.response_b) == ("1?", "one", "uno")
    assert (pair.label, pair.model_a, pair.model_b) == ("tie", "m", "n")
    for turn, reason in ((2, "do not share a prompt"), (0, "'turn' is 0"), ("1", "'turn' is '1'")):
        with pytest.raises(SourceError, match=reason):
            pairs_in(write(tmp_path / "b.jsonl", {**row, "turn": turn})).check()


def test_an_answer_on_one_side_only_cannot_be_paired(tmp_path: Path):
    row = {"prompt": "2 + 2?", "corrects": ["4"], "incorrects": ["5"]}
    for bad, reason in (([], "is an empty list"), ([" "], r"\[0\]' is blank"), ("5", "is a text")):
        path = write(tmp_path / "a.jsonl", row, {**row, "incorrects": bad})
        with pytest.raises(SourceError, match=f":2: 'incorrects.*{reason}"):
            pairs_in(path).check()


def test_parquet_gives_the_same_pairs_as_jsonl(tmp_path: Path):
    rows = [
        {"chosen": [USER, GOOD_TURN], "rejected": [USER, BAD_TURN], "subset": "s", "other": 1.5},
        {"chosen": [USER, BAD_TURN], "rejected": [USER, {**BAD_TURN, "content": "Eh?"}]},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    jsonl = write(tmp_path / "a.jsonl", *rows)
    found = pairs_in(tmp_path / "a.parquet").check().summary
    assert found.content_hash == pairs_in(jsonl).check().summary.content_hash
    assert found.tables[0].columns == ("chosen", "rejected", "subset", "other")


def test_models_and_tags_are_kept(tmp_path: Path):
    row = {
        **{"prompt": "Hello?", "output_1": "x", "output_2": "y", "dataset": "koala"},
        **{"generator_1": "m", "generator_2": "n", "source": "s " * 99, "type": None},
    }
    path = write(tmp_path / "a.jsonl", row)
    pair = only(path)
    assert (pair.model_a, pair.model_b, pair.tags) == ("m", "n", {"dataset": "koala"})
    assert pairs_in(path).check().summary.models == {"m", "n"}


def test_the_models_of_a_ranked_pair_stay_with_their_responses(tmp_path: Path):
    rows = [
        {"prompt": f"{n}?", "chosen": "x", "rejected": "y", "chosen_model": "m"} for n in range(9)
    ]
    path = write(tmp_path / "a.jsonl", *[{**row, "rejected_model": "n"} for row in rows])
    pairs = list(pairs_in(path).read())
    assert {pair.label for pair in pairs} == {"a", "b"}
    for pair in pairs:
        assert {pair.response_a: pair.model_a, pair.response_b: pair.model_b} == {
            "x": "m",
            "y": "n",
        }


def test_one_model_column_is_that_of_both_responses(tmp_path: Path):
    row = {"question": "Q?", "response_A": "x", "response_B": "y", "response_model": "m"}
    pair = only(write(tmp_path / "a.jsonl", row))
    assert (pair.model_a, pair.model_b) == ("m", "m")


def test_named_tags_are_taken_and_must_be_short(tmp_path: Path):
    row = {**GOOD, "lang": "en", "level": 3, "subset": "s"}
    bare = {**GOOD, "lang": None, "level": True}
    path = write(tmp_path / "a.jsonl", row, bare, {**GOOD, "lang": "x" * 101, "level": 4})
    pairs = pairs_in(path, PairOptions(tag_columns=("lang", "level"))).read()
    assert next(pairs).tags == {"lang": "en", "level": "3"}
    assert next(pairs).tags == {"level": "true"}
    with pytest.raises(SourceError, match=r"a\.jsonl:3: 'lang' is not a tag"):
        next(pairs)
    with pytest.raises(SourceError, match="no column 'laugh'"):
        pairs_in(path, PairOptions(tag_columns=("laugh",))).check()


def test_an_id_is_that_of_the_row_or_made_of_the_content(tmp_path: Path):
    given = only(write(tmp_path / "a.jsonl", {**GOOD, "pair_id": 7}))
    assert given.prompt.id == "7"
    again = {**GOOD, "note": "a second annotator"}
    ids = [pair.prompt.id for pair in pairs_in(write(tmp_path / "b.jsonl", GOOD, again)).read()]
    assert ids == [ids[0], f"{ids[0]}-2"]
    assert len(ids[0]) == 12


def test_the_id_of_a_question_is_not_that_of_a_pair(tmp_path: Path):
    rows = [{**GOOD, "question_id": 1, "prompt_id": "p"}, {**GOOD, "rejected": "No."}]
    assert pairs_in(write(tmp_path / "a.jsonl", *rows)).check().summary.n_items == 2


def test_an_id_that_is_taken_names_both_places(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {**GOOD, "id": 1}, {**GOOD, "id": 1, "chosen": "Hi."})
    with pytest.raises(SourceError, match=r"a\.jsonl:2: the id '1' is already that of .*:1"):
        pairs_in(path).check()


def dialogues(chosen: str, rejected: str) -> dict[str, str]:
    return {"chosen": f"\n\nHuman: {chosen}", "rejected": f"\n\nHuman: {rejected}"}


YES, NO = "A\n\nAssistant: yes", "A\n\nAssistant: no"
DIALOGUES = dialogues(YES, NO)
UNSHARED = ("no shared prompt", "do not share a prompt")


@pytest.mark.parametrize(
    ("good", "bad", "kind", "reason"),
    [
        (GOOD, {"prompt": "Hello?", "chosen": "x"}, "missing", "has no 'rejected'"),
        (GOOD, {**GOOD, "chosen": None}, "missing", "'chosen' is null"),
        (GOOD, {**GOOD, "prompt": None}, "missing", "'prompt' is null"),
        (GOOD, {**GOOD, "prompt": " "}, "blank", "'prompt' is blank"),
        (GOOD, {**GOOD, "rejected": "\n"}, "blank", "'rejected' is blank"),
        (GOOD, {**GOOD, "rejected": 3}, "malformed", "'rejected' is a number"),
        (GOOD, {**GOOD, "rejected": ["x"]}, "malformed", "'rejected' is a list"),
        (GOOD, {**GOOD, "rejected": "Good day. "}, "equal sides", "are equal"),
        (GOOD, "not an object", "unreadable row", "not an object"),
        (DIALOGUES, dialogues(YES, "B\n\nAssistant: no"), *UNSHARED),
        (DIALOGUES, dialogues(YES, f"{NO}\n\nAssistant: or yes"), *UNSHARED),
        (DIALOGUES, dialogues(YES, "A\n\nAssistant: "), "blank", "'rejected' is blank"),
        (DIALOGUES, {**DIALOGUES, "rejected": "no"}, "malformed", "does not begin with"),
        (DIALOGUES, dialogues("A", "B"), "malformed", "does not end in a turn of the assistant"),
        (DIALOGUES, dialogues(YES + YES[1:], YES + NO[1:]), "malformed", "ends in two turns"),
    ],
)
def test_a_bad_row_stops_the_reading_or_is_counted_by_kind(
    tmp_path: Path, good: object, bad: object, kind: str, reason: str
):
    path = write(tmp_path / "a.jsonl", good, bad)
    with pytest.raises(SourceError) as caught:
        pairs_in(path).check()
    assert str(caught.value).startswith(f"{path}:2: ")
    assert reason in str(caught.value)
    assert str(caught.value).endswith("Fix the row, or pass --skip-bad-rows.")
    summary = pairs_in(path, skip_bad_rows=True).check().summary
    assert (summary.n_items, summary.n_bad, dict(summary.bad_kinds)) == (1, 1, {kind: 1})
    assert summary.bad_rows[0].origin == f"{path}:2"
    assert summary.describe().endswith(f"\n1 row skipped: 1 {kind}")
    assert len(list(pairs_in(path, skip_bad_rows=True).read())) == 1


def test_a_third_response_is_refused(tmp_path: Path):
    row = {"prompt": "Hello?", "response_a": "x", "response_b": "y"}
    path = write(tmp_path / "a.jsonl", {**row, "response_c": ""}, {**row, "response_c": "z"})
    with pytest.raises(SourceError, match=r":2: 'response_c' has a third response beside"):
        pairs_in(path).check()
    assert pairs_in(path, skip_bad_rows=True).check().summary.bad_kinds == {"third option": 1}
    numbered = {"prompt": "Hello?", "response_0": "x", "response_1": "y", "response_2": "z"}
    with pytest.raises(SourceError, match="'response_2' has a third response beside"):
        pairs_in(write(tmp_path / "b.jsonl", numbered)).check()


def test_opposite_labels_of_one_pair_are_told_with_both_places(tmp_path: Path):
    row = {"prompt": "Hello?", "response_a": "x", "response_b": "y", "label": "a"}
    path = write(
        tmp_path / "a.jsonl",
        row,
        {**row, "label": "tie"},
        {**row, "label": "a"},
        {**row, "response_a": "y", "response_b": "x", "label": "b"},
        {**row, "label": "b"},
        {**row, "prompt": "Bye?", "label": "b"},
    )
    with pytest.raises(SourceError) as caught:
        pairs_in(path).check()
    assert f"{path}:5: prefers the other one of two responses" in str(caught.value)
    assert f"than {path}:1." in str(caught.value)
    summary = pairs_in(path, skip_bad_rows=True).check().summary
    assert (summary.n_items, summary.bad_kinds) == (5, {"contradiction": 1})
    assert summary.labels == {"a": 2, "tie": 1, "b": 2}


def test_a_bad_row_takes_no_id_and_has_no_opinion(tmp_path: Path):
    """Row 1 contradicts row 2 and has its id, but row 1 is no pair: its tag is too long."""
    turned = {"prompt": "Hello?", "chosen": "What?", "rejected": "Good day.", "id": "1"}
    path = write(tmp_path / "a.jsonl", {**turned, "kind": "x" * 101}, {**GOOD, "id": "1"})
    options = PairOptions(tag_columns=("kind",))
    assert pairs_in(path, options, skip_bad_rows=True).check().summary.n_items == 1


def test_of_many_bad_rows_the_first_are_kept(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", GOOD, *[{**GOOD, "chosen": " "}] * 30)
    summary = pairs_in(path, skip_bad_rows=True).check().summary
    assert (summary.n_bad, len(summary.bad_rows)) == (30, MAX_BAD_ROWS)


def test_columns_that_could_be_several_pairs_are_ambiguous(tmp_path: Path):
    both = {**GOOD, "response_a": "x", "response_b": "y"}
    with pytest.raises(SourceError, match="could be in 'chosen' and 'rejected', or 'response_a'"):
        pairs_in(write(tmp_path / "a.jsonl", both)).check()
    labels = {"prompt": "q", "text_a": "x", "text_b": "y", "label": "a", "winner": "b"}
    path = write(tmp_path / "b.jsonl", labels)
    with pytest.raises(SourceError, match=r"label could be in any of .* with --label-column label"):
        pairs_in(path).check()
    assert only(path, label_column="winner").label == "b"
    prompts = {"question": "q", "goal": "g", "chosen": "x", "rejected": "y"}
    with pytest.raises(SourceError, match="with --prompt-column question"):
        pairs_in(write(tmp_path / "c.jsonl", prompts)).check()


def test_columns_that_are_not_known_are_listed(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {"prompt": "q", "good": "x", "bad": "y"})
    with pytest.raises(SourceError, match="Its columns: 'prompt', 'good', 'bad'") as caught:
        pairs_in(path).check()
    assert "--a-column and --b-column" in str(caught.value)
    with pytest.raises(SourceError, match=r"no column 'best'"):
        pairs_in(path, PairOptions(better_column="best", worse_column="bad")).check()


@pytest.mark.parametrize(
    ("options", "option"),
    [
        (PairOptions(a_column="chosen"), "--b-column"),
        (PairOptions(worse_column="rejected"), "--better-column"),
        (PairOptions(a_column="x", b_column="y", better_column="x", worse_column="y"), "two pairs"),
        (PairOptions(prompt_column="prompt", prompt_text="x"), "--prompt-text"),
        (PairOptions(prompt_text=" "), "--prompt-text is blank"),
        (PairOptions(label_column="prompt"), "rank the responses"),
        (PairOptions(a_column="chosen", b_column="rejected", label_values=("1", "2")), "no column"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tmp_path: Path, options: PairOptions, option: str
):
    with pytest.raises(UsageError, match=option):
        pairs_in(write(tmp_path / "a.jsonl", GOOD), options).check()


def test_a_prompt_for_dialogues_that_hold_theirs_is_refused(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {**DIALOGUES, "prompt": "x"})
    assert only(path).prompt.request == "A"
    for option in ({"prompt_text": "x"}, {"prompt_column": "prompt"}):
        with pytest.raises(UsageError, match="hold their prompts"):
            pairs_in(path, PairOptions(**option)).check()


def test_a_prompt_that_ends_in_an_answer_is_no_prompt(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", {**GOOD, "prompt": [USER, GOOD_TURN]})
    with pytest.raises(SourceError, match="'prompt' ends in a turn of the assistant"):
        pairs_in(path).check()


def test_lists_without_a_prompt_anywhere_are_refused(tmp_path: Path):
    whole = {"chosen": [USER, GOOD_TURN], "rejected": [USER, BAD_TURN]}
    path = write(tmp_path / "a.jsonl", whole, {"chosen": [GOOD_TURN], "rejected": [BAD_TURN]})
    with pytest.raises(SourceError, match=r":2: has no prompt"):
        pairs_in(path).check()
    with pytest.raises(SourceError, match=r":2: 'chosen' is an empty list"):
        pairs_in(write(tmp_path / "b.jsonl", whole, {**whole, "chosen": []})).check()


def test_the_summary_says_what_was_found(tmp_path: Path):
    row = {"prompt": "q", "response_a": "x", "response_b": "y", "label": 1, "subset": "s"}
    path = write(tmp_path / "a.jsonl", row, {**row, "prompt": "r", "label": None})
    assert pairs_in(path).check().summary.describe() == (
        f"{path}: 2 pairs from 'response_a' and 'response_b', prompts in 'prompt', "
        "labels in 'label', tags in 'subset'\n"
        "labels: 1 A is better, 1 no label"
    )


def test_the_hash_names_what_is_read_and_not_the_file(tmp_path: Path):
    row = {"prompt": "q", "response_a": "x", "response_b": "y", "label": "a"}
    first = pairs_in(write(tmp_path / "a.jsonl", row)).check().summary.content_hash
    (tmp_path / "b.csv").write_text("prompt,response_a,response_b,label\nq,x,y,a\n")
    assert pairs_in(tmp_path / "b.csv").check().summary.content_hash == first
    for changed in (
        {"label": "b"},
        {"response_b": "z"},
        {"prompt": "r"},
        {"subset": "s"},
        {"note": 1},
    ):
        other = write(tmp_path / "c.jsonl", {**row, **changed})
        assert pairs_in(other).check().summary.content_hash != first


def test_several_sources_are_read_as_one(tmp_path: Path):
    first = write(tmp_path / "a.jsonl", GOOD)
    second = write(tmp_path / "b.jsonl", {"input": "q", "output_1": "x", "output_2": "y"})
    summary = pairs_in([first, second]).check().summary
    assert [part.n_items for part in summary.tables] == [1, 1]
    assert summary.describe().count("\n") == 2


def test_pairs_stream_in_little_memory(tmp_path: Path):
    """A file of 40 MB is read within 5 MB, of which some hundred bytes a pair are its hashes."""
    path = tmp_path / "big.jsonl"
    with path.open("w") as file:
        for number in range(2000):
            row = {"prompt": f"{number}?", "chosen": "word " * 2000, "rejected": "term " * 2000}
            file.write(json.dumps(row) + "\n")
    tracemalloc.start()
    assert sum(1 for _ in pairs_in(path).read()) == 2000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 40e6
    assert peak < 5e6
