"""Several responses of one row, with what people or a model think of each.

The responses stand in a list, as texts or as objects (UltraFeedback's `completions`, Nectar's
`answers`), and their scores or ranks in the objects or in a list beside it. The rows of a table
with one response each are grouped by their prompts first (HelpSteer2).

Example:
    column = find_candidates(table, head, score=None)
    column.read(row)      # (Candidate("Oil it.", 4.0, "policy"), Candidate("No.", 1.0, "base"))
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from cai.data.conversations import (
    is_message_list,
    is_text_list,
    read_answer,
    read_list,
    read_text,
    read_turns,
)
from cai.data.pair_labels import number_of
from cai.data.tables import NumberedRows, Row, RowError, Table, TableShape

# The first name that fits decides, of a table's columns and of an object's keys.
_LISTS = (
    *("completions", "responses", "candidates", "answers", "outputs", "generations", "summaries"),
    *("output", "completion", "response", "answer", "generation", "samples"),
)
_TEXTS = (
    *("response", "answer", "text", "completion", "output", "content", "generation"),
    *("generated_text", "summary", "message", "response_text", "value"),
)
SCORES = (
    *("overall_score", "score", "rating", "reward", "helpfulness", "overall", "overall_rating"),
    *("quality", "pm_score", "votes", "scores", "ratings", "rewards", "fine-grained_score"),
    *("rank", "ranking", "ranks", "rankings"),
)
_RANKS = ("rank", "ranking", "ranks", "rankings")  # the lowest is the best
_CHOICES = ("choice", "best", "best_index", "chosen_index", "preferred_index")
_MODELS = ("model", "models", "generator", "model_name", "response_model", "policy", "source")
# Lists whose order says which one is better, where nothing else does (LLaMA-Factory).
_ORDERED = ("output",)
# Widths of the scales in use: one point of five is as far on a scale from 0 to 4 as on 1 to 5.
_SCALES = (1, 2, 3, 4, 5, 6, 9, 10, 100)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response, its score (a higher one is better), and its model; None and "" if unknown."""

    text: str
    score: float | None
    model: str


@dataclass(frozen=True, slots=True)
class CandidateColumn:
    """Where the responses of a row, their scores and their models are."""

    column: str
    text: str | None  # the key of the text in each object; None where each is a text
    score: str | None = None
    is_rank: bool = False
    has_own_scores: bool = False  # whether the scores are a column, and not in the objects
    choice: str | None = None  # the column with the index of the best one
    model: str | None = None
    has_own_models: bool = False
    is_ordered: bool = False  # whether the better ones come first
    scale: float | None = None  # the width of the scale, for the confidence of a difference

    @property
    def is_labelled(self) -> bool:
        """Whether something says which response is better."""
        return bool(self.score or self.choice or self.is_ordered)

    @property
    def columns(self) -> tuple[str, ...]:
        scores = self.score if self.has_own_scores else None
        models = self.model if self.has_own_models else None
        return tuple(filter(None, (self.column, scores, self.choice, models)))

    @property
    def description(self) -> str:
        """Such as: from the responses in 'completions' (scores in 'overall_score')."""
        what = "no column with labels"
        if self.score:
            what = f"{'ranks' if self.is_rank else 'scores'} in {self.score!r}"
        elif self.choice:
            what = f"the best one in {self.choice!r}"
        elif self.is_ordered:
            what = "the better one first"
        return f" from the responses in {self.column!r} ({what})"

    def read(self, row: Row) -> tuple[Candidate, ...]:
        """The responses of a row, in their order.

        Raises:
            RowError: They or their scores cannot be read.
        """
        items = read_list(_as_list(row.get(self.column)), self.column, "responses")
        scores = self._scores(row, items)
        models = self._values(row, items, self.model, is_column=self.has_own_models)
        return tuple(
            Candidate(
                self._text(item, f"{self.column}[{i}]"),
                scores[i],
                "" if models[i] is None else read_text(str(models[i]), "model"),
            )
            for i, item in enumerate(items)
        )

    def confidence(self, difference: float) -> float:
        """How sure that difference of two scores makes the better one: 1 over the whole scale."""
        return 1.0 if self.scale is None else min(1.0, 0.5 + abs(difference) / self.scale / 2)

    def _scores(self, row: Row, items: Sequence[object]) -> list[float | None]:
        if self.is_ordered:
            return [float(-i) for i in range(len(items))]
        if self.choice is not None:
            best = number_of(row.get(self.choice))
            if best is not None and best not in range(len(items)):
                raise RowError(
                    f"{self.choice!r} is {best:g}, and there are {len(items)} responses, "
                    "counted from 0",
                    "wrong label",
                )
            return [None if best is None else float(i == best) for i in range(len(items))]
        values = self._values(row, items, self.score, is_column=self.has_own_scores)
        numbers = [number_of(value) for value in values]
        return [None if n is None else -n if self.is_rank else n for n in numbers]

    def _values(
        self, row: Row, items: Sequence[object], key: str | None, *, is_column: bool
    ) -> list[object]:
        if key is None:
            return [None] * len(items)
        if not is_column:
            return [cast(Row, item).get(key) if isinstance(item, dict) else None for item in items]
        values = row.get(key)
        if values is None:
            return [None] * len(items)
        listed = read_list(values, key, "values")
        if len(listed) != len(items):
            raise RowError(
                f"{key!r} has {len(listed)} values, and {self.column!r} has {len(items)} responses",
                "malformed",
            )
        return listed

    def _text(self, item: object, label: str) -> str:
        if self.text is None or not isinstance(item, dict):
            return answer_text(item, label)
        return answer_text(cast(Row, item).get(self.text), label)


