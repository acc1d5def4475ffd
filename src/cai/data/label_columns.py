"""Which columns hold the labels and the confidence of a pair: named, or detected by known names.

Labels are words in one column, a true column for each outcome, a number on a scale whose negative
half is for the first response, or a score for each response. How each is read is in `pair_labels`.

Example:
    find_label(table, PairOptions(label_column="winner"), "sides", ("a", "b"), head)
"""

import re
from collections.abc import Sequence

from cai.data.candidates import scale_of
from cai.data.columns import (
    both_columns,
    matching,
    only_one,
)
from cai.data.pair_labels import (
    ConfidenceColumn,
    Labels,
    OneHotColumns,
    ScoreColumns,
    SignedColumn,
    is_confidence,
    label_column,
    number_of,
)
from cai.data.pair_options import Layout, PairOptions
from cai.data.tables import Row, Table
from cai.errors import UsageError

_LABELS = (
    *("label", "preference", "preferred", "preferred_text", "preferred_response", "winner"),
    "better_response_id",
)
# Columns of one label together: one true column for each outcome; a scale on which values below
# 0 are for the first response; a score for each response.
_ONE_HOT = (
    ("winner_model_a", "winner_model_b", "winner_tie"),
    ("winner_model_a", "winner_model_b"),
    ("winner_a", "winner_b", "winner_tie"),
    ("winner_a", "winner_b", "tie"),
    ("a_wins", "b_wins", "tie"),
    ("prefer_a", "prefer_b", "prefer_tie"),
)
_SIGNED = ("overall_preference", "preference_strength", "preference")
_SCORE_STEMS = ("score", "scores", "rating", "reward", "overall_score")
# In SHP 1 is the first response and 0 the second (Ethayarajh et al. 2022, arXiv:2110.08420).
_SHP_LABELS, _SHP_VALUES = ("labels", "label"), ("1", "0")
# These two names are unambiguous; the others count only where the first rows hold probabilities.
_PROBABILITY, _CONFIDENCE = "chosen_probability", "label_confidence"
_CONFIDENCES = ("confidence", "agreement")


def find_label(
    table: Table,
    options: PairOptions,
    layout: Layout,
    sides: tuple[str, str],
    head: Sequence[Row],
) -> Labels | None:
    if layout != "sides":
        if options.label_column is not None or options.label_values is not None:
            raise UsageError(
                f"--label-column: the columns {sides[0]!r} and {sides[1]!r} of {table.name} rank "
                "the responses. Leave the label out, or name A and B: --a-column and --b-column."
            )
        return _find_scores(table, sides, head) if layout == "ranked" else None
    column, values = options.label_column, options.label_values
    if column is None and values is None:
        several = _several_columns(table, sides, head)
        if several is not None:
            return several
        if sides[0].casefold() == "human_ref_a" and (known := matching(table.columns, _SHP_LABELS)):
            column, values = known[0], _SHP_VALUES
    column = column or only_one(table, table.columns, _LABELS, "--label-column", "label")
    if column is None:
        if values is not None:
            raise UsageError(
                f"--label-values: no column of {table.name} is known to hold labels. "
                "Name it with --label-column."
            )
        return None
    label = label_column(column, sides, values)
    label.check_numbers(table, head)
    return label


def _several_columns(table: Table, sides: tuple[str, str], head: Sequence[Row]) -> Labels | None:
    """Labels in one-hot columns, or on a signed scale, or as a score for each response."""
    for names in _ONE_HOT:
        found = [next(iter(matching(table.columns, [name])), None) for name in names]
        if all(found):
            return OneHotColumns(tuple(filter(None, found)))
    for column in matching(table.columns, _SIGNED):
        numbers = [n for row in head if (n := number_of(row.get(column))) is not None]
        if numbers and (min(numbers) < 0 or column.casefold() != "preference"):
            return _signed(column, numbers)
    return None if matching(table.columns, _LABELS) else _find_scores(table, sides, head)


def _signed(column: str, numbers: Sequence[float]) -> SignedColumn:
    # HelpSteer's preferences go to 3, whether or not the first rows do.
    least = 3.0 if column.casefold() in _SIGNED[:2] else 1.0
    return SignedColumn(column, scale_of(max(least, *map(abs, numbers))))


def _find_scores(table: Table, sides: tuple[str, str], head: Sequence[Row]) -> ScoreColumns | None:
    """Columns such as `score_chosen` and `score_rejected`, or `score_0` and `score_1`."""
    endings = [_ending(sides[0]), _ending(sides[1])]
    for stem in _SCORE_STEMS:
        for pattern in ("{stem}_{end}", "{stem}{end}", "{end}_{stem}"):
            names = (pattern.format(stem=stem, end=end) for end in endings)
            pair = both_columns(table, (next(names), next(names)))
            if pair is None:
                continue
            values = (number_of(row.get(name)) for row in head for name in pair)
            numbers = [number for number in values if number is not None]
            if numbers:
                return ScoreColumns(pair, scale_of(max(numbers) - min(numbers)))
    return None


def _ending(side: str) -> str:
    """What tells the column of one side from that of the other: chosen, rejected, a, b, 0, j."""
    name = side.casefold()
    letter = re.search(r"(?:_([a-z])|_?(\d))\Z", name)
    return letter[1] or letter[2] if letter else name.partition("_")[0]


def find_confidence(table: Table, layout: Layout, head: Sequence[Row]) -> ConfidenceColumn | None:
    if layout != "sides" and (named := matching(table.columns, [_PROBABILITY])):
        return ConfidenceColumn(named[0], least=0.0)
    if named := matching(table.columns, [_CONFIDENCE]):
        return ConfidenceColumn(named[0])
    for column in matching(table.columns, _CONFIDENCES):
        filled = [row[column] for row in head if row.get(column) not in (None, "")]
        if filled and all(is_confidence(value) for value in filled):
            return ConfidenceColumn(column)
    return None
