"""Where groups to judge come from: samples, revisions and pair files; what is passed over."""

from pathlib import Path

import pytest
from small_runs import revised, sampled, write_rows

from cai.data.pair_options import PairOptions
from cai.engine.run_files import Failure, Record
from cai.engine.run_folder import RunFolder
from cai.errors import JournalError, SourceError, UsageError
from cai.methods.judging.verdict import Candidate, Group
from cai.runs.inputs import GroupSource


def groups(source: GroupSource) -> dict[str, Group]:
    return dict(source.check().items())


async def test_samples_are_groups_of_their_responses(tmp_path: Path):
    run = await sampled(tmp_path / "run", {"one": ["a", "b", "c"], "two": ["d", "e", "f"]})
    source = GroupSource((run,))
    summary = source.check().summary
    assert (summary.n_items, summary.n_labelled, summary.models) == (2, 0, {"actor"})
    assert (summary.skipped, summary.left_out) == ({}, {})
    assert summary.describe() == f"{run}: 2 groups of samples"
    found = groups(source)
    assert list(found) == ["one", "two"]
    assert found["one"].candidates == tuple(Candidate(text, "actor") for text in "abc")
    assert found["one"].label is None
    assert found["two"].prompt.request == "Request two?"


async def test_empty_and_equal_responses_are_left_out_and_counted(tmp_path: Path):
    run = await sampled(
        tmp_path / "run",
        {
            "whole": ["a", "b", "c"],
            "some": ["a", "", "a"],
            "twice": ["a", "b", "a"],
            "none": ["", "", ""],
            "equal": ["a", "a", "a"],
            "two": ["", "b", "b"],
        },
    )
    source = GroupSource((run,))
    summary = source.check().summary
    assert {
        id: [each.text for each in group.candidates] for id, group in source.check().items()
    } == {
        "whole": ["a", "b", "c"],
        "twice": ["a", "b"],
    }
    assert summary.skipped == {"all equal": 1, "equal sides": 2, "fewer than two responses": 1}
    assert summary.left_out == {"equal to another": 1}
    assert summary.n_items + sum(summary.skipped.values()) == 6
    assert summary.describe().splitlines()[1:] == [
        "not judged: 1 all equal, 2 equal sides, 1 fewer than two responses",
        "responses left out: 1 equal to another",
    ]


async def test_an_empty_response_of_several_is_left_out(tmp_path: Path):
    run = await sampled(tmp_path / "run", {"one": ["a", " ", "c"]})
    source = GroupSource((run,))
    assert source.check().summary.left_out == {"empty": 1}
    assert len(groups(source)["one"].candidates) == 2


async def test_revisions_are_judged_against_their_originals(tmp_path: Path):
    run = await revised(
        tmp_path / "run",
        {
            "kept": ("Do it.", "Better not."),
            "same": ("Do it.", "Do  it."),
            "blank": ("", "Better not."),
            "gone": ("Do it.", ""),
        },
    )
    with RunFolder.existing(Path(run)) as folder:
        recipe = dict(folder.config)
    with RunFolder.open(Path(run), recipe, {}) as folder:
        folder.add(Record(9, "failed", "", Failure("ModelError", "It has gone.", False)))
    source = GroupSource((run,))
    summary = source.check().summary
    found = groups(source)
    assert list(found) == ["kept"]
    assert found["kept"].candidates == (
        Candidate("Do it.", "editor"),
        Candidate("Better not.", "editor"),
    )
    assert summary.skipped == {
        "empty response": 1,
        "failed in the run": 1,
        "no usable revision": 1,
        "unchanged": 1,
    }
    assert summary.describe().startswith(f"{run}: 1 group of responses and their revisions")


async def test_several_runs_of_one_method_go_together(tmp_path: Path):
    first = await sampled(tmp_path / "first", {"one": ["a", "b"]}, "first")
    second = await sampled(tmp_path / "second", {"two": ["a", "b"]}, "second")
    source = GroupSource((first, second))
    assert source.check().summary.models == {"first", "second"}
    assert list(groups(source)) == ["one", "two"]


async def test_a_prompt_that_two_runs_have_is_said(tmp_path: Path):
    first = await sampled(tmp_path / "first", {"one": ["a", "b"]})
    second = await sampled(tmp_path / "second", {"one": ["c", "d"]})
    with pytest.raises(SourceError, match=r"second: its example 'one' is in .*first too"):
        GroupSource((first, second)).check()


