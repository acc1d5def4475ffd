"""The tags of a row: short texts in columns such as `subset` or `category`, to count results by."""

from collections.abc import Sequence
from dataclasses import dataclass

from cai.sources.columns import check_named, matching
from cai.sources.conversations import read_text
from cai.sources.tables import Row, RowError, Table

MAX_TAG_CHARACTERS = 100
_TAG_COLUMNS = (
    *("subset", "category", "source", "dataset", "task", "type", "domain"),
    *("harm_category", "risk_area", "tag", "tags"),
)


@dataclass(frozen=True, slots=True)
class TagColumns:
    """The columns whose values become tags, under the columns' names."""

    columns: tuple[str, ...] = ()
    is_named: bool = False

    def read(self, row: Row) -> dict[str, str]:
        """The tags that the row has, by column; an empty value is no tag.

        In columns that were found and not named, a value that is no short text is no tag either.

        Raises:
            RowError: A named column holds something that is no short text, number or boolean.
        """
        tags = {column: self._value(row, column) for column in self.columns}
        return {column: value for column, value in tags.items() if value}

    def _value(self, row: Row, column: str) -> str:
        value = row.get(column)
        if value is None or _is_tag(value):
            return "" if value is None else _written(value)
        if not self.is_named:
            return ""
        raise RowError(
            f"{column!r} is no tag: a text of at most {MAX_TAG_CHARACTERS} characters on one line "
            "is needed",
            "malformed",
        )


def find_tag_columns(
    table: Table, named: Sequence[str], used: Sequence[str], head: Sequence[Row]
) -> TagColumns:
    """The named columns; where none is named, those known to hold tags and nothing else at first.

    Raises:
        SourceError: A named column is not there.
    """
    if named:
        for column in named:
            check_named(table, {"--tag-column": column})
        return TagColumns(tuple(dict.fromkeys(named)), is_named=True)
    found = [column for column in matching(table.columns, _TAG_COLUMNS) if column not in used]
    return TagColumns(tuple(column for column in found if _holds_tags(column, head)))


def _holds_tags(column: str, head: Sequence[Row]) -> bool:
    filled = [row[column] for row in head if row.get(column) is not None]
    return all(isinstance(value, str) and _is_tag(value) for value in filled)


def _is_tag(value: object) -> bool:
    if isinstance(value, str):
        return len(value.strip()) <= MAX_TAG_CHARACTERS and "\n" not in value.strip()
    return isinstance(value, int | float)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return read_text(value, "tag").strip() if isinstance(value, str) else str(value)
