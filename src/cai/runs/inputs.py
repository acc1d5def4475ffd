"""The inputs of a judging or scoring run: files of people, or the folders of earlier runs.

Example:
    source = GroupSource(("runs/samples",))     # or ("pairs.jsonl",)
    checked = source.check()                    # SourceError where there is nothing to judge
    print(checked.summary.describe())
    for id, group in checked.items():
        print(group.prompt.request, [each.text for each in group.candidates])

A run of `cai sample` gives a group of all its responses to a prompt, one of `cai revise` each
revision beside its original. A response that says the same as another one of its group is judged
once, and a group of which fewer than two are left is not judged at all: there is nothing to prefer.
What is scored are single responses: of a prompt with several each has an id of its own, that of the
prompt with its number behind a slash. Blank responses are not scored. All that is passed over is
counted by its reason.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cai.data.conversations import texts_of
from cai.data.labelled_pair import LabelledPair
from cai.data.pair_options import PairOptions
from cai.data.pairs import pair_files
from cai.data.responses import LabelledResponse, ResponseOptions, response_files
from cai.data.source import CheckedSource, Digest, SourceSummary
from cai.errors import SourceError
from cai.methods.judging.verdict import Candidate, Group
from cai.methods.sampling import Samples
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
class GroupSource:
    """Pair files, folders of sample runs, or folders of revision runs.

    `options` say how pair files are read.
    """

    names: tuple[str, ...]
    options: PairOptions = PairOptions()
    skip_bad_rows: bool = False

    def check(self) -> CheckedSource[Group]:
        """What the sources hold, after reading them to the end.

        Raises:
            UsageError: Runs and files are named together.
            SourceError: A source cannot be read, a row is bad, or there is nothing to judge.
            JournalError: A folder is no run that can be read.
        """
        if are_runs(self.names):
            return self._check_runs()
        files = pair_files(self.names, self.options, skip_bad_rows=self.skip_bad_rows)
        return files.check().mapped(_group_of_pair)

    def _check_runs(self) -> CheckedSource[Group]:
        is_sample = check_runs(self.names) == "sample"
        what = "samples" if is_sample else "responses and their revisions"
        # The hash is over all that is judged, so that a run notices when its source has changed.
        skipped, n, digest, models = _Skipped(), 0, Digest(), set[str]()
        for _, group in self._groups(skipped):
            n += 1
            digest.add(*_texts_of_group(group))
            models.update(each.model for each in group.candidates if each.model)
        if not n:
            why = " ".join(reasons("not judged", skipped.examples)) or "The runs are empty"
            raise SourceError(f"{', '.join(self.names)}: there is nothing to judge. {why}.")
        summary = SourceSummary(
            names=self.names,
            column=what,
            n_items=n,
            content_hash=digest.hex,
            lines=(
                f"{', '.join(self.names)}: {n} group{'' if n == 1 else 's'} of {what}",
                *reasons("not judged", skipped.examples),
                *reasons("responses left out", skipped.responses),
            ),
            models=frozenset(models),
            skipped=+skipped.examples,
            left_out=+skipped.responses,
        )
        return CheckedSource(summary, lambda: self._groups(_Skipped()))

    def _groups(self, skipped: "_Skipped") -> Iterator[tuple[str, Group]]:
        for found in read_runs(self.names):
            group = _group_of(found, skipped)
            if group is not None:
                yield group.prompt.id, group


@dataclass(frozen=True, slots=True)
class ResponseItem:
    """A response to be scored; `id` is the prompt's where that has one response only."""

    id: str
    prompt: Prompt
    response: Candidate


