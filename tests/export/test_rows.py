"""Revision runs as rows: each format, what is left out and for which reason, and the split."""

import itertools
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from made_runs import FAILED, FOUND_NOTHING, MIXED, chain, made_run, revised

from cai.engine.run_files import Failure
from cai.export.export import Export, ExportSummary
from cai.export.formats import Format, Row
from cai.export.selection import Selection, is_sft_prompt
from cai.methods.revision import Chain
from cai.methods.revision_flags import Flag
from cai.models.base import Completion
from cai.types import Message, Prompt, user_prompt


def rows_of(
    folder: Path,
    chains: Iterable[Chain | Failure],
    format: Format,
    selection: Selection = Selection(),
) -> tuple[list[Row], ExportSummary]:
    summary = ExportSummary(format)
    with made_run(folder, chains) as run:
        return list(Export.of([run], format, selection).rows(summary)), summary


def completions(rows: Iterable[Row]) -> list[str]:
    return [row["completion"][0]["content"] for row in rows]


def test_sft_rows_are_prompt_and_last_text(tmp_path: Path):
    rows, summary = rows_of(tmp_path, MIXED, "sft")
    assert completions(rows) == [
        "Better not, as it hurts.", "Wipe it.", "Two\nlines, \x07 and a tab\t.",
    ]  # fmt: skip
    assert rows[0]["prompt"] == [{"role": "user", "content": "Question 1?"}]
    assert rows[0]["completion"] == [{"role": "assistant", "content": "Better not, as it hurts."}]
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert list(rows[0]) == ["prompt", "completion", "id", "metadata", "provenance"]
    assert summary.describe() == "sft: 3 rows; left out: 1 failed"


def test_preference_rows_choose_the_revision_over_the_first_response(tmp_path: Path):
    rows, summary = rows_of(tmp_path, MIXED, "preference")
    assert rows[0]["chosen"] == [{"role": "assistant", "content": "Better not, as it hurts."}]
    assert rows[0]["rejected"] == [{"role": "assistant", "content": "Do it."}]
    assert list(rows[0]) == [
        "prompt", "chosen", "rejected", "chosen_probability", "judging", "id", "metadata",
        "provenance",
    ]  # fmt: skip
    assert rows[0]["chosen_probability"] is rows[0]["judging"] is None
    assert [row["id"] for row in rows] == ["1", "3"]
    assert summary.dropped == Counter({"unchanged": 1, "failed": 1})


def test_prompt_rows_are_those_of_every_finished_chain(tmp_path: Path):
    bad = chain("9", "x", revised("The response is rude.", "critique-instead"))
    rows, summary = rows_of(tmp_path, [*MIXED, bad], "prompts")
    assert [row["id"] for row in rows] == ["1", "2", "3", "9"]
    assert list(rows[0]) == ["prompt", "id", "metadata", "provenance"]
    assert summary.dropped == Counter({"failed": 1})


def test_everything_is_each_step_and_each_failure(tmp_path: Path):
    rows, summary = rows_of(tmp_path, MIXED, "everything")
    assert [row["id"] for row in rows] == ["1", "failed-1", "2", "3"]
    provenance = rows[1]["provenance"]
    assert (provenance["run"], provenance["origin"]) == (tmp_path.name, None)
    assert rows[1] == {
        "id": "failed-1",
        "error": {
            "kind": "ContextLengthError",
            "message": "The request has 3,000 tokens.",
            "is_retryable": False,
            "cause": "error",
        },
        "chain": None,
        "provenance": provenance,
    }
    first = json.loads(json.dumps(rows[0]))["chain"]
    assert [each["revision"]["text"] for each in first["rounds"]] == [
        "I will not.", "Better not, as it hurts.",
    ]  # fmt: skip
    assert first["rounds"][0]["flags"] == ["evasive"]
    assert summary.n_rows == 4 and not summary.dropped


def test_a_conversation_stays_whole_in_the_prompt(tmp_path: Path):
    turns = (Message("system", "Be brief."), Message("user", "Hi."), Message("assistant", "Yes?"),
             Message("user", "Go."))  # fmt: skip
    talk = Chain(Prompt("talk", turns), Completion("No."), (revised("Gladly."),))
    rows, _ = rows_of(tmp_path, [talk], "preference")
    assert rows[0]["prompt"] == [{"role": turn.role, "content": turn.content} for turn in turns]


CUT = Completion("Wipe it wi", "length")


