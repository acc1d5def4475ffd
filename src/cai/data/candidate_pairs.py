"""Pairs out of rows that hold several responses, and out of several rows with one response each.

Every two different responses to a prompt are a pair, labelled by the higher of their scores or
ranks where there are any.

Example:
    reader = select_candidate_pairs(table, PairOptions(), needs_labels=False)  # None: no such rows
"""

from dataclasses import dataclass, replace
from itertools import combinations

from cai.data.candidates import (
    SCORES,
    CandidateColumn,
    find_candidates,
    grouped,
    grouped_column,
)
from cai.data.columns import (
    MODELS,
    RESPONSES,
    PromptColumn,
    TagColumns,
    find_id_column,
    find_prompt_column,
    find_tag_columns,
    listed,
    matching,
    only_one,
    prompt_column,
)
from cai.data.companions import unused_texts
from cai.data.labelled_pair import PAIRS, LabelledPair, at_random
from cai.data.pair_columns import IDS
from cai.data.pair_labels import Label
from cai.data.pair_options import PairOptions
from cai.data.source import RowReader
from cai.data.tables import Row, RowError, Table
from cai.types import Prompt


@dataclass(frozen=True, slots=True)
class _CandidateSelection:
    """How a source is read whose rows have several responses."""

    candidates: CandidateColumn
    prompt: PromptColumn
    id_column: str | None
    tags: TagColumns

    @property
    def columns(self) -> tuple[str, ...]:
        ids = (self.id_column,) if self.id_column else ()
        several = (*self.candidates.columns, *self.prompt.columns, *ids, *self.tags.columns)
        return tuple(dict.fromkeys(several))

    def parse(self, row: Row, origin: str) -> list[LabelledPair]:
        """A pair for every two different responses, as yet without an id; a `RowError` without one.

        The label is that of the higher score, and a tie where they are equal.
        """
        messages, tags = self.prompt.up_to_user(row), self.tags.read(row)
        candidates = self.candidates.read(row)
        if len(candidates) < 2:
            raise RowError(
                f"has {len(candidates)} response{'' if len(candidates) == 1 else 's'} to its "
                "prompt, and a pair has two",
                "missing",
            )
        pairs: list[LabelledPair] = []
        for first, second in combinations(candidates, 2):
            if first.text.strip() == second.text.strip():
                continue
            difference = None
            if first.score is not None and second.score is not None:
                difference = first.score - second.score
            # A choice of the best one says nothing of the order of the others.
            if self.candidates.choice and difference == 0:
                continue
            label: Label | None = None
            if difference is not None:
                label = "tie" if difference == 0 else "a" if difference > 0 else "b"
            has_scale = bool(difference) and self.candidates.scale is not None
            pair = LabelledPair(
                prompt=Prompt("", messages, origin),
                response_a=first.text,
                response_b=second.text,
                label=label,
                label_confidence=self.candidates.confidence(difference or 0) if has_scale else 1.0,
                model_a=first.model,
                model_b=second.model,
                tags=tags,
                has_confidence=has_scale,
            )
            pairs.append(at_random(pair))
        if not pairs:
            raise RowError("its responses are equal, so that neither is better", "equal sides")
        return pairs


def select_candidate_pairs(
    table: Table, options: PairOptions, *, needs_labels: bool
) -> RowReader[LabelledPair] | None:
    """The reader of rows with several responses, or of several rows with one response each."""
    head = table.head(table.columns)
    candidates = find_candidates(table, head, options.label_column)
    used = candidates.columns if candidates else ()
    if candidates is None:
        response = only_one(table, table.columns, RESPONSES, "--response-column", "response")
        name = options.prompt_column or find_prompt_column(
            table, [response or ""], "--prompt-column"
        )
        if response is None or name is None:
            return None
        prompt = prompt_column(table, name, head, used=[response])
        known = [options.label_column] if options.label_column else matching(table.columns, SCORES)
        score = next(iter(known), None)
        model = next(iter(matching(table.columns, MODELS)), None)
        ids = matching(table.columns, IDS) if options.id_column is None else [options.id_column]
        single = (*ids, *options.tag_columns)
        table = grouped(table, prompt.columns, response, score=score, model=model, single=single)
        head = table.head(table.columns)
        candidates = grouped_column(table, head, score)
    else:
        name = options.prompt_column or find_prompt_column(table, used, "--prompt-column")
        if name is None:
            return None
        prompt = prompt_column(table, name, head, used=used)
    if needs_labels and not candidates.is_labelled:
        return None
    selection = _CandidateSelection(
        candidates=candidates,
        prompt=prompt,
        id_column=find_id_column(table, options.id_column, IDS, exclude=(*used, name)),
        tags=TagColumns(),
    )
    tags = find_tag_columns(table, options.tag_columns, selection.columns, head)
    selection = replace(selection, tags=tags)
    unused = unused_texts(table, selection.columns, head, known=IDS)
    parts = [candidates.description, f"prompts in {' and '.join(map(repr, prompt.columns))}"]
    parts += [f"tags in {listed(tags.columns)}"] if tags.columns else []
    parts += [f"not used: {listed(unused)}"] if unused else []
    return RowReader(
        kind=PAIRS,
        table=table,
        columns=selection.columns,
        id_column=selection.id_column,
        parse=selection.parse,
        column=candidates.column,
        description=", ".join(parts),
    )