def _as_list(value: object) -> object:
    """A struct of lists, or an object with a text for each side or model, as a list of objects."""
    if not isinstance(value, dict):
        return value
    fields = cast(Row, value)
    entries = list(fields.values())
    if not fields or "role" in fields or "from" in fields:
        return fields
    if fields.keys() == {"chosen", "rejected"}:
        return [
            {"text": fields[side], "score": float(side == "chosen")}
            for side in ("chosen", "rejected")
        ]
    if all(isinstance(entry, str) for entry in entries):
        if any(key.casefold() in (*_TEXTS, *SCORES, *_MODELS) for key in fields):
            return fields
        return [{"text": text, "model": name} for name, text in fields.items()]
    lists = [cast(list[object], entry) for entry in entries if isinstance(entry, list)]
    if len(lists) < len(entries) or len({len(each) for each in lists}) > 1:
        return fields
    return [dict(zip(fields, each, strict=True)) for each in zip(*lists, strict=True)]


def answer_text(value: object, label: str) -> str:
    """The text of a response, which may be a message or a list that ends in one.

    Raises:
        RowError: It is neither, or blank.
    """
    if not is_message_list(value):
        return read_answer(value, label)
    turns = read_turns("messages", value, label)
    if not turns or turns[-1].role != "assistant":
        raise RowError(f"{label!r} does not end in a turn of the assistant", "malformed")
    return read_answer(turns[-1].content, label)


def find_candidates(
    table: Table, head: Sequence[Row], score: str | None = None
) -> CandidateColumn | None:
    """The column with lists of responses, or None; `score` is the user's name for their scores."""
    for name in _LISTS:
        for column in table.columns:
            if column.casefold() == name:
                lists = [_as_list(row[column]) for row in head if row.get(column)]
                found = _candidate_column(table, column, lists, head, score)
                if found is not None:
                    return found
    return None


