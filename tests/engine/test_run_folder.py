"""The run folder: how it is made, who may write it, and what became of each example."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cai.engine.calls import Call
from cai.engine.journal import journaled
from cai.engine.run_files import Counts, Failure, Record
from cai.engine.run_folder import PAGE, RunFolder
from cai.errors import JournalError, ModelError, ModelUnavailable
from cai.models.base import Sampling
from cai.models.scripted import ScriptedModel
from cai.types import Message

CONFIG = {"command": "revise", "rounds": 4}
VERSIONS = {"cai": "0.1.0", "torch": "2.13.0"}

PASSING = Failure.of(ModelUnavailable("Connection refused."))
LASTING = Failure.of(ModelError("Wrong key."))


def open_run(path: Path) -> RunFolder:
    return RunFolder.open(path, CONFIG, VERSIONS)


def test_a_new_run_is_made_with_its_parents_and_is_empty(tmp_path: Path):
    path = tmp_path / "runs" / "first"
    with open_run(path) as run:
        assert run.counts() == Counts(0, 0)
        assert list(run.records()) == []
        assert run.config == CONFIG
    assert {inner.name for inner in path.iterdir()} == {"run.yaml", "journal.sqlite", "lock"}


def test_a_reopened_run_goes_on(tmp_path: Path):
    with open_run(tmp_path) as run:
        run.add(Record(0, "a", '{"x": 1}'))
        created = run.created
    with open_run(tmp_path) as run:
        assert list(run.records()) == [Record(0, "a", '{"x": 1}')]
        assert run.created == created
        assert run.version_changes == ()


async def test_the_journal_of_a_run_is_kept_with_it(tmp_path: Path):
    asked = (Message("user", "Which gate?"),)
    with open_run(tmp_path) as run:
        await journaled(ScriptedModel(["Left."]), run.journal).complete(asked, Sampling())
    with open_run(tmp_path) as run:
        answer = await journaled(ScriptedModel([]), run.journal).complete(asked, Sampling())
    assert answer.text == "Left."


def test_another_config_is_refused_with_each_difference(tmp_path: Path):
    open_run(tmp_path).close()
    other = {"command": "revise", "rounds": 2, "seed": 1}
    with pytest.raises(JournalError) as caught:
        RunFolder.open(tmp_path, other, VERSIONS)
    message = str(caught.value)
    assert "rounds: 4 → 2" in message
    assert "seed: (absent) → 1" in message
    assert "Use another folder" in message
    open_run(tmp_path).close()  # the refusal left the run as it was, and unlocked


def test_other_versions_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    open_run(tmp_path).close()
    with caplog.at_level(logging.WARNING):
        run = RunFolder.open(tmp_path, CONFIG, {"cai": "0.2.0", "torch": "2.13.0"})
    assert run.version_changes == ("cai: '0.1.0' → '0.2.0'",)
    assert "'0.1.0' → '0.2.0'" in caplog.text
    assert run.versions == VERSIONS
    run.close()


def test_a_folder_of_other_things_is_refused_and_left_as_it_is(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(JournalError, match="is not a run"):
        open_run(tmp_path)
    assert [inner.name for inner in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path):
    path = tmp_path / "run"
    path.write_text("…")
    with pytest.raises(JournalError, match="is a file"):
        open_run(path)
    with pytest.raises(JournalError, match="Not a directory"):
        open_run(path / "below")


def test_a_folder_that_cannot_be_written_is_said_plainly_and_nothing_is_made(
    open_folder: Path, ordinary_user
):
    open_folder.chmod(0o555)
    with ordinary_user(), pytest.raises(JournalError, match=r"Permission denied.*another place"):
        open_run(open_folder / "run")
    with ordinary_user(), pytest.raises(JournalError, match="cannot be written"):
        open_run(open_folder)
    assert list(open_folder.iterdir()) == []


def test_a_secret_in_the_recipe_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_API_KEY", "s3cr3t-value-1234")
    with pytest.raises(JournalError, match="SOME_API_KEY"):
        RunFolder.open(tmp_path / "run", {"key": "s3cr3t-value-1234"}, {})
    assert not (tmp_path / "run").exists()


def test_a_creation_that_fails_halfway_leaves_no_folder(tmp_path: Path):
    """As on a full disk: no file may be longer than 20,000 bytes, and the journal is."""
    script = """
