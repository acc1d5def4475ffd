"""Where groups to judge come from: pair files, samples, or revisions against their originals.

A response that says the same as another one of its group is judged once, and a group of which
fewer than two are left is not judged at all: there is nothing to prefer. Both are counted.

The prompts that a job begins with.

Where single responses to score come from: files, samples, or the last texts of revision runs.

A prompt can have several responses, so each has an id of its own: that of the prompt where it is
the only one, else with its number behind a slash. Blank responses are passed over and counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cai.data.pair_columns import PairOptions
from cai.data.pairs import check_pairs, read_pairs
from cai.data.prompts import SourceSummary, check_prompts, read_prompts
from cai.data.response_columns import ResponseOptions
from cai.data.responses import check_responses, read_responses
from cai.data.rows import BadRow, texts_of
from cai.data.scan import Digest
from cai.errors import SourceError
from cai.methods.judging.verdict import Candidate, Group
from cai.methods.sampling import Samples
from cai.runs.config import Source, described_source
from cai.runs.records import (
    Answered,
    are_runs,
    candidates_of,
    check_runs,
    read_runs,
    reasons,
)
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """What a full pass found: groups, and why other examples and responses are passed over.

    `models` are the names of those who gave the responses, as far as anybody knows.
    """

    described: Source
    lines: tuple[str, ...]
    n_groups: int
    n_labelled: int
    models: frozenset[str]
    skipped: Mapping[str, int]
    left_out: Mapping[str, int]
    n_bad: int = 0
    bad_rows: tuple[BadRow, ...] = ()

    def describe(self) -> str:
        """What is judged, and a line each for examples and responses that are not."""
        return "\n".join(
            [
                *self.lines,
                *reasons("not judged", self.skipped),
                *reasons("responses left out", self.left_out),
            ]
        )


@dataclass(frozen=True, slots=True)
class GroupSource:
    """Pair files, folders of sample runs, or folders of revision runs.

    `options` say how pair files are read.
    """

    names: tuple[str, ...]
    options: PairOptions = PairOptions()
    skip_bad_rows: bool = False

    def check(self) -> GroupSummary:
        """What the sources hold, after reading them to the end.

        Raises:
            UsageError: Runs and files are named together.
            SourceError: A source cannot be read, a row is bad, or there is nothing to judge.
            JournalError: A folder is no run that can be read.
        """
        return self._check_runs() if are_runs(self.names) else self._check_pairs()

    def items(self) -> Iterator[tuple[str, Group]]:
        """The groups with their ids, in the order of the sources. Raises as `check`."""
        groups = self._read_runs(_Skipped()) if are_runs(self.names) else self._read_pairs()
        return ((group.prompt.id, group) for group in groups)

    def _check_pairs(self) -> GroupSummary:
        found = check_pairs(self.names, self.options, skip_bad_rows=self.skip_bad_rows)
        sides = [part.selection.sides for part in found.parts]
        columns = sorted({f"{each.first}/{each.second}" for each in sides})
        return GroupSummary(
            described_source(self.names, ", ".join(columns), found.content_hash),
            (found.describe(),),
            found.n_pairs,
            found.n_labelled,
            found.models,
            {},
            {},
            found.n_bad,
            found.bad_rows,
        )

    def _check_runs(self) -> GroupSummary:
        method = check_runs(self.names)
        skipped = _Skipped()
        found = _summarise_groups(self._read_runs(skipped))
        n = found.n_groups
        what = "samples" if method == "sample" else "responses and their revisions"
        if not n:
            why = " ".join(reasons("not judged", skipped.examples)) or "The runs are empty"
            raise SourceError(f"{', '.join(self.names)}: there is nothing to judge. {why}.")
        return GroupSummary(
            described_source(self.names, what, found.hash),
            (f"{', '.join(self.names)}: {n} group{'' if n == 1 else 's'} of {what}",),
            found.n_groups,
            found.n_labelled,
            frozenset(found.models),
            +skipped.examples,
            +skipped.responses,
        )

    def _read_pairs(self) -> Iterator[Group]:
        for pair in read_pairs(self.names, self.options, skip_bad_rows=self.skip_bad_rows):
            yield Group(
                pair.prompt,
                (
                    Candidate(pair.response_a, pair.model_a),
                    Candidate(pair.response_b, pair.model_b),
                ),
                pair.label,
                pair.label_confidence,
                pair.tags,
            )

    def _read_runs(self, skipped: "_Skipped") -> Iterator[Group]:
        for found in read_runs(self.names):
            group = _group_of(found, skipped)
            if group is not None:
                yield group


@dataclass(slots=True)
class _Skipped:
    """Why examples, and responses of the others, are passed over: how often."""

    examples: Counter[str] = field(default_factory=Counter[str])
    responses: Counter[str] = field(default_factory=Counter[str])


@dataclass(slots=True)
class _Found:
    """What groups hold together; `hash` is over all that is judged or counted by."""

    n_groups: int = 0
    n_labelled: int = 0
    models: set[str] = field(default_factory=set[str])
    hash: str = ""


def _summarise_groups(groups: Iterator[Group]) -> _Found:
    found, digest = _Found(), Digest()
    for group in groups:
        found.n_groups += 1
        found.n_labelled += group.label is not None
        found.models |= {each.model for each in group.candidates if each.model}
        digest.add(*_hashed(group))
    found.hash = digest.hex
    return found


def _hashed(group: Group) -> Iterator[str]:
    yield from (group.prompt.id, *texts_of(group.prompt.messages), "candidates")
    for each in group.candidates:
        yield from (each.text, each.model)
    yield from (group.label or "", repr(float(group.label_confidence)))
    for name in sorted(group.tags):
        yield from (name, group.tags[name])


def _group_of(found: Answered | None, skipped: _Skipped) -> Group | None:
    """The group that an example of a run makes; None, counted, where it makes none."""
    if found is None:
        skipped.examples["failed in the run"] += 1
        return None
    if isinstance(found, Samples):
        return _distinct(found.prompt, candidates_of(found), skipped)
    chain = found.chain
    if not chain.response.text.strip():
        skipped.examples["empty response"] += 1
    elif not any(each.is_usable for each in chain.rounds):
        skipped.examples["no usable revision"] += 1
    elif chain.final.split() == chain.response.text.split():
        skipped.examples["unchanged"] += 1
    else:
        texts = (chain.response.text, chain.final)
        return Group(chain.prompt, tuple(Candidate(text, found.model) for text in texts))
    return None


def _distinct(prompt: Prompt, candidates: Sequence[Candidate], skipped: _Skipped) -> Group | None:
    """The group of those that say something, equal ones once."""
    kept = [each for each in candidates if each.text.strip()]
    distinct: dict[str, Candidate] = {}
    for each in kept:
        distinct.setdefault(each.text.strip(), each)
    if len(distinct) < 2:
        equal = "equal sides" if len(kept) == 2 else "all equal"
        skipped.examples[equal if len(kept) > 1 else "fewer than two responses"] += 1
        return None
    skipped.responses["empty"] += len(candidates) - len(kept)
    skipped.responses["equal to another"] += len(kept) - len(distinct)
    return Group(prompt, tuple(distinct.values()))


@dataclass(frozen=True, slots=True)
class PromptSource:
    """Files or hub data sets, and how they are read: see `cai.data.prompts`."""

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
    options: ResponseOptions = ResponseOptions()
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
        n, content = _summarise_responses(self._read_runs(skipped))
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


def _summarise_responses(answers: Iterator[Answer]) -> tuple[int, str]:
    """How many there are, and a hash over all that is scored."""
    n, digest = 0, Digest()
    for answer in answers:
        n += 1
        response = (answer.response.text, answer.response.model)
        digest.add(answer.id, *texts_of(answer.prompt.messages), *response)
    return n, digest.hex
