"""The prompts that a job begins with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cai.jobs.described import described_source
from cai.records.recipes import Source
from cai.sources.prompts import SourceSummary, check_prompts, read_prompts
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class PromptSource:
    """Files or hub data sets, and how they are read: see `cai.sources.prompts`."""

    files: tuple[str, ...]
    column: str | None = None
    id_column: str | None = None
    skip_bad_rows: bool = False

    @classmethod
    def together(cls, files: Sequence[str]) -> "PromptSource":
        """All of these files; of several the ids are made from the content, as theirs may clash."""
        return cls(tuple(files), id_column=None if len(files) == 1 else "")

    def check(self) -> SourceSummary:
        """What the files hold, after reading them to the end. Raises SourceError."""
        return check_prompts(
            self.files,
            column=self.column,
            id_column=self.id_column,
            skip_bad_rows=self.skip_bad_rows,
        )

    def read(self) -> Iterator[Prompt]:
        """The prompts in their order, streamed. Raises SourceError."""
        return read_prompts(
            self.files,
            column=self.column,
            id_column=self.id_column,
            skip_bad_rows=self.skip_bad_rows,
        )

    def items(self) -> Iterator[tuple[str, Prompt]]:
        """The prompts with their ids."""
        return ((prompt.id, prompt) for prompt in self.read())

    def described(self, summary: SourceSummary) -> Source:
        """The source as a recipe names it."""
        columns = sorted({part.selection.column for part in summary.parts})
        return described_source(self.files, ", ".join(columns), summary.content_hash)
