"""Pairs of responses out of files and hub data sets, with human labels where there are any.

Example:
    checked = pair_files(("pairs.jsonl",)).check()
    print(checked.summary.describe())      # columns, and how often A, B and ties are labelled
    for id, pair in checked.items():
        print(pair.prompt.request, pair.label)

A row of right and wrong responses gives a pair for each right and each wrong one; an id of the row
then numbers them: `17.1`, `17.2`. Where a source marks the better response by its column, as
`chosen` and `rejected` do, a hash of the prompt and both responses decides which one becomes A. So
the better one is A about as often as B, and a judge that always answers A is right in half of them
instead of all.

Two rows that label the same responses to the same prompt in opposite ways contradict each other,
and the later one is a bad row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from itertools import product

from cai.data.candidate_pairs import select_candidate_pairs
from cai.data.chat_markup import without_closing
from cai.data.columns import (
    PromptColumn,
    cell,
    check_named,
)
from cai.data.companions import Companions
from cai.data.conversations import (
    first_role,
    read_answer,
    read_list,
    read_text,
    read_turns,
    split_answer,
)
from cai.data.labelled_pair import PAIRS, LabelledPair, at_random
from cai.data.pair_columns import PairSelection, has_sides, select_pair_columns
from cai.data.pair_labels import Label, LabelColumn
from cai.data.pair_options import PairOptions
from cai.data.source import FileSource, LabelValue, RowReader
from cai.data.tables import Row, RowError, Table
from cai.types import Conversation, Message, Prompt


def pair_files(
    names: tuple[str, ...], options: PairOptions = PairOptions(), *, skip_bad_rows: bool = False
) -> FileSource[LabelledPair]:
    """Files or hub data sets of pairs, read as the options say."""
    select = partial(select_pairs, options=options)
    return FileSource(names, "pairs", select, skip_bad_rows, options.roles)


def select_pairs(
    table: Table, options: PairOptions, *, needs_labels: bool = False
) -> RowReader[LabelledPair]:
    """The named columns, or else those with known names.

    Responses of which nothing says which one is better are pairs too, unless labels are needed.

    Raises:
        UsageError: The options cannot be combined.
        SourceError: The source lacks a named column, or none or several could hold what is needed.
    """
    options.check()
    check_named(table, asdict(options))
    if not options.names_sides and not has_sides(table):
        reader = select_candidate_pairs(table, options, needs_labels=needs_labels)
        if reader is not None:
            return reader
    selection = select_pair_columns(table, options)

    def check_labels(labels: Mapping[LabelValue, int]) -> None:
        # Ties without a single B: 0 could mean A. The first rows were checked, but a file may be
        # sorted by label, so here all rows decide. Few files need this additional pass.
        label = selection.label
        if label is not None and labels.get("tie") and not labels.get("b"):
            rows = (row for _, row in table.rows(label.columns))
            label.check_numbers(table, (row for row in rows if not isinstance(row, RowError)))

    return RowReader(
        kind=PAIRS,
        table=table,
        columns=selection.columns,
        id_column=selection.id_column,
        parse=partial(_pairs_of_row, selection),
        column=f"{selection.sides.first}/{selection.sides.second}",
        description=selection.description,
        check_labels=check_labels,
    )


def _pairs_of_row(selection: PairSelection, row: Row, origin: str) -> list[LabelledPair]:
    """The pairs of a row, as yet without an id; a `RowError` without one."""
    sides = selection.sides
    third = row.get(sides.third) if sides.third else None
    if third is not None and third != [] and not (isinstance(third, str) and not third.strip()):
        raise RowError(
            f"{sides.third!r} has a third response beside {sides.first!r} and {sides.second!r}, "
            "and a pair has two",
            "third option",
        )
    label, confidence = _label(selection, row)
    model_a, model_b = (
        "" if column is None or (value := row.get(column)) is None else read_text(value, column)
        for column in selection.models or (None, None)
    )
    tags = selection.tags.read(row)
    pairs: list[LabelledPair] = []
    for messages, a, b in _contents(selection, row):
        if a.strip() == b.strip():
            raise RowError(
                f"{sides.first!r} and {sides.second!r} are equal, so that neither is better",
                "equal sides",
            )
        pair = LabelledPair(
            prompt=Prompt("", messages, origin),
            response_a=a,
            response_b=b,
            label=label,
            label_confidence=1.0 if confidence is None else confidence,
            model_a=model_a,
            model_b=model_b,
            tags=tags,
            has_confidence=confidence is not None,
        )
        pairs.append(pair if sides.layout == "sides" else at_random(pair))
    return pairs


def _label(selection: PairSelection, row: Row) -> tuple[Label | None, float | None]:
    """The label for the responses in the order of their columns, and the row's confidence."""
    confidence = selection.confidence.read(row) if selection.confidence else None
    if selection.sides.layout == "sides":
        label, from_label = selection.label.read(row) if selection.label else (None, 1.0)
        # A label between two numbers carries its own confidence.
        is_sure = isinstance(selection.label, LabelColumn) and from_label == 1.0
        return label, confidence if label is None or is_sure else from_label
    if confidence is None and selection.label is not None:
        label, confidence = selection.label.read(row)
        if label == "b":
            raise RowError(
                f"the scores in {selection.label.column!r} prefer the worse response",
                "contradiction",
            )
        return (label or "a"), None if label is None else confidence
    # A probability below one half that the first is better makes it the worse one. A confidence,
    # which is never below one half, cannot.
    is_probability = selection.confidence is not None and selection.confidence.least == 0.0
    if confidence is None or confidence > 0.5 or not is_probability:
        return "a", confidence
    return ("tie", 1.0) if confidence == 0.5 else ("b", 1 - confidence)


