"""Files and hub data sets as units: people's data, and what `cai export` wrote.

Example:
    file = DataFile("preference.jsonl", "preference").check()
    for row in file.rows(left_out := Counter()):
        print(row.unit, row.confidence)

Columns are found by the names in use. Ids are made from the content, as one prompt has several rows
in exports of every matchup, round or label.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias, cast

from cai.data.columns import listed
from cai.data.pair_columns import PairOptions, has_sides
from cai.data.pairs import LabelledPair, select_pairs
from cai.data.prompts import select_prompts
from cai.data.responses import (
    LabelledResponse,
    ResponseOptions,
    has_label,
    has_response,
    select_responses,
)
from cai.data.source import CheckedSource, FileSource, RowReader, SourceSummary
from cai.data.tables import Row, Table
from cai.errors import SourceError, UnknownColumns
from cai.export.provenance import Provenance, ProvenanceTally
from cai.export.rows import Demonstration, Labelled, PreferencePair, Unit, labelled
from cai.types import Prompt

Kind = Literal["sft", "preference", "kto", "prompts"]

_NEEDED: dict[Kind, str] = {
    "sft": "rows for SFT need 'messages', or 'prompt' and 'completion'",
    "preference": "preference rows need 'chosen' and 'rejected', or 'response_a', 'response_b' and "
    "'label', with the prompt in 'prompt' or in dialogues",
    "kto": "rows for KTO need 'prompt', 'completion' and 'label', or 'chosen' and 'rejected'",
    "prompts": "prompts need a column such as 'prompt' or 'messages'",
}
_YES_OR_NO: dict[object, bool] = {"true": True, "1": True, "false": False, "0": False}
_PAIRS, _RESPONSES = PairOptions(id_column=""), ResponseOptions(id_column="")

DataItem: TypeAlias = Prompt | LabelledPair | LabelledResponse


@dataclass(frozen=True, slots=True)
class FileRow:
    """A unit of a file; `confidence` in [0.5, 1] is how probable it is that its label is right."""

    unit: Unit
    confidence: float


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

    def check(self) -> "CheckedDataFile":
        """What the file holds, after reading it to the end.

        Raises:
            SourceError: It cannot be read, has not the columns that are needed, or a row is bad
                and bad rows are not skipped.
        """
        tally = ProvenanceTally()
        select = partial(self._select, tally=tally)
        source = FileSource((self.name,), self.kind, select, self.skip_bad_rows).check()
        return CheckedDataFile(self, source, bool(tally.methods), tally.provenance)

    def _select(self, table: Table, tally: ProvenanceTally) -> RowReader[DataItem]:
        """How the rows are read; what they say of where they come from goes to the tally."""
        try:
            reader = self._reader(table)
        except UnknownColumns:
            raise SourceError(
                f"{self.name}: {_NEEDED[self.kind]}, and its columns are {listed(table.columns)}. "
                "Rename them, or name another file."
            ) from None
        if "provenance" not in table.columns:
            return reader

        def parse(row: Row, origin: str) -> list[DataItem]:
            # Before the row is parsed: one that is bad says where it comes from all the same.
            tally.add(row.get("provenance"))
            return reader.parse(row, origin)

        columns = tuple(dict.fromkeys([*reader.columns, "provenance"]))
        return replace(reader, columns=columns, parse=parse)

    def _reader(self, table: Table) -> RowReader[DataItem]:
        if self.kind == "prompts":
            reader = select_prompts(table, None, "")
        else:
            is_single = has_response(table) or not has_sides(table)
            has_what_is_needed = self.kind == "sft" or has_label(table)
            if self.kind != "preference" and is_single and has_what_is_needed:
                reader = select_responses(table, _RESPONSES)
            else:
                reader = select_pairs(table, _PAIRS)
        # The reader is only ever given the items that it made itself.
        return cast(RowReader[DataItem], cast(object, reader))


@dataclass(frozen=True, slots=True)
class CheckedDataFile:
    """A file that was read to its end, and its rows.

    `is_export` says that `cai export` wrote it, so that not all of it is people's; `written` is
    what its rows then say of where they come from.
    """

    file: DataFile
    source: CheckedSource[DataItem]
    is_export: bool
    written: Provenance

    @property
    def summary(self) -> SourceSummary:
        return self.source.summary

    @property
    def provenance(self) -> Provenance:
        """Where the rows come from; people made what says nothing."""
        return self.written if self.is_export else Provenance(methods=("people",))

    def rows(self, left_out: Counter[str]) -> Iterator[FileRow]:
        """The rows in the order of the file; those without a label and ties are counted.

        Raises:
            SourceError: As `DataFile.check`, or a label of KTO is neither yes nor no.
        """
        for _, item in self.source.items():
            match item:
                case Prompt():
                    yield FileRow(item, 1.0)
                case LabelledResponse():
                    yield from self._of_response(item, left_out)
                case LabelledPair():
                    yield from self._of_pair(item, left_out)

    def _of_response(self, response: LabelledResponse, left_out: Counter[str]) -> Iterator[FileRow]:
        prompt, text, model = response.prompt, response.text, response.model
        if self.file.kind == "sft":
            yield FileRow(Demonstration(prompt, text, model), 1.0)
        elif response.label is None:
            left_out["unlabelled"] += 1
        elif (label := _is_good(response.label)) is not None:
            yield FileRow(Labelled(prompt, text, label, model), self.file.confidence)
        elif self.file.skip_bad_rows:
            left_out["wrong label"] += 1
        else:
            raise SourceError(
                f"{prompt.origin}: the label is {response.label!r:.60}, and true or false is "
                "needed. Mend the row, or pass --skip-bad-rows."
            )

    def _of_pair(self, found: LabelledPair, left_out: Counter[str]) -> Iterator[FileRow]:
        if found.label is None or found.label == "tie":
            left_out[found.label or "unlabelled"] += 1
            return
        if found.label_confidence == 0.5:
            left_out["tie"] += 1
            return
        better = found if found.label == "a" else found.swapped
        confidence = found.label_confidence if found.has_confidence else self.file.confidence
        pair = PreferencePair(
            better.prompt,
            better.response_a,
            better.response_b,
            better.model_a,
            better.model_b,
            confidence,
        )
        if self.file.kind == "sft":
            yield FileRow(Demonstration(pair.prompt, pair.chosen, pair.chosen_model), 1.0)
        else:
            units = labelled(pair) if self.file.kind == "kto" else (pair,)
            yield from (FileRow(unit, confidence) for unit in units)


def _is_good(label: str | bool) -> bool | None:
    """Whether the label says yes; None where it is no yes or no."""
    return label if isinstance(label, bool) else _YES_OR_NO.get(label.casefold())
