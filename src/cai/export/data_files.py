"""Files and hub data sets as units: people's data, and what `cai export` wrote.

A file is read through `cai.data.tables`, with its columns found by the names in use. Ids are
made from the content, as one prompt has several rows in exports of every contest, round or label.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cai.data import pairs, prompts, responses
from cai.data.columns import listed
from cai.data.pair_columns import PairOptions, has_sides
from cai.data.response_columns import ResponseOptions, has_label, has_response
from cai.data.rows import head_rows
from cai.data.scan import open_table
from cai.data.tables import Table
from cai.errors import SourceError, UnknownColumns
from cai.export.rows import Demonstration, Labelled, PreferencePair, Unit, labelled

Kind = Literal["sft", "preference", "kto", "prompts"]
Reading = Literal["pairs", "responses", "prompts"]

_NEEDED: dict[Kind, str] = {
    "sft": "rows for SFT need 'messages', or 'prompt' and 'completion'",
    "preference": "preference rows need 'chosen' and 'rejected', or 'response_a', 'response_b' and "
    "'label', with the prompt in 'prompt' or in dialogues",
    "kto": "rows for KTO need 'prompt', 'completion' and 'label', or 'chosen' and 'rejected'",
    "prompts": "prompts need a column such as 'prompt' or 'messages'",
}
_YES_OR_NO: dict[object, bool] = {"true": True, "1": True, "false": False, "0": False}
_PAIRS, _RESPONSES = PairOptions(id_column=""), ResponseOptions(id_column="")


@dataclass(frozen=True, slots=True)
class FileRow:
    """A unit of a file; `confidence` in [0.5, 1] is how probable it is that its label is right."""

    unit: Unit
    confidence: float


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What a full pass over a file found: `bad` are the rows passed over, by what is wrong.

    `is_export` says that `cai export` wrote it, so that not all of it is people's.
    """

    name: str
    n: int
    bad: Counter[str]
    content_hash: str
    is_export: bool


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file or data set of one kind.

    Labels whose row says nothing of how sure they are have the `confidence` of the file.
    """

    name: str
    kind: Kind
    confidence: float = 1.0
    skip_bad_rows: bool = False

    @property
    def is_labelled(self) -> bool:
        """Whether its rows say what is better, or good."""
        return self.kind in ("preference", "kto")

    def check(self) -> FileSummary:
        """What the file holds, after reading it to the end.

        Raises:
            SourceError: It cannot be read, has not the columns that are needed, or a row is bad
                and bad rows are not skipped.
        """
        table = open_table(self.name)
        try:
            n, bad, content_hash = self._counts()
        except UnknownColumns:
            raise SourceError(
                f"{self.name}: {_NEEDED[self.kind]}, and its columns are {listed(table.columns)}. "
                "Rename them, or name another file."
            ) from None
        return FileSummary(self.name, n, bad, content_hash, _is_export(table))

    def rows(self, left_out: Counter[str]) -> Iterator[FileRow]:
        """The rows in the order of the file; those without a label and ties are counted.

        Raises:
            SourceError: As `check`, or a label of KTO is neither yes nor no.
        """
        match self._reading():
            case "prompts":
                found = prompts.read_prompts(
                    self.name, id_column="", skip_bad_rows=self.skip_bad_rows
                )
                return (FileRow(prompt, 1.0) for prompt in found)
            case "responses":
                return self._of_responses(left_out)
            case "pairs":
                return self._of_pairs(left_out)

    def _reading(self) -> Reading:
        if self.kind == "prompts":
            return "prompts"
        if self.kind == "preference":
            return "pairs"
        table = open_table(self.name)
        is_single = has_response(table) or not has_sides(table)
        is_asked = self.kind == "sft" or has_label(table)
        return "responses" if is_single and is_asked else "pairs"

    def _counts(self) -> tuple[int, Counter[str], str]:
        skip = self.skip_bad_rows
        match self._reading():
            case "prompts":
                asked = prompts.check_prompts(self.name, id_column="", skip_bad_rows=skip)
                return asked.n_prompts, Counter({"bad row": asked.n_bad}), asked.content_hash
            case "responses":
                said = responses.check_responses(self.name, _RESPONSES, skip_bad_rows=skip)
                return said.n_responses, Counter[str](said.bad_kinds), said.content_hash
            case "pairs":
                met = pairs.check_pairs(self.name, _PAIRS, skip_bad_rows=skip)
                return met.n_pairs, Counter[str](met.bad_kinds), met.content_hash

    def _of_responses(self, left_out: Counter[str]) -> Iterator[FileRow]:
        for response in responses.read_responses(
            self.name, _RESPONSES, skip_bad_rows=self.skip_bad_rows
        ):
            prompt, text, model = response.prompt, response.text, response.model
            if self.kind == "sft":
                yield FileRow(Demonstration(prompt, text, model), 1.0)
            elif response.label is None:
                left_out["unlabelled"] += 1
            elif (label := _is_good(response.label)) is not None:
                yield FileRow(Labelled(prompt, text, label, model), self.confidence)
            elif self.skip_bad_rows:
                left_out["wrong label"] += 1
            else:
                raise SourceError(
                    f"{prompt.origin}: the label is {response.label!r:.60}, and true or false is "
                    "needed. Mend the row, or pass --skip-bad-rows."
                )

    def _of_pairs(self, left_out: Counter[str]) -> Iterator[FileRow]:
        for found in pairs.read_pairs(self.name, _PAIRS, skip_bad_rows=self.skip_bad_rows):
            if found.label is None or found.label == "tie":
                left_out[found.label or "unlabelled"] += 1
                continue
            if found.label_confidence == 0.5:
                left_out["tie"] += 1
                continue
            better = found if found.label == "a" else found.swapped
            confidence = found.label_confidence if found.has_confidence else self.confidence
            pair = PreferencePair(
                better.prompt,
                better.response_a,
                better.response_b,
                better.model_a,
                better.model_b,
                confidence,
            )
            if self.kind == "sft":
                yield FileRow(Demonstration(pair.prompt, pair.chosen, pair.chosen_model), 1.0)
            else:
                units = labelled(pair) if self.kind == "kto" else (pair,)
                yield from (FileRow(unit, confidence) for unit in units)


def _is_export(table: Table) -> bool:
    """Whether its first rows have the provenance that `cai export` writes."""
    if "provenance" not in table.columns:
        return False
    told = [row.get("provenance") for row in head_rows(table, ["provenance"])]
    return any(isinstance(each, dict) and "method" in each for each in told)


def _is_good(label: str | bool) -> bool | None:
    """Whether the label says yes; None where it is no yes or no."""
    return label if isinstance(label, bool) else _YES_OR_NO.get(label.casefold())