async def test_runs_of_different_methods_are_refused(tmp_path: Path):
    first = await sampled(tmp_path / "first", {"one": ["a", "b"]})
    second = await revised(tmp_path / "second", {"two": ("a", "b")})
    with pytest.raises(SourceError, match="of different methods"):
        GroupSource((first, second)).check()


async def test_runs_and_files_are_not_mixed(tmp_path: Path):
    run = await sampled(tmp_path / "run", {"one": ["a", "b"]})
    pairs = write_rows(tmp_path / "pairs.jsonl", [{"prompt": "?", "chosen": "a", "rejected": "b"}])
    with pytest.raises(UsageError, match="not both"):
        GroupSource((run, str(pairs))).check()


async def test_nothing_to_judge_is_said_with_the_reasons(tmp_path: Path):
    run = await sampled(tmp_path / "run", {"one": ["a", "a"], "two": ["", "b"]})
    with pytest.raises(SourceError, match="1 equal sides, 1 fewer than two responses"):
        GroupSource((run,)).check()


def test_a_folder_that_is_no_run_is_said(tmp_path: Path):
    with pytest.raises(SourceError, match="is a folder"):
        GroupSource((str(tmp_path),)).check()


def test_a_run_of_another_version_is_said(tmp_path: Path):
    RunFolder.open(tmp_path / "run", {"method": "dream"}, {}).close()
    with pytest.raises(JournalError, match="of this version of cai"):
        GroupSource((str(tmp_path / "run"),)).check()


def pair(id: str, **more: object) -> dict[str, object]:
    return {"id": id, "prompt": "Hm?", "response_a": f"a {id}", "response_b": f"b {id}", **more}


def test_pair_files_are_groups_of_two_with_labels_models_and_tags(tmp_path: Path):
    rows = [
        pair("1", label="a", model_a="x", model_b="y", category="tone", confidence=0.75),
        pair("2", label="tie", model_a="x", model_b="z", category="use", confidence=1.0),
    ]
    source = GroupSource((str(write_rows(tmp_path / "pairs.jsonl", rows)),))
    summary = source.check().summary
    assert (summary.n_items, summary.n_labelled) == (2, 2)
    assert summary.models == {"x", "y", "z"}
    assert summary.column == "response_a/response_b"
    first = groups(source)["1"]
    assert first.candidates == (Candidate("a 1", "x"), Candidate("b 1", "y"))
    assert (first.label, first.label_confidence) == ("a", 0.75)
    assert first.tags == {"category": "tone"}


def test_bad_pairs_stop_unless_they_are_skipped(tmp_path: Path):
    rows = [pair("1"), {**pair("2"), "response_b": "a 2"}, {**pair("3"), "response_b": " "}]
    names = (str(write_rows(tmp_path / "pairs.jsonl", rows)),)
    with pytest.raises(SourceError, match=r"pairs\.jsonl:2: .*--skip-bad-rows"):
        GroupSource(names).check()
    source = GroupSource(names, skip_bad_rows=True)
    summary = source.check().summary
    assert (summary.n_items, summary.n_bad) == (1, 2)
    assert [row.origin.rpartition(":")[2] for row in summary.bad_rows] == ["2", "3"]
    assert list(groups(source)) == ["1"]


def test_columns_can_be_named(tmp_path: Path):
    rows = [{"q": "Hm?", "good": "x", "bad": "y"}]
    options = PairOptions(prompt_column="q", better_column="good", worse_column="bad")
    source = GroupSource((str(write_rows(tmp_path / "pairs.jsonl", rows)),), options)
    assert source.check().summary.n_labelled == 1
    (group,) = groups(source).values()
    better = group.candidates[0 if group.label == "a" else 1]
    assert better.text == "x"


async def test_the_hash_covers_what_is_judged(tmp_path: Path):
    """Other texts, another model or another order of the responses is another source."""
    runs = {
        "as it is": await sampled(tmp_path / "1", {"one": ["a", "b"]}),
        "again": await sampled(tmp_path / "2", {"one": ["a", "b"]}),
        "other text": await sampled(tmp_path / "3", {"one": ["a", "c"]}),
        "other order": await sampled(tmp_path / "4", {"one": ["b", "a"]}),
        "other model": await sampled(tmp_path / "5", {"one": ["a", "b"]}, "other"),
        "other id": await sampled(tmp_path / "6", {"two": ["a", "b"]}),
    }
    hashes = {name: GroupSource((run,)).check().summary.content_hash for name, run in runs.items()}
    assert hashes["as it is"] == hashes["again"]
    assert len(set(hashes.values())) == 5
