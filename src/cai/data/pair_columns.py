"""Which columns hold a pair: named by the user, or detected by the names in use.

Three layouts are known. `ranked`: one column has the better response, the other the worse one
(`chosen`, `rejected`). `sides`: two columns whose names do not rank them, and a third with the
label, if there is one (`output_1`, `output_2`, `preference`). `lists`: every one of the right
responses is better than every one of the wrong ones (`corrects`, `incorrects`).

What two columns hold is decided once, from the first rows, as it is for prompts: texts, message
lists, or hh-rlhf transcripts. Dialogues hold their prompt themselves.

Example:
    selection = select_pair_columns(table, PairOptions(label_column="winner"))
    selection.sides.layout, selection.columns   # "sides", ("response_a", "response_b", "winner")
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from cai.data.chat_markup import MARKUPS, common_markup
from cai.data.columns import (
    PromptColumn,
    TagColumns,
    both_columns,
    check_named,
    find_id_column,
    find_prompt_column,
    find_tag_columns,
    listed,
    matching,
    prompt_column,
    unknown_columns,
)
from cai.data.companions import Companions, find_companions, unused_texts
from cai.data.conversations import (
    Form,
    first_role,
    is_message_list,
    is_text_list,
    is_transcript,
    read_turns,
)
from cai.data.label_columns import find_confidence, find_label
from cai.data.pair_labels import (
    ConfidenceColumn,
    Labels,
)
from cai.data.pair_options import Layout, PairOptions
from cai.data.tables import Row, RowError, Table
from cai.errors import UnknownColumns, UsageError

_SIDES: tuple[tuple[Layout, str, str], ...] = (
    ("ranked", "chosen", "rejected"),
    *(
        ("ranked", better, worse)
        for better, worse in (
            *(("chosen_response", "rejected_response"), ("response_j", "response_k")),
            *(("preferred_output", "non_preferred_output"), ("accepted", "rejected")),
            *(("preferred", "dispreferred"), ("preferred_response", "dispreferred_response")),
            *(("better_response", "worse_response"), ("chosen_answer", "rejected_answer")),
            *(("winner_response", "loser_response"), ("better", "worse"), ("win", "lose")),
            *(("chosen_output", "rejected_output"), ("positive", "negative")),
        )
    ),
    ("lists", "corrects", "incorrects"),
    ("sides", "text_a", "text_b"),
    ("sides", "conversation_a", "conversation_b"),
    ("sides", "human_ref_a", "human_ref_b"),
    *(
        ("sides", f"{stem}{first}", f"{stem}{second}")
        for stem in ("response", "output", "answer", "completion", "summary", "candidate")
        for first, second in (("_a", "_b"), ("_0", "_1"), ("_1", "_2"), ("1", "2"))
    ),
)
_MODELS = (
    *(("model_a", "model_b"), ("model_1", "model_2"), ("generator_1", "generator_2")),
    *(("chosen_model", "rejected_model"), ("response_model", "response_model")),
)
# Ids of the pair; that of the prompt does not serve, as one prompt is often in several pairs.
IDS = ("id", "pair_id", "comparison_id", "uid", "uuid", "example_id")
_THIRDS = {("a", "b"): "c", ("1", "2"): "3", ("0", "1"): "2"}


@dataclass(frozen=True, slots=True)
class Sides:
    """The two columns with the responses: the better one first where they are `ranked`."""

    layout: Layout
    first: str
    second: str
    form: Form
    third: str | None = None  # the column that a third response would be in
    turn: str | None = None  # how many turns were compared, as in MT-Bench's human judgements


@dataclass(frozen=True, slots=True)
class PairSelection:
    """How a source of pairs is read."""

    sides: Sides
    prompt: PromptColumn | str | None  # a text for all rows; None: the dialogues hold the prompts
    companions: Companions  # what belongs to prompts that have no column of their own
    label: Labels | None
    confidence: ConfidenceColumn | None
    models: tuple[str, str] | None
    id_column: str | None
    tags: TagColumns
    unused: tuple[str, ...] = ()  # texts that nothing reads

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, each once."""
        sides = self.sides
        prompt = self.prompt.columns if isinstance(self.prompt, PromptColumn) else ()
        label = self.label.columns if self.label else ()
        confidence = self.confidence.column if self.confidence else None
        single = (sides.third, sides.turn, confidence, self.id_column)
        several = (
            *prompt,
            *label,
            *self.companions.columns,
            *(self.models or ()),
            *self.tags.columns,
        )
        return tuple(dict.fromkeys([sides.first, sides.second, *filter(None, single), *several]))

    @property
    def description(self) -> str:
        """Such as: from 'chosen' (better) and 'rejected', prompts in 'question'."""
        first, second, is_ranked = self.sides.first, self.sides.second, self.sides.layout != "sides"
        parts = [f" from {first!r}{' (better)' if is_ranked else ''} and {second!r}"]
        match self.prompt:
            case PromptColumn() as column:
                parts.append(f"prompts in {' and '.join(map(repr, column.columns))}")
            case str():
                parts.append("one prompt for all")
            case None:
                parts.append("dialogues that share a prompt")
        if self.companions.columns:
            parts.append(f"joined with {listed(self.companions.columns)}")
        if not is_ranked:
            parts.append(
                f"labels in {listed(self.label.columns)}" if self.label else "no column with labels"
            )
        if self.confidence:
            parts.append(f"confidence in {self.confidence.column!r}")
        if self.tags.columns:
            parts.append(f"tags in {listed(self.tags.columns)}")
        if self.unused:
            parts.append(f"not used: {listed(self.unused)}")
        return ", ".join(parts)


