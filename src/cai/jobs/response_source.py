"""Where single responses to score come from: files, samples, or the last texts of revision runs.

A prompt can have several responses, so each has an id of its own: that of the prompt where it is
the only one, else with its number behind a slash. Blank responses are passed over and counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cai.errors import SourceError
from cai.jobs.described import described_source
from cai.jobs.run_source import are_runs, candidates_of, check_runs, read_runs, reasons
from cai.judging.comparisons import Candidate
from cai.records.recipes import Source
from cai.sampling import Samples
from cai.sources.responses import (
    FOUND_BY_NAME,
    ResponseOptions,
    check_responses,
    read_responses,
)
from cai.sources.rows import BadRow, texts_of
from cai.sources.scanning import Digest
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class Answer:
    """A prompt and a response to it."""

    id: str
    prompt: Prompt
    response: Candidate


@dataclass(frozen=True, slots=True)
class ResponseSummary:
    """What a full pass found: responses, and why others are passed over."""

    described: Source
    lines: tuple[str, ...]
    n_responses: int
    skipped: Mapping[str, int]
    n_bad: int = 0
    bad_rows: tuple[BadRow, ...] = ()

    def describe(self) -> str:
        """What is scored, and a line for what is not."""
        return "\n".join([*self.lines, *reasons("not scored", self.skipped)])


@dataclass(frozen=True, slots=True)
class ResponseSource:
    """Response files, folders of sample runs, or folders of revision runs.

    `options` say how files are read.
    """

    names: tuple[str, ...]
    options: ResponseOptions = FOUND_BY_NAME
    skip_bad_rows: bool = False

    def check(self) -> ResponseSummary:
        """What the sources hold, after reading them to the end.

        Raises:
            UsageError: Runs and files are named together.
            SourceError: A source cannot be read, a row is bad, or there is nothing to score.
            JournalError: A folder is no run that can be read.
        """
        return self._check_runs() if are_runs(self.names) else self._check_files()

    def items(self) -> Iterator[tuple[str, Answer]]:
        """The responses with their ids, in the order of the sources. Raises as `check`."""
        answers = self._read_runs(Counter()) if are_runs(self.names) else self._read_files()
        return ((answer.id, answer) for answer in answers)

    def _check_files(self) -> ResponseSummary:
        found = check_responses(self.names, self.options, skip_bad_rows=self.skip_bad_rows)
        return ResponseSummary(
            described_source(self.names, "responses", found.content_hash),
            (found.describe(),),
            found.n_responses,
            {},
            found.n_bad,
            found.bad_rows,
        )

    def _check_runs(self) -> ResponseSummary:
        method = check_runs(self.names)
        skipped: Counter[str] = Counter()
        n, content = _pass_over(self._read_runs(skipped))
        what = "samples" if method == "sample" else "last texts of revision"
        if not n:
            raise SourceError(f"{', '.join(self.names)}: there is no response to score.")
        line = f"{', '.join(self.names)}: {n} {what}"
        return ResponseSummary(described_source(self.names, what, content), (line,), n, +skipped)

    def _read_files(self) -> Iterator[Answer]:
        for found in read_responses(self.names, self.options, skip_bad_rows=self.skip_bad_rows):
            yield Answer(found.prompt.id, found.prompt, Candidate(found.text, found.model))

    def _read_runs(self, skipped: Counter[str]) -> Iterator[Answer]:
        for found in read_runs(self.names):
            if found is None:
                skipped["failed in the run"] += 1
                continue
            if isinstance(found, Samples):
                named = [
                    (f"{found.prompt.id}/{number}", candidate)
                    for number, candidate in enumerate(candidates_of(found), 1)
                ]
            else:
                named = [(found.prompt.id, Candidate(found.chain.final, found.model))]
            for id, candidate in named:
                if candidate.text.strip():
                    yield Answer(id, found.prompt, candidate)
                else:
                    skipped["empty"] += 1


def _pass_over(answers: Iterator[Answer]) -> tuple[int, str]:
    """How many there are, and a hash over all that is scored."""
    n, digest = 0, Digest()
    for answer in answers:
        n += 1
        response = (answer.response.text, answer.response.model)
        digest.add(answer.id, *texts_of(answer.prompt.messages), *response)
    return n, digest.hex