def _contents(selection: PairSelection, row: Row) -> Iterator[tuple[Conversation, str, str]]:
    """Prompt, first and second response of each pair."""
    sides = selection.sides
    columns = (sides.first, sides.second)
    if sides.layout == "lists":
        messages = _prompt(selection, row)
        for first, second in product(*(_options(row, column) for column in columns)):
            yield messages, first, second
    elif sides.form == "turns":
        messages, turns_a, turns_b = _turn_lists(selection, row)
        yield _companions(selection).joined(row, messages), turns_a, turns_b
    elif sides.form == "text":
        form = selection.prompt.form if isinstance(selection.prompt, PromptColumn) else "text"
        first, second = (
            without_closing(form, read_answer(cell(row, column), column)) for column in columns
        )
        yield _prompt(selection, row), first, second
    else:
        turns_a, turns_b = (_turns(selection, row, column) for column in columns)
        # Both dialogues must be equal up to their last turns; otherwise these are not answers to
        # the same prompt.
        if turns_a[:-1] != turns_b[:-1]:
            raise RowError("the two dialogues do not share a prompt", "no shared prompt")
        messages, first = split_answer(turns_a, sides.first)
        _, second = split_answer(turns_b, sides.second)
        yield _companions(selection).joined(row, messages), first, second


def _companions(selection: PairSelection) -> Companions:
    prompt = selection.prompt
    return prompt.companions if isinstance(prompt, PromptColumn) else selection.companions


def _turn_lists(selection: PairSelection, row: Row) -> tuple[Conversation, str, str]:
    """Requests in one list and answers in two, as in the Kaggle release of Chatbot Arena."""
    sides, prompt = selection.sides, selection.prompt
    answers = [read_list(cell(row, side), side, "answers") for side in (sides.first, sides.second)]
    if not isinstance(prompt, PromptColumn):
        raise RowError("has no prompt beside its lists of answers", "missing")
    if prompt.form != "turns":
        if any(len(each) != 1 for each in answers):
            raise RowError("has several answers in a row, and one request", "malformed")
        first, second = (read_answer(each[0], "response") for each in answers)
        return prompt.whole(row), first, second
    requests = read_list(cell(row, prompt.column), prompt.column, "requests")
    if any(len(each) != len(requests) for each in answers) or not requests:
        raise RowError("has not as many answers as requests", "malformed")
    if answers[0][:-1] != answers[1][:-1]:
        raise RowError("the two dialogues do not share a prompt", "no shared prompt")
    turns: list[Message] = []
    for request, answer in zip(requests, answers[0], strict=True):
        turns.append(Message("user", read_text(request, prompt.column)))
        turns.append(Message("assistant", read_text(answer, sides.first)))
    messages, first = split_answer(tuple(turns), prompt.column)
    return messages, first, read_answer(answers[1][-1], sides.second)


def _options(row: Row, column: str) -> list[str]:
    options = read_list(cell(row, column), column, "texts")
    if not options:
        raise RowError(f"{column!r} is an empty list, and a response is needed", "missing")
    return [read_answer(option, f"{column}[{index}]") for index, option in enumerate(options)]


def _prompt(selection: PairSelection, row: Row) -> Conversation:
    match selection.prompt:
        case str(text):
            return selection.companions.joined(row, (Message("user", text),))
        case PromptColumn() as column:
            return column.whole(row)
        case None:
            raise RowError("has no prompt, and its responses begin with an answer", "missing")


def _turns(selection: PairSelection, row: Row, side: str) -> Conversation:
    """All turns of a dialogue; where it begins with an answer, after those of the prompt."""
    turns = read_turns(selection.sides.form, cell(row, side), side)
    if not turns:
        raise RowError(f"{side!r} is an empty list, and a response is needed", "missing")
    if first_role(turns) == "assistant":
        turns = (*_prompt(selection, row), *turns)
    column = selection.sides.turn
    if column is None:
        return turns
    # Only the first n answers were compared; the label does not apply to the later ones.
    n = cell(row, column)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise RowError(f"{column!r} is {n!r:.60}, and a number of turns is needed", "malformed")
    ends = [number for number, turn in enumerate(turns, 1) if turn.role == "assistant"]
    return turns[: ends[n - 1]] if n <= len(ends) else turns
