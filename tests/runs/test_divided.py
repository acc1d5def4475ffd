"""The parts of a divided run: what is missing, and what two folders both have."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from made_runs import RECIPE, SAMPLING, chain, dump

from cai.engine.run_files import Record
from cai.engine.run_folder import RunFolder
from cai.errors import UsageError
from cai.runs.config import RunConfig
from cai.runs.divided import check_disjoint, check_one_run, check_parts, store_part
from cai.runs.options import Part


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def part_folder(
    opened: ExitStack,
    path: Path,
    positions: Sequence[int],
    part: Part | None = None,
    config: RunConfig = RECIPE,
) -> RunFolder:
    """A run of six examples that has those at these positions."""
    with RunFolder.open(path, config.model_dump(mode="json"), {}) as run:
        if part is not None:
            store_part(run, part, 6)
        for position in positions:
            run.add(Record(position, str(position), dump(chain(str(position), "No."))))
    return opened.enter_context(RunFolder.existing(path))


def test_all_parts_finished_are_the_whole(opened: ExitStack, tmp_path: Path):
    folders = [
        part_folder(opened, tmp_path / "a", (0, 2, 4), Part(1, 2)),
        part_folder(opened, tmp_path / "b", (1, 3, 5), Part(2, 2)),
    ]
    check_parts(folders, "")
    check_one_run(folders)


def test_a_missing_and_an_unfinished_part_are_named(opened: ExitStack, tmp_path: Path):
    first = part_folder(opened, tmp_path / "a", (0, 3), Part(1, 3))
    second = part_folder(opened, tmp_path / "b", (1,), Part(2, 3))
    with pytest.raises(UsageError, match=r"a: of 3, the parts 2, 3 are missing. Name them."):
        check_parts([first], "Name them.")
    with pytest.raises(UsageError, match="b: part 2 of 3 has 1 of its 2 examples"):
        check_parts([first, second], "")


def test_a_run_that_is_no_part_is_never_unfinished(opened: ExitStack, tmp_path: Path):
    check_parts([part_folder(opened, tmp_path / "a", (0,), Part(1, 1))], "")
    check_parts([part_folder(opened, tmp_path / "b", (0,))], "")


def test_an_example_in_two_folders_of_one_run_is_named(opened: ExitStack, tmp_path: Path):
    one, other = (part_folder(opened, tmp_path / n, at) for n, at in (("a", (0, 2)), ("b", (1, 2))))
    with pytest.raises(UsageError, match=r"a and .*b: .*have the example '2'"):
        check_disjoint([one, other])


def test_runs_of_other_configurations_may_have_the_same_examples(opened: ExitStack, tmp_path: Path):
    one = part_folder(opened, tmp_path / "a", (0,))
    other = part_folder(opened, tmp_path / "b", (0,), config=SAMPLING)
    check_disjoint([one, other])
    with pytest.raises(UsageError, match="are not parts of one run"):
        check_one_run([one, other])
