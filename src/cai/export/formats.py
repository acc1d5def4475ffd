"""The formats of an export: which runs can give them, and which trainers read them.

Example:
    check_format("kto", "score", "runs/scored")     # a run of scores gives `kto`
    check_columns("kto", "verl")                    # ExportError: verl does not read `kto`
"""

from collections.abc import Mapping
from typing import Literal, get_args

from cai.errors import ExportError

Format = Literal["sft", "preference", "reward", "kto", "prompts", "everything"]
Columns = Literal["trl", "openrlhf", "verl"]
Method = Literal["revise", "sample", "judge", "score"]
Row = Mapping[str, object]

FORMATS: tuple[Format, ...] = get_args(Format)
COLUMNS: tuple[Columns, ...] = get_args(Columns)
# Formats made of pairs; of a run of scores, `kto` is made of single responses.
PAIRED: tuple[Format, ...] = ("preference", "reward", "kto")

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
    """Checks that a run of that method can give that format.

    Raises:
        ExportError: It cannot; the message names the run.
    """
    possible = _OF_METHOD[method]
    if format not in possible:
        raise ExportError(
            f"{run}: a run of `cai {method}` has no rows of the format {format!r}. It gives "
            f"{', '.join(possible)}."
        )


def check_columns(format: Format, columns: Columns) -> None:
    """Checks that the trainer of those columns reads that format.

    Raises:
        ExportError: It does not.
    """
    possible = _OF_COLUMNS[columns]
    if format not in possible:
        readers = [name for name in COLUMNS if format in _OF_COLUMNS[name]]
        raise ExportError(
            f"{columns} has no columns for the format {format!r}; it reads {', '.join(possible)}. "
            f"Use the columns of {' or '.join(readers)}."
        )
