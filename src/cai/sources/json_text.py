"""JSON, strictly: what the standard parser lets pass and a data set must not hold is an error."""

import json
from typing import cast

from cai.sources.tables import Row, RowError


def parse_json(text: str) -> object:
    """The value.

    Raises:
        RowError: It is not JSON, names a key twice in one object, or is nested too deeply.
    """
    try:
        return cast(object, json.loads(text, object_pairs_hook=_object))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column" if error.lineno > 1 else "column"
        message = error.msg.removesuffix(" at")
        raise RowError(f"is not JSON: {message} at {where} {error.colno}") from None
    except RecursionError:
        raise RowError("is nested too deeply to be a prompt") from None
    except ValueError as error:
        raise RowError(f"is not JSON that can be read: {error}") from None


def _object(pairs: list[tuple[str, object]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise RowError(f"names the key {key!r:.100} twice in one object")
            seen.add(key)
    return row
