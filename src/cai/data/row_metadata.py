"""What a row has beside its item: its other columns, kept as one JSON object with the item.

Example:
    metadata_of({"prompt": "Mend it?", "lang": "en", "n": None}, ["lang", "n"])  # '{"lang": "en"}'
"""

import json
from collections.abc import Sequence
from typing import cast

from cai.data.tables import Row, RowError
from cai.data.text_files import parse_json

# What `cai export` writes of a row beside its texts; its metadata is that of the row.
_OWN_COLUMNS = ("metadata", "provenance", "judging", "chosen_probability")


def metadata_of(row: Row, columns: Sequence[str]) -> str:
    """A JSON object of these columns; "" where they have no values, or none that JSON can hold."""
    values: Row = {}
    stored = row.get("metadata") if "metadata" in columns else None
    if isinstance(stored, str) and stored.startswith("{"):
        try:
            stored = parse_json(stored)
        except RowError:
            values["metadata"] = stored
    if isinstance(stored, dict):
        values |= cast(Row, stored)
    elif stored is not None and "metadata" not in values:
        values["metadata"] = stored
    for column in columns:
        value = row.get(column)
        if column not in _OWN_COLUMNS and value is not None and value not in ("", [], {}):
            values[column] = value
    if not values:
        return ""
    try:
        return json.dumps(values, ensure_ascii=True, default=_plain)
    except (ValueError, RecursionError):
        return ""


def _plain(value: object) -> object:
    # Images and other binary values of Parquet are not carried through a run; dates are, as texts.
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
