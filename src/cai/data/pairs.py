"""Pairs of responses out of files and hub data sets, with the labels of people where there are any.

Example:
    checked = pair_files(("pairs.jsonl",)).check()
    print(checked.summary.describe())      # columns, and how often A, B and ties are labelled
    for id, pair in checked.items():
        print(pair.prompt.request, pair.label)

A row of right and wrong responses gives a pair for each right and each wrong one; an id of the row
then numbers them: `17.1`, `17.2`. Where a source tells the better response by its column, as
`chosen` and `rejected` do, which one becomes A is told by a hash of the prompt and both responses.
So the better one is A about as often as B: a judge that always says A gets half of them right, and
not all.

Two rows that label the same responses to the same prompt in opposite ways contradict each other,
and the later one is a bad row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product

from cai.data.columns import PromptColumn, cell, listed
from cai.data.conversations import (
    opening,
    read_answer,
    read_list,
    read_text,
    read_turns,
    split_answer,
    texts_of,
)
from cai.data.pair_columns import PairOptions, PairSelection, Sides, select_pair_columns
from cai.data.pair_labels import Label
from cai.data.source import FileSource, ItemKind, LabelValue, RowReader
from cai.data.tables import Row, RowError, Table
from cai.types import Conversation, Message, Prompt, content_hash


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two responses to one prompt, and what people say of them: nothing where `label` is None.

    `label_confidence` in [0.5, 1] is how sure they are, and `has_confidence` whether the row itself
    says so; a model is "" where nobody knows it.
    """

    prompt: Prompt
    response_a: str
    response_b: str
    label: Label | None = None
    label_confidence: float = 1.0
    model_a: str = ""
    model_b: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    has_confidence: bool = False

    @property
    def texts(self) -> list[str]:
        """What is judged, without the label: an id that is made from the content is of these."""
        return [*texts_of(self.prompt.messages), "", self.response_a, self.response_b]

    @property
    def swapped(self) -> "LabelledPair":
        """The same pair and the same opinion, with A and B exchanged."""
        return replace(
            self,
            response_a=self.response_b,
            response_b=self.response_a,
            label=_OTHER[self.label] if self.label else None,
            model_a=self.model_b,
            model_b=self.model_a,
        )


_OTHER: dict[Label, Label] = {"a": "b", "b": "a", "tie": "tie"}


def _other_texts(pair: LabelledPair) -> Iterator[str]:
    """What a run on the pair depends on beside prompt and responses."""
    yield from (pair.label or "", repr(pair.label_confidence), pair.model_a, pair.model_b)
    for name in sorted(pair.tags):
        yield from (name, pair.tags[name])


def _preference(pair: LabelledPair) -> tuple[int, int] | None:
    """A hash of prompt and responses, whichever is A, and the better one's index when sorted."""
    if pair.label not in ("a", "b"):
        return None
    sides = sorted((pair.response_a, pair.response_b))
    better = pair.response_a if pair.label == "a" else pair.response_b
    return hash((*texts_of(pair.prompt.messages), *sides)), int(better != sides[0])


PAIRS: ItemKind[LabelledPair] = ItemKind(
    noun="pair",
    with_id=lambda pair, id: replace(pair, prompt=replace(pair.prompt, id=id)),
    id_of=lambda pair: pair.prompt.id,
    id_texts=lambda pair: pair.texts,
    other_texts=_other_texts,
    label=lambda pair: pair.label,
    label_names={"a": "A is better", "b": "B is better", "tie": "tie", None: "no label"},
    models=lambda pair: (pair.model_a, pair.model_b),
    preference=_preference,
)


def pair_files(
    names: tuple[str, ...], options: PairOptions = PairOptions(), *, skip_bad_rows: bool = False
) -> FileSource[LabelledPair]:
    """Files or hub data sets of pairs, read as the options say."""
    return FileSource(names, "pairs", partial(select_pairs, options=options), skip_bad_rows)


def select_pairs(table: Table, options: PairOptions) -> RowReader[LabelledPair]:
    """The columns that are named, or else those found.

    Raises:
        UsageError: The options do not go together.
        SourceError: A named column is not there, or none or several could hold what is needed.
    """
    selection = select_pair_columns(table, options)

    def check_labels(labels: Mapping[LabelValue, int]) -> None:
        """That a label of 0 can be read in one way only; by all rows, as a file may be sorted."""
        label = selection.label
        if label is not None and labels.get("tie") and not labels.get("b"):
            rows = (row for _, row in table.rows([label.column]))
            label.check_numbers(table, (row for row in rows if not isinstance(row, RowError)))

    return RowReader(
        kind=PAIRS,
        columns=selection.columns,
        id_column=selection.id_column,
        parse=partial(_pairs_of_row, selection),
        column=f"{selection.sides.first}/{selection.sides.second}",
        description=_description(selection),
        check_labels=check_labels,
    )


def _description(selection: PairSelection) -> str:
    """Such as: from 'chosen' (better) and 'rejected', prompts in 'question'."""
    sides, label = selection.sides, selection.label
    is_ranked = sides.layout != "sides"
    parts = [f" from {sides.first!r}{' (better)' if is_ranked else ''} and {sides.second!r}"]
    match selection.prompt:
        case PromptColumn() as column:
            parts.append(f"prompts in {' and '.join(map(repr, column.columns))}")
        case str():
            parts.append("one prompt for all")
        case None:
            parts.append("dialogues that share a prompt")
    if not is_ranked:
        parts.append(f"labels in {label.column!r}" if label else "no column with labels")
    if selection.confidence:
        parts.append(f"confidence in {selection.confidence.column!r}")
    if selection.tags.columns:
        parts.append(f"tags in {listed(selection.tags.columns)}")
    return ", ".join(parts)


