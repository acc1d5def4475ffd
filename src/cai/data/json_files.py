"""JSON files that are read as a whole, in the shapes that prompts are published in.

- an array of objects, or of texts;
- an object that has one list beside its other entries: `{"instructions": ["…", "…"]}`;
- an object of lists of one length, which are the columns of a table;
- categories: objects inside objects, down to lists of texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeGuard, cast

from cai.data.tables import NumberedRows, Row, RowError, Table
from cai.data.text_files import TEXT_COLUMN, decode, parse_json, read_bytes
from cai.errors import SourceError

# As Python objects a JSON file takes some ten times its size in memory.
MAX_JSON_BYTES = 512 * 2**20
_MAX_CATEGORY_DEPTH = 10


class JsonFile:
    """A file that is read as a whole when it is opened; its rows are in memory until it closes."""

    def __init__(self, path: Path) -> None:
        """Reads the file; a `SourceError` where it is not JSON, or in none of the shapes."""
        try:
            document = parse_json(decode(read_bytes(path, MAX_JSON_BYTES)))
        except RowError as error:
            raise SourceError(
                f"{path}: {error}. Fix the file; one object a line belongs in a file named .jsonl."
            ) from None
        if isinstance(document, list):
            elements, column = cast(list[object], document), TEXT_COLUMN
        elif _is_object(document):
            elements, column = _elements_of_object(document, path)
        else:
            raise _unknown_shape(path, "a single value")
        if not elements:
            raise SourceError(f"{path}: has an empty list. Give a file with at least one prompt.")
        self._path = path
        self._only_column = "" if isinstance(elements[0], dict) else column
        self._rows = [each if _is_object(each) else {column: each} for each in elements]

    def table(self) -> Table:
        """The keys of all rows as columns."""
        path, columns = self._path, tuple(dict.fromkeys(name for row in self._rows for name in row))
        reopen = partial(JsonFile, path)
        return Table(str(path), "JSON", columns, self.rows, reopen, only_column=self._only_column)

    def rows(self, columns: Sequence[str]) -> NumberedRows:
        """Whole rows, whatever the columns."""
        yield from enumerate(self._rows)

    def close(self) -> None:
        # A `Table` outlives its file, and its rows must not: they are as large as the file.
        self._rows = []


def _elements_of_object(document: Row, path: Path) -> tuple[list[object], str]:
    """The rows of a document, and the column for those that are not objects."""
    lists = {key: value for key, value in document.items() if _is_list(value) and value}
    if _is_category(document) and not lists:
        return list(_leaves(document)), TEXT_COLUMN
    # Lists beside categories could be either; a wrong guess would drop half of the prompts.
    if any(_is_category(value) for value in document.values()) or not lists:
        raise _unknown_shape(path, f"an object with the keys {_names(document)}")
    if len(lists) == 1:
        [(column, elements)] = lists.items()
        return elements, column
    if len({len(elements) for elements in lists.values()}) > 1:
        raise _unknown_shape(path, f"several lists of unequal length ({_names(lists)})")
    columns = zip(*lists.values(), strict=True)
    return [dict(zip(lists, values, strict=True)) for values in columns], TEXT_COLUMN


def _is_category(value: object, depth: int = 0) -> bool:
    """Whether it is an object whose every entry is a list or again such an object."""
    if not _is_object(value) or not value or depth > _MAX_CATEGORY_DEPTH:
        return False
    return all(_is_list(entry) or _is_category(entry, depth + 1) for entry in value.values())


def _leaves(category: Mapping[str, object]) -> Iterator[object]:
    for entry in category.values():
        if _is_list(entry):
            yield from entry
        elif _is_object(entry):
            yield from _leaves(entry)


def _is_object(value: object) -> TypeGuard[Row]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _names(entries: Mapping[str, object]) -> str:
    names = ", ".join(repr(name) for name in list(entries)[:12])
    return names if len(entries) <= 12 else f"{names}, …"


def _unknown_shape(path: Path, content: str) -> SourceError:
    return SourceError(
        f"{path}: has {content}. Prompts are read from an array, an object with one list, "
        "or categories down to lists of texts; bring it to one of these."
    )
