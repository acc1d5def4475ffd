"""Columns come from the types of the rows, and no key is lost on the way to a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import pyarrow as pa
import pytest
from pydantic import BaseModel

from cai.errors import ExportError
from cai.export.parquet_schema import arrow_type, as_table


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    label: Literal["a", "b"] | None


class Base(BaseModel):
    name: str


class Model(Base):
    points: tuple[Point, ...] = ()


class Typed(TypedDict):
    point: Annotated[dict[str, Any] | None, Point]


POINT = pa.struct({"x": pa.float64(), "label": pa.string()})


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, pa.string()),
        (bool | None, pa.bool_()),
        (int, pa.int64()),
        (Literal["a", "b"], pa.string()),
        (tuple[float, float] | None, pa.list_(pa.float64())),
        (Sequence[list[str]], pa.list_(pa.list_(pa.string()))),
        (Point, POINT),
        (Model, pa.struct({"name": pa.string(), "points": pa.list_(POINT)})),
        (Typed, pa.struct({"point": POINT})),
        (Mapping[str, int], pa.list_(pa.struct({"name": pa.string(), "value": pa.int64()}))),
        (dict[Literal["u", "v"], int], pa.struct({"u": pa.int64(), "v": pa.int64()})),
    ],
)
def test_a_type_is_a_column(annotation: object, expected: pa.DataType):
    assert arrow_type(annotation) == expected


@pytest.mark.parametrize("annotation", [object, str | int, bytes])
def test_a_type_without_a_column_is_an_error(annotation: object):
    with pytest.raises(TypeError, match="has no column type"):
        arrow_type(annotation)


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ({"id": "1", "extra": 1}, "extra"),
        ({"id": "1", "points": [{"x": 1.0}, {"x": 1.0, "y": 2.0}]}, "points.y"),
    ],
)
def test_a_key_without_a_column_is_an_error_at_any_depth(row: dict[str, object], place: str):
    schema = pa.schema({"id": pa.string(), "points": pa.list_(POINT)})
    with pytest.raises(ExportError, match=f"row '1': no column is declared for '{place}'"):
        as_table([{"id": "0"}, row], schema)


def test_a_missing_key_is_null():
    table = as_table([{"id": "0"}], pa.schema({"id": pa.string(), "point": POINT}))
    assert table.to_pylist() == [{"id": "0", "point": None}]