def _pairs_of_row(selection: PairSelection, row: Row, origin: str) -> list[LabelledPair]:
    """The pairs of a row, as yet without an id.

    Raises:
        RowError: Something is missing or wrong, or the sides are equal.
    """
    _refuse_third(selection.sides, row)
    label, confidence = _label(selection, row)
    model_a, model_b = _models(selection, row)
    tags = selection.tags.read(row)
    pairs = [
        LabelledPair(
            Prompt("", messages, origin),
            a,
            b,
            label,
            1.0 if confidence is None else confidence,
            model_a,
            model_b,
            tags,
            confidence is not None,
        )
        for messages, a, b in _contents(selection, row)
    ]
    for pair in pairs:
        if pair.response_a.strip() == pair.response_b.strip():
            raise RowError(
                f"{selection.sides.first!r} and {selection.sides.second!r} are equal, so that "
                "neither is better",
                "equal sides",
            )
    return (
        pairs if selection.sides.layout == "sides" else [_with_hashed_sides(pair) for pair in pairs]
    )


def _with_hashed_sides(pair: LabelledPair) -> LabelledPair:
    """The pair with A and B by the parity of its content; which one is better has no part in it."""
    texts = sorted((pair.response_a, pair.response_b))
    is_odd = int(content_hash("sides", *texts_of(pair.prompt.messages), *texts), 16) % 2
    return pair if texts[is_odd] == pair.response_a else pair.swapped


def _label(selection: PairSelection, row: Row) -> tuple[Label | None, float | None]:
    """The label of the responses in the order of their columns, and how sure the row says it is.

    The first is the better ranked, unless the row gives that a probability below one half.
    """
    said = selection.confidence.read(row) if selection.confidence else None
    if selection.sides.layout == "sides":
        label, confidence = selection.label.read(row) if selection.label else (None, 1.0)
        # A label between two numbers says itself how sure it is.
        return label, confidence if confidence < 1.0 else said
    if said is None or said > 0.5 or not _is_probability(selection):
        return "a", said
    return ("tie", 1.0) if said == 0.5 else ("b", 1 - said)


def _is_probability(selection: PairSelection) -> bool:
    """Whether what is said may be below one half, and the better column thereby the worse one."""
    return selection.confidence is not None and selection.confidence.least == 0.0


def _models(selection: PairSelection, row: Row) -> tuple[str, str]:
    if selection.models is None:
        return "", ""
    values = [(row.get(column), column) for column in selection.models]
    first, second = ("" if value is None else read_text(value, name) for value, name in values)
    return first, second


def _refuse_third(sides: Sides, row: Row) -> None:
    value = row.get(sides.third) if sides.third else None
    if value is not None and value != [] and not (isinstance(value, str) and not value.strip()):
        raise RowError(
            f"{sides.third!r} holds a third response beside {sides.first!r} and {sides.second!r}, "
            "and a pair has two",
            "third option",
        )


def _contents(selection: PairSelection, row: Row) -> Iterator[tuple[Conversation, str, str]]:
    """Prompt, first and second response of each pair."""
    sides = selection.sides
    if sides.layout == "lists":
        messages = _prompt(selection, row)
        for first, second in product(_options(row, sides.first), _options(row, sides.second)):
            yield messages, first, second
    elif sides.form == "text":
        first, second = (read_answer(cell(row, side), side) for side in (sides.first, sides.second))
        yield _prompt(selection, row), first, second
    else:
        yield _split(selection, row)


def _options(row: Row, column: str) -> list[str]:
    options = read_list(cell(row, column), column, "texts")
    if not options:
        raise RowError(f"{column!r} is an empty list, and a response is needed", "missing")
    return [read_answer(option, f"{column}[{index}]") for index, option in enumerate(options)]


def _prompt(selection: PairSelection, row: Row) -> Conversation:
    match selection.prompt:
        case str(text):
            return (Message("user", text),)
        case PromptColumn() as column:
            return column.whole(row)
        case None:
            raise RowError("has no prompt, and its responses begin with an answer", "missing")


def _split(selection: PairSelection, row: Row) -> tuple[Conversation, str, str]:
    """What two dialogues share, and the last turn of each."""
    sides = selection.sides
    first, second = (_turns(selection, row, side) for side in (sides.first, sides.second))
    # What both dialogues share must be all but their last turns: elsewhere they were no answers to
    # the same words.
    if first[:-1] != second[:-1]:
        raise RowError("the two dialogues do not share a prompt", "no shared prompt")
    messages, response = split_answer(sides.form, first, sides.first)
    return messages, response, split_answer(sides.form, second, sides.second)[1]


def _turns(selection: PairSelection, row: Row, side: str) -> Conversation:
    """All turns of a dialogue; where it begins with an answer, behind those of the prompt."""
    turns = read_turns(selection.sides.form, cell(row, side), side)
    if not turns:
        raise RowError(f"{side!r} is an empty list, and a response is needed", "missing")
    if opening(turns) == "assistant":
        turns = (*_prompt(selection, row), *turns)
    return turns if selection.sides.turn is None else _cut(turns, row, selection.sides.turn)


def _cut(turns: Conversation, row: Row, column: str) -> Conversation:
    """The turns up to the n-th answer, where the row says that the first n were compared."""
    n = cell(row, column)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise RowError(f"{column!r} is {n!r:.60}, and a number of turns is needed", "malformed")
    ends = [number for number, turn in enumerate(turns, 1) if turn.role == "assistant"]
    return turns[: ends[n - 1]] if n <= len(ends) else turns
