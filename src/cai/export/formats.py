"""The formats of an export: which runs can give them, and which trainers read them."""

from collections.abc import Mapping
from typing import Literal, get_args

from cai.errors import ExportError

Format = Literal["sft", "preference", "reward", "kto", "prompts", "everything"]
Columns = Literal["trl", "openrlhf", "verl"]
Method = Literal["revise", "sample", "judge", "score"]
Row = Mapping[str, object]

FORMATS: tuple[Format, ...] = get_args(Format)
COLUMNS: tuple[Columns, ...] = get_args(Columns)
PAIRED: tuple[Format, ...] = ("preference", "reward", "kto")
"""Formats made of pairs; of a run of scores, `kto` is made of single responses."""

_OF_METHOD: Mapping[Method, tuple[Format, ...]] = {
    "revise": FORMATS,
    "sample": ("sft", "prompts", "everything"),
    "judge": FORMATS,
    "score": ("sft", "kto", "everything"),
}
_OF_COLUMNS: Mapping[Columns, tuple[Format, ...]] = {
    "trl": FORMATS,
    "openrlhf": ("sft", "preference", "reward", "kto", "prompts"),
    "verl": ("sft", "prompts"),
}


def check_format(format: Format, method: Method, run: object) -> None:
    """Finds out whether a run of that method can give that format.

    Raises:
        ExportError: It cannot; the message names the run.
    """
    able = _OF_METHOD[method]
    if format not in able:
        raise ExportError(
            f"{run}: a run of `cai {method}` has no rows of the format {format!r}. It gives "
            f"{', '.join(able)}."
        )


def check_columns(format: Format, columns: Columns) -> None:
    """Finds out whether that trainer reads that format.

    Raises:
        ExportError: It does not.
    """
    able = _OF_COLUMNS[columns]
    if format not in able:
        readers = [name for name in COLUMNS if format in _OF_COLUMNS[name]]
        raise ExportError(
            f"{columns} has no columns for the format {format!r}; it reads {', '.join(able)}. Use "
            f"the columns of {' or '.join(readers)}."
        )
