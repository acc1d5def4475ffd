"""Files and hub data sets as units: human data, and the files that `cai export` wrote.

Example:
    file = DataFile("preference.jsonl", "preference").check()
    for row in file.rows(left_out := Counter()):
        print(row.unit, row.confidence)
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias, cast

from cai.data.columns import listed
from cai.data.labelled_pair import LabelledPair
from cai.data.pair_columns import has_sides
from cai.data.pair_options import PairOptions
from cai.data.pairs import select_pairs
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
_IS_GOOD = {"true": True, "1": True, "false": False, "0": False}
# Ids come from the content, as one prompt has several rows in exports of every matchup, round or
# label.
_PAIRS, _RESPONSES = PairOptions(id_column=""), ResponseOptions(id_column="")

DataItem: TypeAlias = Prompt | LabelledPair | LabelledResponse


@dataclass(frozen=True, slots=True)
class FileRow:
    """A unit of a file."""

    unit: Unit
    confidence: float  # in [0.5, 1], the probability that its label is right


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file or data set of one kind."""

    name: str
    kind: Kind
    confidence: float = 1.0  # of labels whose row has none of its own
    skip_bad_rows: bool = False

    @property
    def is_labelled(self) -> bool:
        """Whether its rows have labels."""
        return self.kind in ("preference", "kto")

    def check(self) -> "CheckedDataFile":
        """The file and what it holds, after reading it to the end.

        Raises:
            SourceError: It cannot be read, lacks columns that are needed, or a row is bad and bad
                rows are not skipped.
        """
        tally = ProvenanceTally()
        select = partial(self._select, tally=tally)
        source = FileSource((self.name,), self.kind, select, self.skip_bad_rows).check()
        return CheckedDataFile(self, source, bool(tally.methods), tally.provenance)

    def _select(self, table: Table, tally: ProvenanceTally) -> RowReader[DataItem]:
        # A file for SFT or KTO may have single responses, or pairs to make them from. Pairs are
        # read where the columns have two sides, or no single response with what is needed.
        is_single = has_response(table) or not has_sides(table)
        is_complete = self.kind == "sft" or has_label(table)
        try:
            if self.kind == "prompts":
                any_reader = select_prompts(table, None, "")
            elif self.kind != "preference" and is_single and is_complete:
                any_reader = select_responses(table, _RESPONSES)
            else:
                any_reader = select_pairs(table, _PAIRS, needs_labels=True)
        except UnknownColumns:
            raise SourceError(
                f"{self.name}: {_NEEDED[self.kind]}, and its columns are {listed(table.columns)}. "
                "Rename them, or name another file."
            ) from None
        # The reader is only ever given the items that it made itself.
        reader = cast(RowReader[DataItem], cast(object, any_reader))
        if "provenance" not in table.columns:
            return reader

        def parse(row: Row, origin: str) -> list[DataItem]:
            # Before the row is parsed: the provenance of a bad row counts all the same.
            tally.add(row.get("provenance"))
            return reader.parse(row, origin)

        columns = tuple(dict.fromkeys([*reader.columns, "provenance"]))
        return replace(reader, columns=columns, parse=parse)


@dataclass(frozen=True, slots=True)
class CheckedDataFile:
    """A file that was read to its end, and its rows."""

    file: DataFile
    source: CheckedSource[DataItem]
    is_export: bool  # whether `cai export` wrote it, so that not all of it is human data
    written: Provenance  # the provenance that its rows then have

    @property
    def summary(self) -> SourceSummary:
        return self.source.summary

    @property
    def provenance(self) -> Provenance:
        """Where the rows come from; people made those without a provenance."""
        return self.written if self.is_export else Provenance(methods=("people",))

    def rows(self, left_out: Counter[str]) -> Iterator[FileRow]:
        """The rows in the order of the file; those without a label and ties are counted.

        Raises:
            SourceError: As `DataFile.check`, or a label of KTO is neither true nor false.
        """
        for _, item in self.source.items():
            match item:
                case Prompt():
                    yield FileRow(item, 1.0)
                case LabelledPair():
                    yield from self._rows_of_pair(item, left_out)
                case LabelledResponse(prompt, text, model) if self.file.kind == "sft":
                    yield FileRow(Demonstration(prompt, text, model), 1.0)
                case LabelledResponse(label=None):
                    left_out["unlabelled"] += 1
                case LabelledResponse(prompt, text, model, label):
                    is_good = _IS_GOOD.get(str(label).casefold())
                    if is_good is not None:
                        yield FileRow(Labelled(prompt, text, is_good, model), self.file.confidence)
                    elif self.file.skip_bad_rows:
                        left_out["wrong label"] += 1
                    else:
                        raise SourceError(
                            f"{prompt.origin}: the label is {label!r:.60}, and true or false is "
                            "needed. Fix the row, or pass --skip-bad-rows."
                        )

    def _rows_of_pair(self, item: LabelledPair, left_out: Counter[str]) -> Iterator[FileRow]:
        if item.label is None or item.label == "tie":
            left_out[item.label or "unlabelled"] += 1
            return
        if item.label_confidence == 0.5:
            left_out["tie"] += 1
            return
        better = item if item.label == "a" else item.swapped
        confidence = item.label_confidence if item.has_confidence else self.file.confidence
        pair = PreferencePair(
            better.prompt,
            chosen=better.response_a,
            rejected=better.response_b,
            chosen_model=better.model_a,
            rejected_model=better.model_b,
            chosen_probability=confidence,
        )
        if self.file.kind == "sft":
            yield FileRow(Demonstration(pair.prompt, pair.chosen, pair.chosen_model), 1.0)
        else:
            units = labelled(pair) if self.file.kind == "kto" else (pair,)
            yield from (FileRow(unit, confidence) for unit in units)
