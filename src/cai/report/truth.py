"""Where the truth is known and not judged, how a report gets it.

A world with a known truth, such as the testbed, gives a report an implementation of `Truth`; the
report itself knows no such world.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cai.engine.run_folder import RunFolder
from cai.report.model import Headline, Section, SectionTable
from cai.runs.config import JudgeRunConfig, Named
from cai.types import Prompt


# Protocols, since the testbed stands above the report: it may import from here, not the reverse.
class TrueResponses(Protocol):
    """What responses do, under names such as those of policies, in the order they came."""

    def add(self, name: str, prompt: Prompt, response: str) -> None:
        """Counts a response; one to a prompt of which nothing is known is left out."""
        ...

    def table(self, first: str) -> SectionTable | None:
        """A row a name; `first` heads the names. None where nothing was counted."""
        ...

    def headlines(self) -> Iterator[Headline]:
        """The most important share of each name."""
        ...

    def changes(self, between: str) -> Iterator[Headline]:
        """From the first name to the last; `between` says what lies between them."""
        ...


@dataclass(frozen=True, slots=True)
class TrueVerdicts:
    """How right the verdicts of a judged run are."""

    headline: Headline
    table: SectionTable


class Truth(Protocol):
    """What is known of one world."""

    @property
    def file(self) -> str:
        """The name of a file of measurements; a folder that has it is a part of the report."""
        ...

    def part(self, path: Path) -> Section:
        """The section of such a folder.

        Raises:
            EvaluationError: Its file is damaged, or of another version of cai.
        """
        ...

    def covers(self, constitution: Named) -> bool:
        """Whether it is the truth of this constitution."""
        ...

    def n_broken(self, prompt: Prompt, response: str) -> int | None:
        """How many principles the response breaks; None where that is not known."""
        ...

    def responses(self) -> TrueResponses: ...

    def verdicts(self, run: RunFolder, recipe: JudgeRunConfig) -> TrueVerdicts | None:
        """Of a run under a constitution that is covered; None where no verdict has a truth."""
        ...