import resource, sys
from pathlib import Path
from cai.engine.run_folder import PAGE, RunFolder
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
RunFolder.open(Path(sys.argv[1]), {}, {})
"""
    path = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert "JournalError" in done.stderr
    assert not path.exists()


def test_a_creation_that_was_killed_is_taken_over(tmp_path: Path):
    open_run(tmp_path).close()
    (tmp_path / "run.yaml").rename(tmp_path / ".run.yaml.part")
    (tmp_path / "journal.sqlite-journal").touch()
    with open_run(tmp_path) as run:
        assert run.counts() == Counts(0, 0)
    assert not (tmp_path / ".run.yaml.part").exists()


def test_a_run_that_lost_its_description_is_not_taken_over(tmp_path: Path):
    with open_run(tmp_path) as run:
        run.add(Record(0, "a", "{}"))
    (tmp_path / "run.yaml").unlink()
    with pytest.raises(JournalError, match=r"no run\.yaml"):
        open_run(tmp_path)
    assert (tmp_path / "journal.sqlite").exists()


def test_a_run_that_lost_its_journal_is_not_begun_anew(tmp_path: Path):
    open_run(tmp_path).close()
    (tmp_path / "journal.sqlite").unlink()
    with pytest.raises(JournalError, match=r"journal\.sqlite is missing"):
        open_run(tmp_path)
    with pytest.raises(JournalError, match=r"journal\.sqlite is missing"):
        RunFolder.existing(tmp_path)


def test_a_run_whose_journal_was_emptied_is_not_begun_anew(tmp_path: Path):
    """A file of no bytes is a sound database, and would be paid for a second time."""
    open_run(tmp_path).close()
    (tmp_path / "journal.sqlite").write_bytes(b"")
    with pytest.raises(JournalError, match=r"journal\.sqlite is empty.*Restore a copy"):
        open_run(tmp_path)
    with pytest.raises(JournalError, match=r"journal\.sqlite"):
        RunFolder.existing(tmp_path)
    assert (tmp_path / "journal.sqlite").read_bytes() == b""


def test_two_writers_at_once_are_refused_also_in_one_process(tmp_path: Path):
    with (
        open_run(tmp_path),
        pytest.raises(JournalError, match=rf"another process writes this run \(pid {os.getpid()}"),
    ):
        open_run(tmp_path)
    open_run(tmp_path).close()


def test_a_second_process_is_refused_until_the_first_one_dies(tmp_path: Path):
    script = """