@dataclass(frozen=True, slots=True)
class ResponseSource:
    """Response files, folders of sample runs, or folders of revision runs.

    Of a revision run the last text of each chain is scored. `options` say how files are read.
    """

    names: tuple[str, ...]
    options: ResponseOptions = ResponseOptions()
    skip_bad_rows: bool = False

    def check(self) -> CheckedSource[ResponseItem]:
        """What the sources hold, after reading them to the end.

        Raises:
            UsageError: Runs and files are named together.
            SourceError: A source cannot be read, a row is bad, or there is nothing to score.
            JournalError: A folder is no run that can be read.
        """
        if are_runs(self.names):
            return self._check_runs()
        files = response_files(self.names, self.options, skip_bad_rows=self.skip_bad_rows)
        return files.check().mapped(_item_of_response)

    def _check_runs(self) -> CheckedSource[ResponseItem]:
        what = "samples" if check_runs(self.names) == "sample" else "last texts of revision"
        skipped, n, digest = Counter[str](), 0, Digest()
        for _, item in self._responses(skipped):
            n += 1
            digest.add(*_texts_of_response(item))
        if not n:
            raise SourceError(f"{', '.join(self.names)}: there is no response to score.")
        summary = SourceSummary(
            names=self.names,
            column=what,
            n_items=n,
            content_hash=digest.hex,
            lines=(f"{', '.join(self.names)}: {n} {what}", *reasons("not scored", skipped)),
            skipped=+skipped,
        )
        return CheckedSource(summary, lambda: self._responses(Counter()))

    def _responses(self, skipped: Counter[str]) -> Iterator[tuple[str, ResponseItem]]:
        for found in read_runs(self.names):
            if found is None:
                skipped["failed in the run"] += 1
                continue
            prompt = found.prompt
            if isinstance(found, Samples):
                named = [
                    (f"{prompt.id}/{n}", each) for n, each in enumerate(candidates_of(found), 1)
                ]
            else:
                named = [(prompt.id, Candidate(found.chain.final, found.model))]
            for id, candidate in named:
                if candidate.text.strip():
                    yield id, ResponseItem(id, prompt, candidate)
                else:
                    skipped["empty"] += 1


@dataclass(slots=True)
class _Skipped:
    """Why examples, and responses of the others, are passed over: how often."""

    examples: Counter[str] = field(default_factory=Counter[str])
    responses: Counter[str] = field(default_factory=Counter[str])


def _group_of_pair(pair: LabelledPair) -> Group:
    return Group(
        pair.prompt,
        (Candidate(pair.response_a, pair.model_a), Candidate(pair.response_b, pair.model_b)),
        pair.label,
        pair.label_confidence,
        pair.tags,
    )


def _item_of_response(response: LabelledResponse) -> ResponseItem:
    candidate = Candidate(response.text, response.model)
    return ResponseItem(response.prompt.id, response.prompt, candidate)


def _texts_of_group(group: Group) -> Iterator[str]:
    """All that is judged or counted by."""
    yield from (group.prompt.id, *texts_of(group.prompt.messages), "candidates")
    for each in group.candidates:
        yield from (each.text, each.model)
    yield from (group.label or "", repr(float(group.label_confidence)))
    for name in sorted(group.tags):
        yield from (name, group.tags[name])


def _texts_of_response(item: ResponseItem) -> Iterator[str]:
    """All that is scored."""
    yield from (item.id, *texts_of(item.prompt.messages), item.response.text, item.response.model)


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
    # Spaces alone make no other text, and a judge could only guess between the two.
    elif chain.final.split() == chain.response.text.split():
        skipped.examples["unchanged"] += 1
    else:
        texts = (chain.response.text, chain.final)
        return Group(chain.prompt, tuple(Candidate(text, found.model) for text in texts))
    return None


def _distinct(prompt: Prompt, candidates: Sequence[Candidate], skipped: _Skipped) -> Group | None:
    """The group of those that say something, equal ones once."""
    # Judged twice, equal responses would cost twice and tie by their own doing.
    filled = [each for each in candidates if each.text.strip()]
    distinct: dict[str, Candidate] = {}
    for each in filled:
        distinct.setdefault(each.text.strip(), each)
    if len(distinct) < 2:
        equal = "equal sides" if len(filled) == 2 else "all equal"
        skipped.examples[equal if len(filled) > 1 else "fewer than two responses"] += 1
        return None
    skipped.responses["empty"] += len(candidates) - len(filled)
    skipped.responses["equal to another"] += len(filled) - len(distinct)
    return Group(prompt, tuple(distinct.values()))
