"""Samples, judged revisions and scored responses as rows, and several runs in one file."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from made_runs import (
    FAILED,
    JUDGING,
    MIXED,
    MIXED_JUDGED,
    MIXED_SAMPLES,
    MIXED_SCORED,
    RECIPE,
    chain,
    contested,
    made_run,
    recipe_of,
    record,
    revised,
    samples,
    scored,
)

from cai.engine.run_files import Failure
from cai.engine.run_folder import RunFolder
from cai.errors import ExportError, UsageError
from cai.export.export import Export, ExportSummary
from cai.export.formats import Format, Row
from cai.export.provenance import without_places
from cai.export.selection import Selection
from cai.export.writers import export_file
from cai.runs.config import Body


def rows_of(
    runs: Sequence[RunFolder], format: Format, selection: Selection = Selection()
) -> tuple[list[Row], ExportSummary]:
    summary = ExportSummary(format)
    return list(Export.of(runs, format, selection).rows(summary)), summary


def texts(rows: Sequence[Row], column: str) -> list[str]:
    return [row[column][-1]["content"] for row in rows]


def test_samples_are_demonstrations_unless_empty_cut_off_or_repeated(tmp_path: Path):
    with made_run(tmp_path, MIXED_SAMPLES) as run:
        rows, summary = rows_of([run], "sft")
        assert texts(rows, "completion") == ["Do it.", "I will not.", "naïve 👍\n\u2028"]
        assert summary.dropped == Counter(
            {"repeated": 1, "failed": 1, "empty text": 2, "cut-off": 1}
        )
        assert summary.n_considered == len(rows) + summary.dropped.total() == 8
        whole, _ = rows_of([run], "sft", Selection(drops=frozenset()))
        assert "Wipe it wi" in texts(whole, "completion")
        asked, _ = rows_of([run], "prompts")
    assert [row["id"] for row in asked] == ["1", "2", "3"]
    provenance = rows[0]["provenance"]
    assert (provenance["method"], provenance["models"]) == ("sample", ["policy"])
    assert [policy["model"] for policy in provenance["policies"]] == ["scripted"]
    assert provenance["constitution"] is provenance["principle_ids"] is None


def test_a_filtered_sample_is_no_demonstration(tmp_path: Path):
    with made_run(tmp_path, [samples("1", ("I cannot", "filtered"), "Gladly.")]) as run:
        rows, summary = rows_of([run], "sft")
    assert (texts(rows, "completion"), summary.dropped) == (["Gladly."], Counter(filtered=1))


def test_of_a_judged_group_the_best_is_the_demonstration(tmp_path: Path):
    with made_run(tmp_path, MIXED_JUDGED) as run:
        rows, summary = rows_of([run], "sft")
        asked, _ = rows_of([run], "prompts")
    assert texts(rows, "completion") == ["I will not.", "a b", "naïve 👍\n\u2028"]
    assert [row["provenance"]["models"] for row in rows] == [
        ["policy-1"],
        ["policy-0"],
        ["policy-0"],
    ]
    assert summary.dropped == Counter(failed=1, tie=1)
    assert [row["id"] for row in asked] == ["1", "2", "3", "4"]


def test_a_scored_response_is_a_demonstration_from_the_least_score_on(tmp_path: Path):
    with made_run(tmp_path, MIXED_SCORED) as run:
        rows, summary = rows_of([run], "sft")
        few, _ = rows_of([run], "sft", Selection(min_score=0.75))
    assert texts(rows, "completion") == ["I will not.", "naïve 👍\n\u2028"]
    assert summary.dropped == Counter({"low score": 1, "failed": 1, "unparsed": 1})
    assert texts(few, "completion") == ["I will not."]


def test_scored_responses_are_labelled_by_the_least_score(tmp_path: Path):
    items: list[Body | Failure] = [
        scored("1/1", "a", 0.5, asked="One?"),
        scored("1/2", "b", 0.25, asked="One?"),
        scored("1/3", "c", 0.0, asked="One?"),
        scored("2", "a", "refused"),
        scored("3", " ", 0.5),
        FAILED,
    ]
    with made_run(tmp_path, items) as run:
        rows, summary = rows_of([run], "kto", Selection(min_score=0.25))
    assert [(row["completion"][0]["content"], row["label"]) for row in rows] == [
        ("a", True), ("b", True), ("c", False),
    ]  # fmt: skip
    assert (summary.n_good, summary.n_bad) == (2, 1)
    assert summary.dropped == Counter({"refused": 1, "empty text": 1, "failed": 1})
    assert summary.describe() == (
        "kto: 3 rows (2 good, 1 bad); left out: 1 empty text, 1 failed, 1 refused"
    )


def test_scores_have_no_pairs_to_balance(tmp_path: Path):
    said = "run: `cai score` gives no pairs"
    with made_run(tmp_path / "run", MIXED_SCORED) as run, pytest.raises(ExportError, match=said):
        rows_of([run], "kto", Selection(balances_length=True))


def test_everything_has_each_method_s_own_column(tmp_path: Path):
    for items, column in (
        (MIXED, "chain"),
        (MIXED_SAMPLES, "samples"),
        (MIXED_JUDGED, "judged"),
        (MIXED_SCORED, "scored"),
    ):
        with made_run(tmp_path / column, items) as run:
            rows, summary = rows_of([run], "everything")
        assert list(rows[0]) == ["id", "error", column, "provenance"]
        assert len(rows) == summary.n_considered == len(items)
        assert (rows[0]["error"], rows[1][column]) == (None, None)
        assert rows[1]["error"]["kind"] == "ContextLengthError"


def test_everything_of_a_judged_run_has_every_order_and_the_tags(tmp_path: Path):
    judged = contested("1", ["x", "y"], {(0, 1): (0.75, "refused")})
    judged.group.tags["kind"] = "harm"
    with made_run(tmp_path / "run", [judged]) as run:
        export_file([run], "everything", tmp_path / "all.parquet")
    (row,) = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    assert row["judged"]["group"]["tags"] == [{"name": "kind", "value": "harm"}]
    (matchup,) = row["judged"]["matchups"]
    (principle_verdict,) = matchup["verdict"]["principle_verdicts"]
    assert (principle_verdict["order_ab"]["p_a"], principle_verdict["order_ba"]["p_a"]) == (
        0.75,
        None,
    )
    assert (matchup["verdict"]["outcome"], principle_verdict["order_ba"]["outcome"]) == (
        "refused",
        "refused",
    )


REVISED = [chain(f"r{n}", f"bad {n}", revised(f"good {n}")) for n in range(5)]
JUDGED = [contested(f"j{n}", [f"x{n}", f"y{n}"], {(0, 1): 0.75}) for n in range(3)]


def test_several_runs_are_one_file_taken_in_turn(tmp_path: Path):
    with made_run(tmp_path / "one", REVISED) as one, made_run(tmp_path / "two", JUDGED) as two:
        rows, summary = rows_of([one, two], "preference")
        backwards, _ = rows_of([two, one], "preference")
    assert [row["id"] for row in rows] == ["r0", "j0", "r1", "j1", "r2", "j2", "r3", "r4"]
    assert [row["id"] for row in backwards][:3] == ["j0", "r0", "j1"]
    assert summary.n_rows == summary.n_considered == 8
    told = [(row["provenance"]["method"], row["provenance"]["run"]) for row in rows[:2]]
    assert told == [("revise", "one"), ("judge", "two")]
    assert [row["chosen_probability"] for row in rows[:2]] == [None, 0.75]
    assert rows[0].keys() == rows[1].keys()
    assert rows[0]["provenance"].keys() == rows[1]["provenance"].keys()


ROWS: list[Format] = ["preference", "reward", "kto", "sft", "prompts"]
THINNED = [Selection(near_duplicates=0.5), Selection(sft_share=0.5)]


@pytest.mark.parametrize(
    ("format", "selection"),
    [("everything", Selection()), *product(ROWS, [Selection(), *THINNED])],
)
def test_parts_of_a_source_are_one_run_over_the_whole(
    tmp_path: Path, format: Format, selection: Selection
):
    """Rows that are left out, and failures, must not shift the others; nor may equal prompts."""
    items = [
        *(contested(f"j{n}", ["x", f"y{n}"], {(0, 1): 0.25 if n % 3 else 0.5}) for n in range(10)),
        FAILED,
        *(contested(f"e{n}", ["x", "y"], {(0, 1): 0.25}, asked="Why?") for n in range(7)),
        FAILED,
    ]
    with ExitStack() as opened:
        whole = opened.enter_context(made_run(tmp_path / "whole" / "run", items))
        recipe = recipe_of(items[0])
        parts: list[RunFolder] = []
        for number in range(3):
            path = tmp_path / str(number) / "run"
            with RunFolder.open(path, recipe.model_dump(mode="json"), {}) as part:
                for position in range(number, len(items), 3):
                    part.add(record(position, items[position]))
            parts.append(opened.enter_context(RunFolder.existing(path)))
        expected, n_whole = rows_of([whole], format, selection)
        for ordered in (parts, parts[::-1]):
            rows, n_parts = rows_of(ordered, format, selection)
            assert rows == expected
            assert n_parts == n_whole


def test_two_folders_of_one_run_with_an_example_in_common_are_refused(tmp_path: Path):
    items = [chain("1", "x"), chain("2", "x")]
    with (
        made_run(tmp_path / "one", items) as one,
        made_run(tmp_path / "two", items) as two,
        pytest.raises(UsageError, match=r"one and .*two: .* have the example '1'"),
    ):
        rows_of([one, two], "prompts")


@pytest.mark.parametrize("format", [*ROWS, "everything"])
def test_several_runs_in_parquet_are_the_rows_of_jsonl(format: Format, tmp_path: Path):
    with made_run(tmp_path / "one", MIXED) as one, made_run(tmp_path / "two", MIXED_JUDGED) as two:
        for suffix in ("jsonl", "parquet"):
            export_file([one, two], format, tmp_path / f"rows.{suffix}")
    lines = (tmp_path / "rows.jsonl").read_text("utf-8").removesuffix("\n").split("\n")
    assert parquet.read_table(tmp_path / "rows.parquet").to_pylist() == [
        json.loads(line) for line in lines
    ]


def test_a_file_of_two_methods_is_read_without_naming_types(tmp_path: Path):
    """Readers of JSON take the types of columns from the first ten megabytes: the pairs without a
    probability, 3 × 5 MB of them, must not all stand before those that have one."""
    from datasets import load_dataset

    chains = [chain(f"r{n}", "x", revised("word " * 1_000_000)) for n in range(3)]
    with made_run(tmp_path / "one", chains) as one, made_run(tmp_path / "two", JUDGED) as two:
        export_file([one, two], "preference", tmp_path / "rows.jsonl")
    rows = load_dataset(
        "json",
        data_files=str(tmp_path / "rows.jsonl"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert rows["chosen_probability"] == [None, 0.75] * 3


def test_a_run_that_has_not_the_format_is_named(tmp_path: Path):
    with (
        made_run(tmp_path / "one", MIXED) as one,
        made_run(tmp_path / "two", MIXED_SAMPLES) as two,
        pytest.raises(ExportError, match=r"two: a run of `cai sample` has no rows .*'reward'"),
    ):
        rows_of([one, two], "reward")


def test_a_run_that_is_named_twice_is_refused(tmp_path: Path):
    with (
        made_run(tmp_path / "one", MIXED) as one,
        RunFolder.existing(tmp_path / "one") as again,
        pytest.raises(ExportError, match="one: is named twice"),
    ):
        rows_of([one, again], "sft")


def test_a_prompt_of_several_runs_is_one_row_of_prompts(tmp_path: Path):
    """Equal prompts of one run stay as they are: the source had them so."""
    first = [chain("1", "x", asked="Why?"), chain("1-2", "x", asked="Why?"), chain("2", "x")]
    second = [samples("a", "x", asked="Why?"), samples("b", "x", asked="Who?")]
    with made_run(tmp_path / "one", first) as one, made_run(tmp_path / "two", second) as two:
        rows, summary = rows_of([one, two], "prompts")
    assert sorted(row["id"] for row in rows) == ["1", "1-2", "2", "b"]
    assert summary.dropped == Counter(repeated=1)


def test_the_split_holds_over_several_runs(tmp_path: Path):
    asked = [f"Question {n}?" for n in range(40)]
    chains = [chain(f"r{n}", "x", revised("y"), asked=text) for n, text in enumerate(asked)]
    groups = [
        contested(f"j{n}", ["x", "y"], {(0, 1): 0.25}, asked=text) for n, text in enumerate(asked)
    ]
    selection = Selection(sft_share=0.5)
    sides: dict[Format, set[str]] = {}
    with made_run(tmp_path / "one", chains) as one, made_run(tmp_path / "two", groups) as two:
        for format in ("sft", "preference", "reward", "kto"):
            rows, _ = rows_of([one, two], format, selection)
            sides[format] = {row["prompt"][0]["content"] for row in rows}
    assert sides["preference"] == sides["reward"] == sides["kto"]
    assert not sides["sft"] & sides["preference"]
    assert sides["sft"] | sides["preference"] == set(asked)


def test_without_a_run_there_is_nothing_to_export():
    with pytest.raises(ExportError, match="No run is named"):
        Export.of([], "sft")


@pytest.mark.parametrize(
    ("format", "selection", "said"),
    [
        ("preference", Selection(min_margin=0.6), "min_margin is 0.6"),
        ("preference", Selection(min_margin=float("nan")), "min_margin is nan"),
        ("sft", Selection(sft_share=-0.1), "sft_share is -0.1"),
        ("sft", Selection(near_duplicates=1.0), "from 0.5 to 0.99"),
        ("kto", Selection(min_score=-2.0), "min_score is -2"),
        ("sft", Selection(balances_length=True), "between the sides of pairs, and 'sft' has none"),
        ("everything", Selection(near_duplicates=0.8), "leaves nothing out"),
    ],
)
def test_a_selection_that_cannot_be_followed_is_refused(
    format: Format, selection: Selection, said: str, tmp_path: Path
):
    with made_run(tmp_path, MIXED) as run, pytest.raises(ExportError, match=said):
        rows_of([run], format, selection)


def test_a_run_that_grows_between_two_passes_gives_the_rows_of_the_first(tmp_path: Path):
    """While the rows are written, the examples at the places 1 and 4 get done."""
    items: list[Body] = [contested(f"{n}", ["x", "yy"], {(0, 1): 0.75}) for n in range(5)]
    with RunFolder.open(tmp_path, JUDGING.model_dump(mode="json"), {}) as writer:
        for position in (0, 2, 3):
            writer.add(record(position, items[position]))
        with RunFolder.existing(tmp_path) as run:
            summary = ExportSummary("kto")
            rows = Export.of([run], "kto").rows(summary)
            ids = [next(rows)["id"]]
            for position in (1, 4):
                writer.add(record(position, items[position]))
            ids += [row["id"] for row in rows]
    assert ids == ["0", "0", "2", "2", "3", "3"]
    assert summary.n_considered == 3


def test_a_run_of_revisions_names_who_wrote_what(tmp_path: Path):
    reviser = RECIPE.roles["revise"].model_copy(update={"model": "reviser"})
    recipe = RECIPE.model_copy(update={"roles": {**RECIPE.roles, "revise": reviser}})
    chains = [chain("1", "x", revised("y")), chain("2", "x")]
    with made_run(tmp_path, chains, recipe) as run:
        pairs, _ = rows_of([run], "preference")
        learned, _ = rows_of([run], "sft")
    assert [row["provenance"]["models"] for row in pairs] == [["reviser", "scripted"]]
    assert [row["provenance"]["models"] for row in learned] == [["reviser"], ["scripted"]]


def test_names_of_models_lose_the_places_of_this_machine_and_texts_keep_theirs():
    row = {
        "prompt": [{"role": "user", "content": "Read /home/ada/notes.txt"}],
        "group": {"candidates": [{"text": "See ~/bin/x", "model": "hf:/home/ada/sl?dtype=x"}]},
        "judges": [{"model": "openai:judge@http://10.0.0.7:8000/v1", "samples": 1}],
        "models": ["hf:~/models/a", "hf:Qwen/Qwen3-8B", "embedded"],
    }
    assert without_places(row) == {
        "prompt": [{"role": "user", "content": "Read /home/ada/notes.txt"}],
        "group": {"candidates": [{"text": "See ~/bin/x", "model": "hf:sl?dtype=x"}]},
        "judges": [{"model": "openai:judge", "samples": 1}],
        "models": ["hf:a", "hf:Qwen/Qwen3-8B", "embedded"],
    }
