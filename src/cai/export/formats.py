"""The formats of an export, and which runs can give them.

Example:
    check_format("kto", "score", "runs/scored")     # a run of scores gives `kto`
"""

from collections.abc import Mapping
from typing import Literal, get_args

from cai.errors import ExportError

Format = Literal["sft", "preference", "reward", "kto", "prompts", "everything"]
Method = Literal["revise", "sample", "judge", "score"]
Row = Mapping[str, object]

FORMATS: tuple[Format, ...] = get_args(Format)
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
# Formats made of pairs; of a run of scores, `kto` is made of single responses.
PAIRED: tuple[Format, ...] = ("preference", "reward", "kto")

_HAVE_PAIRS: tuple[Method, ...] = ("judge", "revise")
# The order is a preference, for a recipe that names no step: a judged run says more than a revised
# one, whose revision is only taken to be the better response.
METHODS_OF: Mapping[Format, tuple[Method, ...]] = {
    "sft": ("revise", "judge", "sample", "score"),
    "preference": (*_HAVE_PAIRS, "score"),
    "reward": (*_HAVE_PAIRS, "score"),
    "kto": ("judge", "revise", "score"),
    "prompts": ("revise", "sample", "judge"),
    "everything": ("judge", "score", "revise", "sample"),
}
"""The methods whose runs give each format, the preferred first."""


def check_format(format: Format, method: Method, run: object) -> None:
    """Checks that a run of that method can give that format.

    Raises:
        ExportError: It cannot; the message names the run.
    """
    possible = [each for each in FORMATS if method in METHODS_OF[each]]
    if format not in possible:
        raise ExportError(
            f"{run}: a run of `cai {method}` has no rows of the format {format!r}. It gives "
            f"{', '.join(possible)}."
        )


def check_balance(format: Format, method: Method, run: object) -> None:
    """Checks that a run of that method gives the format pairs, whose lengths can be balanced.

    Raises:
        ExportError: It has not; the message names the run.
    """
    if method not in _HAVE_PAIRS and (format == "kto" or method not in METHODS_OF[format]):
        raise ExportError(
            f"{run}: `cai {method}` gives no pairs whose lengths could be balanced. Leave the "
            "balance out."
        )
