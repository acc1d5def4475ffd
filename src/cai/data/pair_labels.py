"""Labels of pairs as people write them: words, numbers, and how confident they are.

Words are A, B, a tie, and the names of the two columns. As numbers, 1 is the first and 2 the second
response and 0 a tie; a number between 1 and 2 is one more than the probability that the second is
better, as in AlpacaEval (Dubois et al. 2023, arXiv:2305.14387). Where the columns count from 0, so
do the labels. A file whose labels are 0 and 1 but never 2 is ambiguous, and the user has to decide.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cai.data.tables import Row, RowError, Table
from cai.errors import SourceError, UsageError

Label = Literal["a", "b", "tie"]

_WORDS: dict[str, Label] = {
    **dict.fromkeys(("a", "model_a", "a>b", "b<a"), "a"),
    **dict.fromkeys(("b", "model_b", "b>a", "a<b"), "b"),
    **dict.fromkeys(("tie", "a=b", "b=a", "tie (bothbad)", "both_bad"), "tie"),
}


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """A column of labels, and how they are read."""

    column: str
    words: Mapping[str, Label]
    has_numbers: bool = True  # False where the user has given the values
    is_from_zero: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def read(self, row: Row) -> tuple[Label | None, float]:
        """The label, None if the row has none, and its confidence in [0.5, 1].

        Raises:
            RowError: The value is not a label.
        """
        value = row.get(self.column)
        word = _word(value)
        if word == "":
            return None, 1.0
        if word in self.words:
            return self.words[word], 1.0
        number = number_of(value) if self.has_numbers else None
        shifted = None if number is None else number - (0 if self.is_from_zero else 1)
        if shifted == -1 and not self.is_from_zero:
            return "tie", 1.0
        if shifted is None or not 0 <= shifted <= 1:
            words = ", ".join(dict.fromkeys(self.words))
            numbers = ", 0 or 1" if self.is_from_zero else ", 1, 2 or 0"
            raise RowError(
                f"{self.column!r} is {value!r:.60}, and one of {words}"
                f"{numbers if self.has_numbers else ''} is needed",
                "wrong label",
            )
        if shifted == 0.5:
            return "tie", 1.0
        return ("b", shifted) if shifted > 0.5 else ("a", 1 - shifted)

    def check_numbers(self, table: Table, rows: Iterable[Row]) -> None:
        """Checks that the numbers in these rows have one meaning only.

        Raises:
            SourceError: 0 may be the first response or a tie, or the labels and the columns do not
                count from the same number.
        """
        if not self.has_numbers:
            return
        numbers = {
            number
            for row in rows
            if _word(row.get(self.column)) not in self.words
            and (number := number_of(row.get(self.column))) is not None
        }
        if not self.is_from_zero and 0 in numbers and max(numbers) <= 1:
            raise SourceError(
                f"{table.name}: the labels in {self.column!r} are 0 and 1, never 2: 0 could be the "
                "first response or a tie. Pass --label-values 0,1 if it is the first, or "
                "--label-values 1,2,0 if it is a tie, or write them as a, b and tie."
            )
        if self.is_from_zero and numbers and max(numbers) > 1:
            raise SourceError(
                f"{table.name}: the labels in {self.column!r} go up to {max(numbers):g}, and the "
                "columns count from 0. Pass --label-values 1,2 if 1 is the first response, or "
                "write the labels as a and b."
            )


def label_column(column: str, sides: tuple[str, str], values: Sequence[str] | None) -> LabelColumn:
    """How the labels in that column are read; `values` are those for A, B and, if any, a tie.

    Raises:
        UsageError: There are not two or three different values.
    """
    if values is not None:
        codes = [_word(value) for value in values]
        if len(codes) not in (2, 3) or len(set(codes)) < len(codes) or "" in codes:
            raise UsageError(
                f"--label-values: {','.join(values)!r} is not two or three different values. Give "
                "those for A, for B and, if there is one, for a tie: --label-values 1,2,0"
            )
        sides_and_tie: tuple[Label, ...] = ("a", "b", "tie")
        words: dict[str, Label] = {"tie": "tie", **dict(zip(codes, sides_and_tie, strict=False))}
        return LabelColumn(column, words, has_numbers=False)
    # A label may also be the name of the better one's column, such as "output_2".
    first, second = (side.casefold() for side in sides)
    named: dict[str, Label] = {**_WORDS, first: "a", second: "b"}
    return LabelColumn(column, named, is_from_zero=(first[-1:], second[-1:]) == ("0", "1"))


def _word(value: object) -> str:
    """A value as it is looked up; "" for null."""
    if value is None:
        return ""
    # So that 1, 1.0 and "1" are one label: CSV gives texts, JSON either kind of number.
    number = number_of(value)
    return str(value).strip().casefold() if number is None else f"{number:.17g}"


def number_of(value: object) -> float | None:
    """A finite number, also one written as text; None for anything else and for booleans."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True, slots=True)
