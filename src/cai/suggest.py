"""The names that a misspelt one was probably meant to be, for error messages."""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 100


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "", n: int = 1) -> str:
    """A question with up to `n` of the known names; `otherwise` where none is close to `name`.

    Example:
        raise UsageError(f"no column {name!r}. {did_you_mean(name, columns, 'Name one of them.')}")
    """
    if len(name) > _LONGEST:  # comparing takes a time that grows with its square
        return otherwise
    close = [match for match in get_close_matches(name, list(known), n) if match != name]
    return f"Did you mean {' or '.join(map(repr, close))}?" if close else otherwise
