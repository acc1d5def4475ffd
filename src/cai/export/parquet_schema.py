"""Rows as Parquet and as a data set, with columns derived from the types of the rows.

No list of columns is written by hand: a field that is added to a record or to a row's type is a
column of the next export.

Example:
    >>> arrow_type(tuple[float, float] | None)
    ListType(list<item: double>)
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyarrow has no types: what is unknown stays in this file

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import islice
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeAlias,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from cai.engine.run_files import Failure
from cai.errors import ExportError
from cai.export.export import Export
from cai.export.formats import Row
from cai.export.provenance import BODY_COLUMNS, RowProvenance
from cai.methods.settings import StepSettings

if TYPE_CHECKING:
    from datasets import Dataset

_SCALARS = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}

# The keys that a value may have at each depth, through lists; None for a value without keys.
_Keys: TypeAlias = "Mapping[str, _Keys] | None"

_ROWS_PER_GROUP = 1024


def write_parquet(rows: Iterator[Row], export: Export, path: Path) -> None:
    """Writes the rows in row groups; conversations are lists of {role, content}.

    Raises:
        ExportError: A row has a key that its type does not declare.
    """
    # Types come from the annotations and not from the values, so that a file whose first rows have
    # only nulls has the same schema as any other.
    schema = schema_of(export)
    with pq.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, _ROWS_PER_GROUP)):
            writer.write_table(as_table(group, schema))


def as_dataset(rows: list[Row], export: Export) -> "Dataset":
    """The rows in memory, in the columns of their format. Raises as `write_parquet`."""
    from datasets import Dataset  # heavy

    return Dataset(as_table(rows, schema_of(export)))


def as_table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """The rows with the types of the schema; missing keys are null.

    Raises:
        ExportError: A row has a key that the schema lacks.
    """
    # pyarrow would drop such a key without an error, and with it a field that somebody added.
    known = {field.name: _keys(field.type) for field in schema}
    for row in rows:
        for key in _unknown_keys(row, known):
            raise ExportError(
                f"row {row.get('id')!r}: no column is declared for {key!r}. Add it to the type of "
                "the row, in cai/export/trainers or where the record is defined."
            )
    # Metadata has whatever the source had: as JSON, the column has one type.
    texts = [
        {**row, "metadata": json.dumps(row["metadata"])} if row.get("metadata") else row
        for row in rows
    ]
    return pa.Table.from_pylist(texts, schema=schema)


def schema_of(export: Export) -> pa.Schema:
    """The columns of every file of that export."""
    if export.format == "everything":
        bodies = dict(BODY_COLUMNS[method] for method in export.methods)
        columns = {"id": str, "error": Failure, **bodies, "provenance": RowProvenance}
    else:
        row = export.trainer.row_types[export.format]
        columns = {**_annotations(row), "id": str, "metadata": str, "provenance": RowProvenance}
    return pa.schema({name: arrow_type(annotation) for name, annotation in columns.items()})


def arrow_type(annotation: object) -> pa.DataType:
    """The column type of a Python type; every column may be null, so `X | None` is like `X`.

    A sequence becomes a list; a dataclass, pydantic model or TypedDict a struct of its fields; a
    mapping of literal keys a struct of those; another mapping a list of {name, value}.
    `Annotated[dict[str, Any], Kind]` is for the `asdict` of a `Kind`.

    Raises:
        TypeError: No column type corresponds to it.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and annotation in _SCALARS:
        return _SCALARS[annotation]
    if origin is Annotated:
        return arrow_type(
            next((kind for kind in arguments[1:] if isinstance(kind, type)), arguments[0])
        )
    if origin in (Union, UnionType):
        kinds = [kind for kind in arguments if kind is not NoneType]
        if len(kinds) == 1:
            return arrow_type(kinds[0])
    if origin is Literal:
        (kind,) = {type(value) for value in arguments}
        return _SCALARS[kind]
    if origin in (tuple, list, Sequence):
        (kind,) = dict.fromkeys(each for each in arguments if each is not ...)
        return pa.list_(arrow_type(kind))
    if origin in (dict, Mapping):
        key, value = arguments
        if get_origin(key) is Literal:
            return pa.struct({name: arrow_type(value) for name in get_args(key)})
        return pa.list_(pa.struct({"name": arrow_type(key), "value": arrow_type(value)}))
    if isinstance(annotation, type) and (columns := _annotations(annotation)):
        return pa.struct({name: arrow_type(kind) for name, kind in columns.items()})
    raise TypeError(f"{annotation!r} has no column type.")


def _annotations(kind: type) -> dict[str, Any]:
    """The fields of a record's type in their order, those of base classes first."""
    if is_typeddict(kind):
        return get_type_hints(kind, include_extras=True)
    if issubclass(kind, BaseModel):
        # Settings of a role are in the provenance's `roles` already.
        left_out = kind.role_fields() if issubclass(kind, StepSettings) else ()
        items = kind.model_fields.items()
        return {name: field.annotation for name, field in items if name not in left_out}
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)} if is_dataclass(kind) else {}


def _keys(kind: pa.DataType) -> _Keys:
    while pa.types.is_list(kind):
        kind = kind.value_type
    return {field.name: _keys(field.type) for field in kind} if pa.types.is_struct(kind) else None


def _unknown_keys(value: object, known: _Keys, place: str = "") -> Iterator[str]:
    """The paths of keys that are not known, such as "judging.outcome"."""
    if known is None:
        return
    if isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, object]", value).items():
            where = f"{place}.{key}" if place else key
            if key not in known:
                yield where
            elif inner is not None and known[key] is not None:
                yield from _unknown_keys(inner, known[key], where)
    elif isinstance(value, list | tuple):
        for inner in cast("Sequence[object]", value):
            yield from _unknown_keys(inner, known, place)