class OneHotColumns:
    """A column for each outcome, of which one is true, as in Chatbot Arena's `winner_model_a`."""

    columns: tuple[str, ...]  # for A, for B and, where there is one, for a tie

    @property
    def column(self) -> str:
        return "', '".join(self.columns)

    def read(self, row: Row) -> tuple[Label | None, float]:
        """The label, None if no column has a value, and 1.

        Raises:
            RowError: Not exactly one of the columns is true.
        """
        values = [_word(row.get(column)) for column in self.columns]
        if not any(values):
            return None, 1.0
        labels: tuple[Label, ...] = ("a", "b", "tie")
        chosen: list[Label] = [
            label for label, value in zip(labels, values, strict=False) if value in _TRUE
        ]
        if len(chosen) != 1 or not set(values) <= {*_TRUE, *_FALSE}:
            raise RowError(
                f"{', '.join(map(repr, self.columns))} are {', '.join(map(repr, values)):.60}, and "
                "exactly one of them must be true",
                "wrong label",
            )
        return chosen[0], 1.0

    def check_numbers(self, table: Table, rows: Iterable[Row]) -> None:
        """Nothing: the columns say which outcome is meant."""


_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no", "")


@dataclass(frozen=True, slots=True)
class SignedColumn:
    """A column from −n to n: below 0 the first response is better, above 0 the second.

    HelpSteer3: Wang et al. 2025, arXiv:2505.11475.
    """

    column: str
    scale: float  # n

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def read(self, row: Row) -> tuple[Label | None, float]:
        """The label, None if the row has none, and its confidence: 1 at the ends of the scale.

        Raises:
            RowError: The value is not a number of the scale.
        """
        return _label_of_difference(row.get(self.column), self.column, self.scale)

    def check_numbers(self, table: Table, rows: Iterable[Row]) -> None:
        """Nothing: a sign is not ambiguous."""


@dataclass(frozen=True, slots=True)
class ScoreColumns:
    """A column with the score of each response; the higher one is better."""

    columns: tuple[str, ...]  # of the first and of the second response
    scale: float  # the width of the scale

    @property
    def column(self) -> str:
        return "', '".join(self.columns)

    def read(self, row: Row) -> tuple[Label | None, float]:
        """The label, None if a score is missing, and its confidence: 1 over the whole scale.

        Raises:
            RowError: A score is not a number.
        """
        values = [row.get(column) for column in self.columns]
        if any(_word(value) == "" for value in values):
            return None, 1.0
        first, second = (number_of(value) for value in values)
        if first is None or second is None:
            raise RowError(
                f"{self.column!r} are {values!r:.60}, and numbers are needed", "wrong label"
            )
        return _label_of_difference(second - first, self.column, self.scale)

    def check_numbers(self, table: Table, rows: Iterable[Row]) -> None:
        """Nothing: scores are not ambiguous."""


def _label_of_difference(value: object, column: str, scale: float) -> tuple[Label | None, float]:
    if _word(value) == "":
        return None, 1.0
    number = number_of(value)
    if number is None or abs(number) > scale:
        raise RowError(
            f"{column!r} is {value!r:.60}, and a number from {-scale:g} to {scale:g} is needed",
            "wrong label",
        )
    if number == 0:
        return "tie", 1.0
    label: Label = "b" if number > 0 else "a"
    return label, 0.5 + abs(number) / scale / 2


Labels: TypeAlias = LabelColumn | OneHotColumns | SignedColumn | ScoreColumns


@dataclass(frozen=True, slots=True)
class ConfidenceColumn:
    """A column with the confidence of the labels."""

    column: str
    least: float = 0.5  # or 0, where it has the probability that the `chosen` response is better

    def read(self, row: Row) -> float | None:
        """A number from `least` to 1; None where the row has none.

        Raises:
            RowError: The value is not such a number.
        """
        value = row.get(self.column)
        if _word(value) == "":
            return None
        if not is_confidence(value, self.least):
            raise RowError(
                f"{self.column!r} is {value!r:.60}, and a number from {self.least:g} to 1 is "
                "needed",
                "wrong label",
            )
        return float(str(value))


def is_confidence(value: object, least: float = 0.5) -> bool:
    """Whether it is a number from `least` to 1."""
    number = number_of(value)
    return number is not None and least <= number <= 1
