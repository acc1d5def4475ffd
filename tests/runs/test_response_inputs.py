"""Where single responses to score come from: files, samples and last texts of revision."""

from pathlib import Path

import pytest
from small_runs import revised, sampled, write_rows

from cai.data.responses import ResponseOptions
from cai.engine.run_files import Failure, Record
from cai.engine.run_folder import RunFolder
from cai.errors import SourceError, UsageError
from cai.methods.judging.verdict import Candidate
from cai.runs.inputs import ResponseSource


def texts(source: ResponseSource) -> dict[str, str]:
    return {id: answer.response.text for id, answer in source.check().items()}


async def test_every_sample_is_a_response_with_an_id_of_its_own(tmp_path: Path):
    run = await sampled(tmp_path / "run", {"one": ["a", "b"], "two": ["c", " "]})
    source = ResponseSource((run,))
    summary = source.check().summary
    assert texts(source) == {"one/1": "a", "one/2": "b", "two/1": "c"}
    assert (summary.n_items, summary.skipped) == (3, {"empty": 1})
    assert summary.describe() == f"{run}: 3 samples\nnot scored: 1 empty"
    first = next(source.check().items())[1]
    assert (first.prompt.id, first.response) == ("one", Candidate("a", "actor"))


async def test_of_a_revision_run_the_last_text_is_scored(tmp_path: Path):
    run = await revised(tmp_path / "run", {"one": ("Do it.", "Do not."), "two": ("No.", "")})
    source = ResponseSource((run,))
    assert source.check().summary.n_items == 2
    assert texts(source) == {"one": "Do not.", "two": "No."}


async def test_files_are_read_by_their_columns(tmp_path: Path):
    rows = [{"id": "x", "prompt": "Hm?", "response": "Hm.", "model": "actor"}]
    source = ResponseSource((str(write_rows(tmp_path / "said.jsonl", rows)),))
    assert source.check().summary.n_items == 1
    ((id, answer),) = source.check().items()
    assert (id, answer.prompt.request) == ("x", "Hm?")
    assert answer.response == Candidate("Hm.", "actor")
    named = ResponseOptions(prompt_column="q", response_column="r")
    rows = [{"q": "Hm?", "r": "Hm."}]
    source = ResponseSource((str(write_rows(tmp_path / "odd.jsonl", rows)),), named)
    assert list(texts(source).values()) == ["Hm."]


async def test_an_example_that_failed_in_its_run_is_counted(tmp_path: Path):
    run = await sampled(tmp_path / "run", {"one": ["a", "b"]})
    with RunFolder.existing(Path(run)) as folder:
        recipe = dict(folder.config)
    with RunFolder.open(Path(run), recipe, {}) as folder:
        folder.add(Record(9, "failed", "", Failure("ModelError", "It has gone.", False)))
    assert ResponseSource((run,)).check().summary.skipped == {"failed in the run": 1}


def test_bad_rows_stop_unless_they_are_skipped(tmp_path: Path):
    rows = [{"prompt": "Hm?", "response": "Hm."}, {"prompt": "Hm?", "response": " "}]
    names = (str(write_rows(tmp_path / "said.jsonl", rows)),)
    with pytest.raises(SourceError, match=r"said\.jsonl:2: "):
        ResponseSource(names).check()
    summary = ResponseSource(names, skip_bad_rows=True).check().summary
    assert (summary.n_items, summary.n_bad) == (1, 1)


async def test_runs_and_files_are_not_mixed(tmp_path: Path):
    run = await sampled(tmp_path / "run", {"one": ["a", "b"]})
    with pytest.raises(UsageError, match="not both"):
        ResponseSource((run, "said.jsonl")).check()


async def test_nothing_to_score_is_said(tmp_path: Path):
    run = await sampled(tmp_path / "run", {"one": ["", " "]})
    with pytest.raises(SourceError, match="there is no response to score"):
        ResponseSource((run,)).check()


async def test_the_hash_covers_what_is_scored(tmp_path: Path):
    hashes = {
        ResponseSource((run,)).check().summary.content_hash
        for run in (
            await sampled(tmp_path / "1", {"one": ["a", "b"]}),
            await sampled(tmp_path / "2", {"one": ["a", "b"]}),
            await sampled(tmp_path / "3", {"one": ["a", "c"]}),
            await sampled(tmp_path / "4", {"one": ["a", "b"]}, "other"),
        )
    }
    assert len(hashes) == 3