def _candidate_column(
    table: Table, column: str, lists: Sequence[object], head: Sequence[Row], score: str | None
) -> CandidateColumn | None:
    if not lists or not all(isinstance(each, list) for each in lists):
        return None
    items = [item for each in lists for item in cast(list[object], each)]
    if all(isinstance(item, dict) for item in items):
        keys = {key.casefold(): key for item in items for key in cast(Row, item)}
        text = next((keys[name] for name in _TEXTS if name in keys), None)
        # A message list has texts too, but it is one response, or a dialogue.
        if text is None or not keys.keys().isdisjoint(("role", "from")):
            return None
    elif all(is_text_list(each) for each in lists) or all(map(is_message_list, items)):
        keys, text = dict[str, str](), None
    else:
        return None
    names = {name.casefold(): name for name in table.columns}
    scores = _find_values(table, column, keys, (score.casefold(),) if score else SCORES, head)
    models = _find_values(table, column, keys, _MODELS, head)
    choice = next((names[n] for n in _CHOICES if n in names), None) if scores is None else None
    has_twos = all(len(cast(list[object], each)) == 2 for each in lists)
    found = CandidateColumn(
        column,
        text,
        score=scores[0] if scores else None,
        is_rank=scores is not None and scores[0].casefold() in _RANKS,
        has_own_scores=scores is not None and scores[1],
        choice=choice,
        model=models[0] if models else None,
        has_own_models=models is not None and models[1],
        is_ordered=not (scores or choice) and column.casefold() in _ORDERED and has_twos,
    )
    return replace(found, scale=_scale(found, head))


def _find_values(
    table: Table, column: str, keys: Mapping[str, str], known: Sequence[str], head: Sequence[Row]
) -> tuple[str, bool] | None:
    """The key or the column with a value for each response, and whether it is a column."""
    key = next((keys[name] for name in known if name in keys), None)
    if key is not None:
        return key, False
    lists = (
        name
        for each in known
        for name in table.columns
        if name.casefold() == each
        and name != column
        and any(isinstance(row.get(name), list) for row in head)
    )
    beside = next(lists, None)
    return None if beside is None else (beside, True)


def _scale(column: CandidateColumn, head: Sequence[Row]) -> float | None:
    if column.score is None or column.is_rank:
        return None
    scores: list[float] = []
    for row in head:
        try:
            scores += [each.score for each in column.read(row) if each.score is not None]
        except RowError:
            continue
    return scale_of(max(scores) - min(scores)) if scores else None


def scale_of(difference: float) -> float:
    """The width of the narrowest scale in use in which that difference can be."""
    return next((float(scale) for scale in _SCALES if difference <= scale), difference)


def grouped(
    table: Table,
    prompt: Sequence[str],
    response: str,
    *,
    score: str | None,
    model: str | None,
    single: Sequence[str],
) -> Table:
    """The table with one row for each prompt and all its responses, in the order of the first ones.

    Columns in `single` have the value of the first row; the others a list of all values where the
    rows differ. Its texts are in memory: the responses to a prompt may stand anywhere.
    """
    group = partial(
        _grouped, prompt=prompt, response=response, score=score, model=model, single=single
    )
    columns = [column for column in table.columns if column not in (response, score, model)]
    return table.shaped(TableShape(group, table.columns), [*columns, _GROUPED])


_GROUPED = "responses of each prompt"


def grouped_column(table: Table, head: Sequence[Row], score: str | None) -> CandidateColumn:
    """The column of a grouped table; `score` is the one that it was grouped with."""
    found = CandidateColumn(
        _GROUPED,
        "text",
        score="score" if score else None,
        is_rank=(score or "").casefold() in _RANKS,
        model="model",
    )
    return replace(found, scale=_scale(found, head))


def _grouped(
    rows: NumberedRows,
    prompt: Sequence[str],
    response: str,
    score: str | None,
    model: str | None,
    single: Sequence[str],
) -> NumberedRows:
    groups: dict[str, tuple[int, list[Row], list[object]]] = {}
    for number, row in rows:
        if isinstance(row, RowError):
            yield number, row
            continue
        key = json.dumps([row.get(column) for column in prompt], default=str)
        item: Row = {
            "text": row.get(response),
            "score": row.get(score) if score else None,
            "model": row.get(model) if model else None,
        }
        _, group, items = groups.setdefault(key, (number, [], []))
        group.append(row)
        items.append(item)
    for number, group, items in groups.values():
        columns = dict.fromkeys(column for row in group for column in row)
        merged = {c: _merged([row.get(c) for row in group], c in single) for c in columns}
        yield number, {**merged, _GROUPED: items}


def _merged(values: list[object], is_single: bool) -> object:
    """The one value of the rows of a group, or all of them where they differ."""
    is_same = all(value == values[0] for value in values)
    return values[0] if is_same or is_single else values
