"""The parts of a divided run (`--part 2/8`): which one a folder has, and what is missing of all.

Which part a folder has decides no result, so it stands in the journal and not in the run's
configuration, which is the same in every part.

Example:
    check_parts(folders)      # UsageError: runs/a: is part 1 of 2, and part 2 is missing. …
    check_disjoint(folders)   # UsageError: runs/a and runs/b: both have the example '7'. …
"""

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cai.engine.run_folder import RunFolder
from cai.errors import UsageError
from cai.runs.options import Part

_STATE = "part"


@dataclass(frozen=True, slots=True)
class RunPart:
    """The part of its source that a folder has; `n_source` are the examples of all parts."""

    part: Part
    n_source: int

    @property
    def n_examples(self) -> int:
        """How many examples of the source are in the part."""
        return len(range(self.part.number - 1, self.n_source, self.part.of))


def store_part(run: RunFolder, part: Part, n_source: int) -> None:
    """Writes down which part the folder has."""
    run.put_state(_STATE, json.dumps([part.number, part.of, n_source]))


def part_of(run: RunFolder) -> RunPart | None:
    """The part that the folder has; None where nothing says so."""
    stored = run.state(_STATE)
    if stored is None:
        return None
    number, of, n_source = json.loads(str(stored))
    return RunPart(Part(number, of), n_source)


def parts_of_one_run(runs: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """The folders by their configuration: those with the same one are parts of one run."""
    groups: list[list[RunFolder]] = []
    for run in runs:
        group = next((each for each in groups if each[0].config == run.config), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return groups


def check_one_run(runs: Sequence[RunFolder]) -> None:
    """Checks that the folders are parts of one run and have no example in common.

    Raises:
        UsageError: They are not, or two have; the message names two of them.
    """
    groups = parts_of_one_run(runs)
    if len(groups) > 1:
        raise UsageError(
            f"{groups[0][0].path} and {groups[1][0].path}: are not parts of one run, as their "
            "configurations differ. Name the parts of one."
        )
    check_disjoint(runs)


def check_parts(runs: Sequence[RunFolder], advice: str) -> None:
    """Checks that of each divided run all parts are there and finished.

    Raises:
        UsageError: A part is missing or unfinished; the sentence ends with the advice.
    """
    missing = what_is_missing(runs)
    if missing:
        raise UsageError(f"{missing} {advice}")


def what_is_missing(runs: Sequence[RunFolder]) -> str:
    """Which part of a divided run is unfinished or missing, as a sentence; "" if none is."""
    for group in parts_of_one_run(runs):
        parts = [(run, part) for run in group if (part := part_of(run)) and part.part.of > 1]
        for run, part in parts:
            counts = run.counts()
            n_done = counts.done + counts.failed
            if n_done < part.n_examples:
                return (
                    f"{run.path}: part {part.part.number} of {part.part.of} has {n_done:,} of its "
                    f"{part.n_examples:,} examples."
                )
        for of in {part.part.of for _, part in parts}:
            here = {part.part.number for _, part in parts if part.part.of == of}
            missing = [str(number) for number in range(1, of + 1) if number not in here]
            if missing:
                names = ", ".join(str(run.path) for run, _ in parts)
                are = "part {} is" if len(missing) == 1 else "the parts {} are"
                return f"{names}: of {of}, {are.format(', '.join(missing))} missing."
    return ""


def check_disjoint(runs: Sequence[RunFolder]) -> None:
    """Checks that no example is in two folders of one run.

    Raises:
        UsageError: One is; the message names both folders.
    """
    for group in parts_of_one_run(runs):
        if len(group) == 1:
            continue
        merged = heapq.merge(*(_positions(run, number) for number, run in enumerate(group)))
        for (position, one), (next_position, other) in pairwise(merged):
            if position == next_position:
                (id,) = group[one].database.rows(
                    "SELECT id FROM records WHERE position = ?", position
                )[0]
                raise UsageError(
                    f"{group[one].path} and {group[other].path}: are of one run and both have the "
                    f"example {id!r}, which would be exported twice. Name one of the two."
                )


def _positions(run: RunFolder, number: int) -> Iterator[tuple[int, int]]:
    for (position,) in run.database.rows("SELECT position FROM records ORDER BY position"):
        yield position, number
