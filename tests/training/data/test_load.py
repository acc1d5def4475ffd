"""What training reads: runs, files of people, what exports wrote, and what is wrong with them."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from made_runs import (
    FAILED,
    MIXED,
    MIXED_JUDGED,
    MIXED_SAMPLES,
    MIXED_SCORED,
    chain,
    contested,
    made_run,
    revised,
)
from shared_data import HARMLESS, data_file, needs_dialogues
from small_runs import write_rows

from cai.errors import CaiError, ExportError, SourceError, TrainingError, UsageError
from cai.export.data_files import Kind
from cai.export.formats import Format
from cai.export.provenance import ConstitutionName
from cai.export.rows import Demonstration, Labelled, PreferencePair
from cai.export.selection import Selection
from cai.export.writers import export_file
from cai.training.data.load import TrainingData, load_training_data


def loaded(
    tmp_path: Path, kind: Kind, rows: Iterable[Mapping[str, object]], **options: bool
) -> TrainingData:
    """The rows of one file, none of them held out."""
    file = write_rows(tmp_path / "rows.jsonl", rows)
    return load_training_data(file, kind, eval_share=0, **options)


def pair(number: int, **more: object) -> dict[str, object]:
    return {"prompt": f"Question {number}?", "chosen": "yes", "rejected": "no", **more}


def sides(data: TrainingData) -> list[tuple[str, str, float]]:
    """Of every pair what is chosen, what is rejected, and how sure that is."""
    found: list[tuple[str, str, float]] = []
    for row in data.train:
        assert isinstance(row.unit, PreferencePair)
        assert row.unit.chosen_probability == row.confidence
        found.append((row.unit.chosen, row.unit.rejected, row.confidence))
    return found


def labels(data: TrainingData) -> list[tuple[str, bool]]:
    units = [row.unit for row in data.train]
    return [(each.completion, each.label) for each in units if isinstance(each, Labelled)]


def test_a_pair_keeps_the_probability_that_its_row_gives(tmp_path: Path):
    rows = [pair(1, chosen_probability=0.875), pair(2, chosen_probability=None), pair(3)]
    assert sides(loaded(tmp_path, "preference", rows)) == [
        ("yes", "no", 0.875),
        ("yes", "no", 1.0),
        ("yes", "no", 1.0),
    ]
    rows = [pair(1, label_confidence=0.75)]
    assert sides(loaded(tmp_path, "preference", rows)) == [("yes", "no", 0.75)]


def test_a_probability_below_one_half_turns_the_pair_and_one_half_is_a_tie(tmp_path: Path):
    rows = [pair(1, chosen_probability=0.25), pair(2, chosen_probability=0.5)]
    data = loaded(tmp_path, "preference", rows)
    assert sides(data) == [("no", "yes", 0.75)]
    assert data.dropped == {"tie": 1}


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), float("inf"), "sure", True])
def test_what_is_no_probability_stops_the_reading_with_its_line(value: object, tmp_path: Path):
    rows = [pair(1, chosen_probability=0.9), pair(2, chosen_probability=value)]
    with pytest.raises(SourceError, match=r"rows\.jsonl:2: 'chosen_probability' is .* 0 to 1 is"):
        loaded(tmp_path, "preference", rows)


def test_a_label_confidence_out_of_its_range_is_no_other_column_even_on_the_first_row(
    tmp_path: Path,
):
    with pytest.raises(SourceError, match=r"rows\.jsonl:1: 'label_confidence' is 1\.7"):
        loaded(tmp_path, "preference", [pair(1, label_confidence=1.7)])


def test_ties_and_rows_without_a_label_are_dropped_and_counted(tmp_path: Path):
    row = {"prompt": "q", "response_a": "x", "response_b": "y"}
    rows = [{**row, "prompt": str(n), "label": label} for n, label in enumerate(["a", "tie", None])]
    data = loaded(tmp_path, "preference", rows)
    assert sides(data) == [("x", "y", 1.0)]
    assert data.dropped == {"tie": 1, "unlabelled": 1}
    assert "left out: 1 tie, 1 unlabelled" in data.describe()


SFT_FORMS: list[dict[str, object]] = [
    {"prompt": "Why?", "completion": "So."},
    {"instruction": "Why?", "output": "So."},
    {
        "prompt": [{"role": "user", "content": "Why?"}],
        "completion": [{"role": "assistant", "content": "So."}],
    },
    {
        "messages": [
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": "So."},
        ]
    },
    {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]},
    {"prompt": "Why?", "chosen": "So.", "rejected": "No."},
    {
        "chosen": "\n\nHuman: Why?\n\nAssistant: So.",
        "rejected": "\n\nHuman: Why?\n\nAssistant: No.",
    },
]


@pytest.mark.parametrize("row", SFT_FORMS)
def test_a_response_to_learn_from_is_read_in_every_form(row: dict[str, object], tmp_path: Path):
    (learned,) = loaded(tmp_path, "sft", [row]).train
    assert isinstance(learned.unit, Demonstration)
    assert [turn.content for turn in learned.unit.prompt.messages] == ["Why?"]
    assert learned.unit.completion.strip() == "So."


def test_labels_of_kto_are_booleans_ones_and_noughts_or_the_sides_of_pairs(tmp_path: Path):
    said = [True, False, 1, 0, "true", "False"]
    rows = [{"prompt": str(n), "completion": "x", "label": each} for n, each in enumerate(said)]
    assert [label for _, label in labels(loaded(tmp_path, "kto", rows))] == [True, False] * 3
    data = loaded(tmp_path, "kto", [pair(1, chosen_probability=0.75)])
    assert labels(data) == [("yes", True), ("no", False)]
    assert [row.confidence for row in data.train] == [0.75, 0.75]


def test_a_label_of_kto_that_is_no_yes_or_no_is_a_bad_row(tmp_path: Path):
    rows = [
        {"prompt": "1", "completion": "x", "label": True},
        {"prompt": "2", "completion": "x", "label": "perhaps"},
    ]
    with pytest.raises(SourceError, match=r"rows\.jsonl:2: the label is 'perhaps', and true or"):
        loaded(tmp_path, "kto", rows)
    assert loaded(tmp_path, "kto", rows, skip_bad_rows=True).dropped == {"wrong label": 1}


def test_a_response_that_is_good_in_one_row_and_bad_in_another_is_none(tmp_path: Path):
    rows = [
        {"prompt": "1", "completion": "x", "label": True},
        {"prompt": "1", "completion": "x", "label": False},
        {"prompt": "1", "completion": "y", "label": True},
    ]
    data = loaded(tmp_path, "kto", rows)
    assert labels(data) == [("y", True)]
    assert data.dropped == {"good and bad": 2}


RUNS: list[tuple[str, list[object], Format]] = [
    ("revise", [*MIXED], "sft"),
    ("revise", [*MIXED], "preference"),
    ("revise", [*MIXED], "kto"),
    ("judge", [*MIXED_JUDGED], "preference"),
    ("judge", [*MIXED_JUDGED], "kto"),
    ("judge", [*MIXED_JUDGED], "prompts"),
    ("score", [*MIXED_SCORED], "kto"),
]


def told(data: TrainingData) -> list[object]:
    """All that is trained on, without ids and origins."""
    found: list[object] = []
    for row in data.train:
        unit = row.unit
        match unit:
            case PreferencePair():
                found.append((unit.prompt.messages, unit.chosen, unit.rejected, row.confidence))
            case Labelled():
                found.append((unit.prompt.messages, unit.completion, unit.label))
            case Demonstration():
                found.append((unit.prompt.messages, unit.completion))
            case _:
                found.append(unit.messages)
    return found


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
@pytest.mark.parametrize(("method", "items", "kind"), RUNS)
def test_a_run_and_the_file_that_was_exported_of_it_are_the_same_rows(
    method: str, items: list[object], kind: Kind, suffix: str, tmp_path: Path
):
    with made_run(tmp_path / "run", items) as run:
        export_file([run], kind, tmp_path / f"rows{suffix}")
    of_run = load_training_data(tmp_path / "run", kind, eval_share=0)
    of_file = load_training_data(tmp_path / f"rows{suffix}", kind, eval_share=0)
    assert told(of_run) == told(of_file) != []
    assert of_run.content_hash == of_file.content_hash
    assert of_run.provenance == of_file.provenance
    assert of_run.provenance.methods == (method,)
    assert of_run.counts == {str(tmp_path / "run"): len(of_run.train)}


@pytest.mark.parametrize("kind", ["sft", "preference", "prompts"])
def test_files_with_the_columns_of_another_trainer_are_read_too(kind: Kind, tmp_path: Path):
    with made_run(tmp_path / "run", [*MIXED_JUDGED]) as run:
        export_file([run], kind, tmp_path / "rows.jsonl", trainer="openrlhf")
    found = [
        load_training_data(tmp_path / name, kind, eval_share=0) for name in ("run", "rows.jsonl")
    ]
    assert told(found[0]) == told(found[1]) != []


def test_a_run_tells_its_constitution_models_judges_and_principles(tmp_path: Path):
    with made_run(tmp_path / "run", [*MIXED_JUDGED]):
        pass
    data = load_training_data(tmp_path / "run", "preference")
    provenance = data.provenance
    assert [each.name for each in provenance.constitutions] == ["one"]
    assert provenance.judges == ("scripted-judge",)
    assert provenance.principle_ids == ("be-kind",)
    assert {"policy-0", "policy-1"} <= set(provenance.models)
    assert isinstance(provenance.constitutions[0], ConstitutionName)


def test_a_run_of_another_method_and_a_run_without_rows_are_named(tmp_path: Path):
    with made_run(tmp_path / "samples", [*MIXED_SAMPLES]):
        pass
    with pytest.raises(ExportError, match="run of `cai sample` has no rows of the format 'prefer"):
        load_training_data(tmp_path / "samples", "preference")
    with made_run(tmp_path / "failed", [FAILED, chain("1", "same", revised("same"))]):
        pass
    with pytest.raises(TrainingError, match="no row is left to train on; left out: 1 failed, 1 un"):
        load_training_data(tmp_path / "failed", "preference")


def test_the_selection_holds_for_runs_and_its_split_and_margin_for_files(tmp_path: Path):
    judged = [contested(str(n), ["a", "b"], {(0, 1): 0.55 + n / 100}) for n in range(20)]
    with made_run(tmp_path / "run", judged) as run:
        export_file([run], "preference", tmp_path / "rows.jsonl")
    selection = Selection(min_margin=0.1, sft_share=0.5)
    found = [
        load_training_data(tmp_path / name, "preference", selection=selection, eval_share=0)
        for name in ("run", "rows.jsonl")
    ]
    assert told(found[0]) == told(found[1])
    assert 0 < len(found[0].train) < 15
    assert found[1].dropped["unsure"] > 0 < found[1].dropped["in the other split"]


def test_rows_of_one_content_are_trained_on_once_whatever_source_they_are_in(tmp_path: Path):
    one = write_rows(tmp_path / "one.jsonl", [pair(1), pair(2)])
    two = write_rows(tmp_path / "two.jsonl", [pair(2), pair(3)])
    data = load_training_data([one, two], "preference", eval_share=0)
    assert data.counts == {str(one): 2, str(two): 1}
    assert data.dropped == {"repeated": 1}


def test_the_limit_keeps_the_first_rows(tmp_path: Path):
    file = write_rows(tmp_path / "rows.jsonl", map(pair, range(9)))
    whole = load_training_data(file, "preference", eval_share=0)
    few = load_training_data(file, "preference", eval_share=0, limit=4)
    assert few.train == whole.train[:4]
    assert few.content_hash != whole.content_hash
    with pytest.raises(UsageError, match="limit is 0"):
        load_training_data(file, "preference", limit=0)


MISSING: list[tuple[Kind, dict[str, object], str]] = [
    ("preference", {"prompt": "q", "nice": "x", "nasty": "y"}, "'chosen' and 'rejected', or"),
    ("preference", {"chosen": "x", "rejected": "y"}, "with the prompt in 'prompt'"),
    ("sft", {"prompt": "q", "reply": "x"}, "'messages', or 'prompt' and 'completion'"),
    ("kto", {"prompt": "q", "completion": "x"}, "'prompt', 'completion' and 'label'"),
    ("prompts", {"words": "q", "others": "y"}, "'prompt' or 'messages'"),
]


@pytest.mark.parametrize(("kind", "row", "needed"), MISSING)
def test_missing_columns_are_told_with_those_needed_and_those_found(
    kind: Kind, row: dict[str, object], needed: str, tmp_path: Path
):
    with pytest.raises(SourceError) as caught:
        loaded(tmp_path, kind, [row])
    message = str(caught.value)
    assert needed in message
    assert all(repr(name) in message for name in row)
    assert "--" not in message


@pytest.mark.parametrize("kind", ["sft", "preference", "kto", "prompts"])
def test_an_empty_file_a_header_alone_and_a_missing_file_are_told(kind: Kind, tmp_path: Path):
    (tmp_path / "empty.jsonl").touch()
    with (tmp_path / "header.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(["prompt", "completion", "label", "chosen", "rejected"])
    for name, said in (("empty.jsonl", "is empty"), ("header.csv", "no row"), ("no.jsonl", "no s")):
        with pytest.raises(CaiError, match=f"{name}: .*{said}"):
            load_training_data(tmp_path / name, kind)


def test_equal_sides_are_a_bad_row_that_can_be_passed_over(tmp_path: Path):
    rows = [pair(1), pair(2, rejected=" yes")]
    with pytest.raises(SourceError, match=r":2: 'chosen' and 'rejected' are equal"):
        loaded(tmp_path, "preference", rows)
    assert loaded(tmp_path, "preference", rows, skip_bad_rows=True).dropped == {"equal sides": 1}


def test_every_bad_file_of_preferences_is_refused_with_its_name_and_line():
    for path in sorted(data_file("bad_inputs/preferences").glob("*.jsonl")):
        with pytest.raises(SourceError) as caught:
            load_training_data(path, "preference")
        assert str(caught.value).startswith(f"{path}:"), path


@needs_dialogues
def test_peoples_dialogues_are_read_as_every_kind():
    for kind, n in (("preference", 497), ("sft", 497), ("kto", 994)):
        data = load_training_data(HARMLESS, kind, skip_bad_rows=True)
        assert len(data.train) + len(data.evaluation) == n
        assert data.provenance.methods == ("people",)
    first = json.loads(HARMLESS.read_text("utf-8").splitlines()[0])
    row = next(iter(load_training_data(HARMLESS, "preference", skip_bad_rows=True, limit=1).train))
    assert isinstance(row.unit, PreferencePair)
    assert first["chosen"].endswith(row.unit.chosen)
    assert first["rejected"].endswith(row.unit.rejected)


def test_a_column_of_peoples_own_that_is_called_provenance_makes_no_export(tmp_path: Path):
    for value in ("crowd", {"site": "north"}, None):
        data = loaded(tmp_path, "preference", [pair(1, provenance=value)])
        assert data.provenance.methods == ("people",)
        assert data.provenance.constitutions == ()