def select_pair_columns(table: Table, options: PairOptions) -> PairSelection:
    """The named columns, or else those with known names.

    Raises:
        UsageError: The options cannot be combined.
        SourceError: The source lacks a named column, or none or several could hold what is needed.
    """
    options.check()
    check_named(table, asdict(options))
    head = table.head(table.columns)
    layout, first, second = _find_sides(table, options)
    # RewardBench 2 has one right response and several wrong ones, all in lists.
    lists = [row[side] for row in head for side in (first, second) if row.get(side) is not None]
    if layout == "ranked" and lists and all(map(is_text_list, lists)):
        layout = "lists"
    prompt, form = _find_prompt(
        table, (first, second), head, column=options.prompt_column, text=options.prompt_text
    )
    # Where a row has a third response too, its label says which of three is the best, and nothing
    # of the order of the other two: such rows are errors, so the column has to be read.
    third: str | None = None
    ending = _THIRDS.get((first[-1:].casefold(), second[-1:].casefold()))
    if ending and first[:-1] == second[:-1]:
        third = next(iter(matching(table.columns, [first[:-1].casefold() + ending])), None)
    turns = matching(table.columns, ("turn",)) if first.casefold() == "conversation_a" else []
    turn = turns[0] if turns else None
    companions = Companions()
    if not isinstance(prompt, PromptColumn):
        companions = find_companions(table, None, form, (first, second), head)
    selection = PairSelection(
        companions=companions,
        sides=Sides(layout, first, second, form, third=third, turn=turn),
        prompt=prompt,
        label=find_label(table, options, layout, (first, second), head),
        confidence=find_confidence(table, layout, head),
        models=next((pair for names in _MODELS if (pair := both_columns(table, names))), None),
        id_column=find_id_column(table, options.id_column, IDS, exclude=(first, second)),
        tags=TagColumns(),
    )
    tags = find_tag_columns(table, options.tag_columns, selection.columns, head)
    selection = replace(selection, tags=tags)
    unused = unused_texts(table, selection.columns, head, known=IDS)
    return replace(selection, unused=tuple(unused))


def has_sides(table: Table) -> bool:
    """Whether two of its columns are known to hold the responses of a pair."""
    return any(both_columns(table, (first, second)) for _, first, second in _SIDES)


def side_columns(table: Table) -> tuple[str, ...]:
    """The columns that are known to hold the responses of pairs."""
    pairs = (both_columns(table, (first, second)) for _, first, second in _SIDES)
    return tuple(name for pair in pairs if pair for name in pair)


def _find_sides(table: Table, options: PairOptions) -> tuple[Layout, str, str]:
    if options.a_column is not None and options.b_column is not None:
        return "sides", options.a_column, options.b_column
    if options.better_column is not None and options.worse_column is not None:
        return "ranked", options.better_column, options.worse_column
    matches: list[tuple[Layout, str, str]] = []
    for layout, *names in _SIDES:
        pair = both_columns(table, (names[0], names[1]))
        # Of response_0, response_1 and response_2 the first two are the pair, and the third is one
        # too many, which is an error of each row that has it.
        if pair and pair[0] not in {second for _, _, second in matches}:
            matches.append((layout, *pair))
    advice = "Name them with --a-column and --b-column, or --better-column and --worse-column."
    if not matches:
        raise unknown_columns(
            table, "two columns are known to hold the responses of a pair", advice
        )
    if len(matches) > 1:
        pairs = ", or ".join(f"{first!r} and {second!r}" for _, first, second in matches)
        raise UnknownColumns(f"{table.name}: the pair could be in {pairs}. {advice}")
    return matches[0]


def _find_prompt(
    table: Table,
    sides: tuple[str, str],
    head: Sequence[Row],
    *,
    column: str | None,
    text: str | None,
) -> tuple[PromptColumn | str | None, Form]:
    """The prompt's column, or its text, or None where the sides hold it; and the sides' form."""
    values = [row[side] for row in head for side in sides if row.get(side) is not None]
    non_blank = [value for value in values if not isinstance(value, str) or value.strip()]
    form: Form = "text"
    if any(map(is_message_list, values)):
        form = "messages"
    elif non_blank and all(map(is_text_list, non_blank)):
        form = "turns"
    elif non_blank and all(map(is_transcript, non_blank)):
        form = common_markup(non_blank) or "text"
    if form in MARKUPS or (form == "messages" and all(map(_begins_with_user, values))):
        if column is not None or text is not None:
            option = "--prompt-text" if column is None else "--prompt-column"
            raise UsageError(
                f"{option}: the dialogues of {table.name} hold their prompts. Leave it out."
            )
        return None, form
    if text is not None:
        return text, form
    name = column or find_prompt_column(table, sides, "--prompt-column")
    if name is not None:
        # One response that imitates turn markers stays a response, as the form is "text" here.
        return prompt_column(table, name, head, used=sides), form
    # Without a prompt elsewhere the sides must be dialogues, and rows that are not are bad rows.
    marked = [value for value in values if is_transcript(value)]
    if marked:
        return None, common_markup(marked)
    if any(map(_begins_with_user, values)):
        return None, form
    raise unknown_columns(
        table,
        "column is known to hold the prompts",
        "Name it with --prompt-column NAME, or give one prompt for all rows with --prompt-text "
        "TEXT.",
    )


def _begins_with_user(value: object) -> bool:
    """Whether it is a message list whose first turn, after a system turn, is the user's."""
    try:
        turns = read_turns("messages", value, "messages")
    except RowError:
        return False
    return first_role(turns) == "user"