@pytest.mark.parametrize(
    ("item", "reasons"),
    [
        (FAILED, ("failed", "failed")),
        (chain("1", "  "), ("empty", "empty")),
        (chain("1", "x", revised("", "empty")), ("empty", "empty")),
        (chain("1", "x", revised("y"), revised("", "empty")), ("empty", "empty")),
        (
            chain("1", "x", revised("The response is.", "unchanged", "critique-instead")),
            ("critique-instead", "critique-instead"),
        ),
        (chain("1", "x", revised("y z", "cut-off")), ("cut-off", "cut-off")),
        (chain("1", "x", revised("y z", "cut-off"), FOUND_NOTHING), ("cut-off", "cut-off")),
        (Chain(user_prompt("?", "1"), CUT), ("cut-off", "cut-off")),
        (Chain(user_prompt("?", "1"), CUT, (FOUND_NOTHING,)), ("cut-off", "cut-off")),
        (Chain(user_prompt("?", "1"), CUT, (revised("Wipe it."),)), (None, None)),
        (chain("1", "x y", revised("x  y\n", "unchanged")), (None, "unchanged")),
        (chain("1", "x y", revised("z"), revised("x y")), (None, "unchanged")),
        (chain("1", "x y"), (None, "unchanged")),
        (chain("1", " ", revised("y")), (None, "empty response")),
        (chain("1", "x", revised("I cannot.", "evasive")), (None, None)),
        (chain("1", "x", revised("y", "cut-off"), revised("y z")), (None, None)),
    ],
)
def test_a_row_is_left_out_for_a_reason_that_is_counted(
    item: Chain | Failure, reasons: tuple[str | None, str | None], tmp_path: Path
):
    formats: tuple[Format, Format] = ("sft", "preference")
    for format, reason in zip(formats, reasons, strict=True):
        rows, summary = rows_of(tmp_path / format, [item], format)
        assert summary.dropped == (Counter({reason: 1}) if reason else Counter())
        assert len(rows) == summary.n_rows == (0 if reason else 1)


def test_which_flags_cost_a_row_can_be_chosen(tmp_path: Path):
    chains = [
        chain("1", "x", revised("I cannot.", "evasive")),
        chain("2", "x", revised("y z", "cut-off")),
        chain("3", "x", revised("x", "unchanged")),
        chain("4", "x", revised("The response is rude.", "critique-instead")),
    ]
    kept = {
        (): ["1", "2", "3"],  # a critique is never a response
        ("evasive",): ["2", "3"],
        ("evasive", "unchanged", "cut-off"): [],
    }
    for drops, ids in kept.items():
        selection = Selection(drops=frozenset[Flag](drops))
        rows, _ = rows_of(tmp_path / "-".join(["run", *drops]), chains, "sft", selection)
        assert [row["id"] for row in rows] == ids


@pytest.mark.parametrize(
    ("item", "texts"),
    [
        (chain("1", "x", revised("one"), revised("two")), ["one", "two"]),
        (chain("1", "x", revised("one"), revised("one", "unchanged")), ["one"]),
        (chain("1", "x", revised("", "empty"), revised("two")), ["two"]),
        (chain("1", "x", revised("It is rude.", "critique-instead"), revised("two")), ["two"]),
        (chain("1", "x", revised("on", "cut-off"), revised("two")), ["two"]),
        (chain("1", "x", revised("one"), FOUND_NOTHING), ["one"]),
        (chain("1", "x", FOUND_NOTHING), ["x"]),
        (chain("1", "x"), ["x"]),
        (chain("1", "x", revised("one"), revised("", "empty")), []),
    ],
)
def test_all_rounds_give_each_usable_revision_once_and_never_the_unrevised_text(
    item: Chain, texts: list[str], tmp_path: Path
):
    rows, _ = rows_of(tmp_path, [item], "sft", Selection(all_rounds=True))
    assert completions(rows) == texts


def test_the_split_is_disjoint_by_content_and_together_complete(tmp_path: Path):
    """Of 400 different prompts, twice each, 100 ± 4·√(400·¼·¾) = 100 ± 35 go to SFT at a share
    of one quarter; the same prompt under another id goes with it."""
    chains = [
        chain(f"{n}-{copy}", "x", revised("y"), asked=f"Question {n}?")
        for copy in "ab"
        for n in range(400)
    ]
    sides: dict[str, Counter[str]] = {}
    formats: tuple[Format, Format] = ("sft", "preference")
    for format in formats:
        rows, summary = rows_of(tmp_path / format, chains, format, Selection(sft_share=0.25))
        sides[format] = Counter(json.dumps(row["prompt"]) for row in rows)
        assert summary.dropped == Counter({"in the other split": 800 - len(rows)})
    assert not sides["sft"].keys() & sides["preference"].keys()
    assert set((sides["sft"] + sides["preference"]).values()) == {2}
    assert sides["sft"].total() + sides["preference"].total() == 800
    assert abs(len(sides["sft"]) - 100) <= 35


def test_the_split_never_changes():
    """A later export, or one of another run, must not move a prompt to the other side."""
    asked = [[Message("user", f"Question {n}?")] for n in range(16)]
    sides = "".join("s" if is_sft_prompt(messages, 0.5) else "p" for messages in asked)
    assert sides == "ppppssssppppppsp"


def test_a_larger_share_only_adds_and_the_ends_are_all_or_nothing():
    asked = [[Message("user", f"Question {n}?")] for n in range(200)]
    chosen = [
        {n for n, messages in enumerate(asked) if is_sft_prompt(messages, share / 10)}
        for share in range(11)
    ]
    assert all(small <= large for small, large in itertools.pairwise(chosen))
    assert chosen[0] == set() and chosen[10] == set(range(200))


def test_the_split_looks_at_the_whole_conversation():
    alone = [Message("user", "Go.")]
    sides = {is_sft_prompt([Message("system", f"Rule {n}."), *alone], 0.5) for n in range(20)}
    assert sides == {True, False}


def test_prompts_and_everything_are_not_split(tmp_path: Path):
    formats: tuple[Format, Format] = ("prompts", "everything")
    for format in formats:
        rows, _ = rows_of(tmp_path / format, [chain("1", "x")], format, Selection(sft_share=0.0))
        assert len(rows) == 1