import sys, time
from pathlib import Path
from cai.engine.run_folder import Record, RunFolder
run = RunFolder.open(Path(sys.argv[1]), {"command": "revise", "rounds": 4}, {})
run.add(Record(0, "a", "{}"))
print("open", flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as first:
        assert first.stdout
        first.stdout.readline()
        with pytest.raises(JournalError, match=rf"pid {first.pid}\)"):
            open_run(tmp_path)
        with RunFolder.existing(tmp_path) as reader:
            assert reader.counts() == Counts(1, 0)
        first.kill()
    with open_run(tmp_path) as run:
        assert [each.id for each in run.records()] == ["a"]


def test_reading_needs_an_existing_run(tmp_path: Path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(JournalError, match="is not a run"):
            RunFolder.existing(path)
    assert list(tmp_path.iterdir()) == []


def test_reading_works_on_a_read_only_folder(open_folder: Path, ordinary_user):
    with open_run(open_folder) as run:
        run.add(Record(0, "a", "{}"))
    open_folder.chmod(0o555)
    with ordinary_user(), RunFolder.existing(open_folder) as reader:
        assert reader.config == CONFIG
        assert list(reader.records()) == [Record(0, "a", "{}")]
        with pytest.raises(JournalError):
            reader.add(Record(1, "b", "{}"))


def test_a_run_closes_twice_without_harm(tmp_path: Path):
    run = open_run(tmp_path)
    run.close()
    run.close()


def test_records_come_in_the_order_of_their_positions(tmp_path: Path):
    n = 2 * PAGE + 3
    with open_run(tmp_path) as run:
        for position in reversed(range(n)):
            run.add(Record(position, f"id-{position}", "{}"))
        assert [record.position for record in run.records()] == list(range(n))
        assert [each.id for each in run.records()] == [f"id-{position}" for position in range(n)]


def test_records_can_be_added_while_they_are_read(tmp_path: Path):
    with open_run(tmp_path) as run:
        for position in range(0, 2 * PAGE, 2):
            run.add(Record(position, str(position), "{}"))
        seen = []
        for record in run.records():
            seen.append(record.position)
            run.add(Record(record.position + 1, str(record.position + 1), "{}"))
            if len(seen) == PAGE:
                break
        assert len(set(seen)) == PAGE
        assert run.counts() == Counts(2 * PAGE, 0)


def test_a_record_comes_back_as_it_was_but_for_lone_surrogates(tmp_path: Path):
    failed = Record(1, "b", "", Failure("ModelError", "half \ud83d pair", False))
    with open_run(tmp_path) as run:
        run.add(Record(0, "ü\u2028🙂", '{"text": "half \ud83d pair 🙂"}'))
        run.add(failed)
        first, second = run.records()
    assert first == Record(0, "ü\u2028🙂", '{"text": "half \\ud83d pair 🙂"}')
    assert second == Record(1, "b", "", Failure("ModelError", "half \\ud83d pair", False))


def test_records_are_told_apart_by_status(tmp_path: Path):
    with open_run(tmp_path) as run:
        run.add(Record(0, "a", "{}"))
        run.add(Record(1, "b", "", PASSING))
        run.add(Record(2, "c", "", LASTING))
        assert run.counts() == Counts(1, 2)
        assert [each.id for each in run.records("done")] == ["a"]
        assert [record.error for record in run.records("failed")] == [PASSING, LASTING]


def test_what_is_to_do_is_what_is_new_or_may_pass_or_is_to_be_retried(tmp_path: Path):
    with open_run(tmp_path) as run:
        run.add(Record(0, "done", "{}"))
        run.add(Record(1, "passing", "", PASSING))
        run.add(Record(2, "lasting", "", LASTING))
        ids = ["done", "passing", "lasting", "new"]
        assert [run.to_do(id) for id in ids] == [False, True, False, True]
        assert [run.to_do(id, retry_failed=True) for id in ids] == [False, True, True, True]


def test_a_failed_record_is_replaced_and_a_done_one_never(tmp_path: Path):
    with open_run(tmp_path) as run:
        run.add(Record(0, "a", "", PASSING))
        run.add(Record(0, "a", "", LASTING))
        run.add(Record(0, "a", '{"x": 1}'))
        with pytest.raises(JournalError, match=r"'a'.*done already"):
            run.add(Record(0, "a", '{"x": 2}'))
        assert list(run.records()) == [Record(0, "a", '{"x": 1}')]


def test_a_source_that_has_changed_is_noticed(tmp_path: Path):
    with open_run(tmp_path) as run:
        run.add(Record(0, "a", "{}"))
        with pytest.raises(JournalError, match=r"'b'.*position 0.*another example"):
            run.add(Record(0, "b", "{}"))


OTHER = {"command": "revise", "rounds": 2}


def updated(path: Path) -> RunFolder:
    return RunFolder.open(path, OTHER, VERSIONS, update=True)


def generation(run: RunFolder) -> object:
    return run.state("generation")


async def test_an_update_makes_the_records_anew_and_keeps_the_journal(tmp_path: Path):
    asked = (Message("user", "Which gate?"),)
    with open_run(tmp_path) as run:
        await journaled(ScriptedModel(["Left."]), run.journal).complete(asked, Sampling())
        run.add(Record(0, "a", '{"x": 1}'))
        run.add(Record(1, "b", "", LASTING))
        assert (generation(run), run.journal.generation) == (1, 1)
    with updated(tmp_path) as run:
        assert run.counts() == Counts(0, 0)
        assert run.to_do("a") and run.to_do("b")
        assert run.config == OTHER
        assert (generation(run), run.journal.generation) == (2, 2)
        answer = await journaled(ScriptedModel([]), run.journal).complete(asked, Sampling())
        assert answer.text == "Left."
        run.add(Record(0, "a", '{"x": 2}'))
    with RunFolder.open(tmp_path, OTHER, VERSIONS) as run:
        assert list(run.records()) == [Record(0, "a", '{"x": 2}')]


async def test_an_answer_that_an_update_uses_is_of_its_generation(tmp_path: Path):
    used, unused = ((Message("user", text),) for text in ("Which gate?", "Which lamp?"))
    with open_run(tmp_path) as run:
        model = journaled(ScriptedModel(["Left.", "Mine."]), run.journal)
        for asked in (used, unused):
            await model.complete(asked, Sampling())
    with updated(tmp_path) as run:
        assert run.journal.find(Call("complete", "scripted", used, Sampling())) is not None
    with RunFolder.existing(tmp_path) as run:
        rows = run.database.rows("SELECT generation FROM calls ORDER BY generation")
    assert rows == [(1,), (2,)]


def test_an_update_to_the_same_recipe_changes_nothing(tmp_path: Path):
    with open_run(tmp_path) as run:
        run.add(Record(0, "a", "{}"))
    with RunFolder.open(tmp_path, CONFIG, VERSIONS, update=True) as run:
        assert [each.id for each in run.records()] == ["a"]
        assert generation(run) == 1


def test_a_folder_that_is_no_run_yet_can_be_made_by_an_update(tmp_path: Path):
    with updated(tmp_path / "run") as run:
        assert generation(run) == 1


def test_an_update_killed_between_its_two_steps_says_to_do_so_again(tmp_path: Path):
    """The records are gone and the description is still the old one."""
    with open_run(tmp_path) as run:
        run.add(Record(0, "a", "{}"))
    described = (tmp_path / "run.yaml").read_text()
    with updated(tmp_path) as run:
        created = run.created
    (tmp_path / "run.yaml").write_text(described)
    with pytest.raises(JournalError, match="--update"):
        RunFolder.open(tmp_path, OTHER, VERSIONS)
    with updated(tmp_path) as run:
        assert (run.counts(), generation(run)) == (Counts(0, 0), 3)
        assert run.created >= created


def test_a_refused_update_leaves_the_run_as_it_was(tmp_path: Path):
    with open_run(tmp_path) as run:
        run.add(Record(0, "a", "{}"))
        with pytest.raises(JournalError, match="another process writes this run"):
            updated(tmp_path)
    with open_run(tmp_path) as run:
        assert [each.id for each in run.records()] == ["a"]


def test_a_state_is_kept_under_its_name_in_place_of_the_one_before(tmp_path: Path):
    with open_run(tmp_path) as run:
        assert run.state("progress") is None
        for number in range(100):
            run.put_state("progress", f"naïve 👍 {number}")
        run.put_state("other", "")
    with RunFolder.existing(tmp_path) as run:
        assert run.state("progress") == "naïve 👍 99"
        assert run.state("other") == ""
        with pytest.raises(JournalError, match="opened to be read"):
            run.put_state("progress", "mine")


@pytest.mark.parametrize("update", [False, True])
def test_a_run_of_another_method_is_left_alone(tmp_path: Path, update: bool):
    path = tmp_path / "run"
    with RunFolder.open(path, {"method": "revise", "rounds": 4}, VERSIONS) as run:
        run.add(Record(0, "a", '{"x": 1}'))
    with pytest.raises(JournalError, match="a run of the method 'revise', and this is one of"):
        RunFolder.open(path, {"method": "judge"}, VERSIONS, update=update)
    with RunFolder.existing(path) as run:
        assert run.config == {"method": "revise", "rounds": 4}
        assert list(run.records()) == [Record(0, "a", '{"x": 1}')]


def test_a_state_outlives_an_update(tmp_path: Path):
    with open_run(tmp_path) as run:
        run.put_state("progress", "half")
    with updated(tmp_path) as run:
        assert run.state("progress") == "half"


def test_failures_are_counted_by_cause_the_most_frequent_first(tmp_path: Path):
    busy = Failure.of(ModelUnavailable("Busy.", cause="rate limit"))
    with open_run(tmp_path) as run:
        assert run.failures() == {}
        for position, error in enumerate([LASTING, busy, PASSING, None, busy, PASSING, busy]):
            run.add(Record(position, str(position), "" if error else "{}", error))
        expected = {"rate limit": 3, "server error": 2, "refused request": 1}
        assert list(run.failures().items()) == list(expected.items())
        run.add(Record(0, "0", "{}"))
        assert "refused request" not in run.failures()
