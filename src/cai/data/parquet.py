"""Parquet files and hub data sets, streamed, with only the columns that are needed.

The libraries are imported where they are used: no other source pays for them. Neither ships types,
so that what each gives is cast once, where it is called.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol, TypeVar, cast

from cai.data.tables import NumberedRows, Row, Table
from cai.errors import SourceError

_Item = TypeVar("_Item")

HUB_PREFIX = "hub:"
_ROWS_AT_ONCE = 256
# What pyarrow, datasets and the network below it raise on a source that is wrong or out of reach;
# their own errors are, but for a few, subclasses of these.
_FAILURES = (OSError, ValueError, RuntimeError, NotImplementedError, OverflowError)
_HUB_SPEC = re.compile(
    r"hub:(?P<name>[\w.-]+(?:/[\w.-]+)?)(?::(?P<config>[^@:]+))?(?:@(?P<split>[\w.-]+))?"
)


class _Batch(Protocol):
    def to_pylist(self) -> list[Row]: ...


class _Schema(Protocol):
    names: list[str]


class _ParquetFile(Protocol):
    schema_arrow: _Schema

    def iter_batches(self, batch_size: int, *, columns: list[str]) -> Iterator[_Batch]: ...

    def close(self) -> None: ...


class _Stream(Protocol):
    column_names: list[str] | None

    def select_columns(self, column_names: list[str]) -> "_Stream": ...

    def __iter__(self) -> Iterator[Row]: ...


def open_parquet(path: Path) -> Table:
    """The file's rows, a few hundred in memory at a time.

    Raises:
        SourceError: It is not Parquet, is damaged, or names a column twice.
    """
    with closing(_open_parquet_file(path)) as file:
        columns = tuple(file.schema_arrow.names)
    if len(set(columns)) < len(columns):
        raise SourceError(
            f"{path}: names a column twice ({', '.join(columns)}). Write it with distinct names."
        )

    def rows(columns: Sequence[str]) -> NumberedRows:
        with closing(_open_parquet_file(path)) as file:
            batches = file.iter_batches(_ROWS_AT_ONCE, columns=list(columns))
            values = (row for batch in batches for row in batch.to_pylist())
            yield from enumerate(_guarded(str(path), values))

    return Table(str(path), "Parquet", columns, rows)


def _open_parquet_file(path: Path) -> _ParquetFile:
    import pyarrow.parquet as parquet

    try:
        return cast(_ParquetFile, cast(object, parquet.ParquetFile(path)))
    except _FAILURES as error:
        raise _unreadable(str(path), error) from error


def open_hub(source: str) -> Table:
    """The rows of `hub:owner/name[:config][@split]`, streamed.

    Raises:
        SourceError: The spec cannot be read, the data set cannot be reached, or it has several
            splits and none is named.
    """
    spec = _HUB_SPEC.fullmatch(source)
    if spec is None:
        raise SourceError(
            f"{source}: is not a hub data set. Write hub:owner/name, with :config and @split "
            "behind it where they are needed."
        )
    splits = _hub_splits(source, spec["name"], spec["config"])
    split = spec["split"] or (next(iter(splits)) if len(splits) == 1 else "")
    if split not in splits:
        found = f"has no split {split!r}" if split else "has several splits"
        bare = source.partition("@")[0]
        raise SourceError(
            f"{source}: {found}. Name one of: {', '.join(f'{bare}@{name}' for name in splits)}."
        )
    return _stream_table(f"{source.partition('@')[0]}@{split}", splits[split])


def _hub_splits(source: str, name: str, config: str | None) -> Mapping[str, _Stream]:
    import datasets
    from datasets.exceptions import DatasetsError

    load = cast(Callable[..., Mapping[str, _Stream]], datasets.load_dataset)
    try:
        return load(name, config, streaming=True)
    except (*_FAILURES, DatasetsError) as error:
        raise _unreadable(source, error) from error


def _stream_table(name: str, stream: _Stream) -> Table:
    columns = stream.column_names
    if columns is None:
        first = next(_guarded(name, stream), Row())
        columns = list(first)

    def rows(columns: Sequence[str]) -> NumberedRows:
        selected = stream.select_columns(list(columns))
        return enumerate(_guarded(name, selected))

    return Table(name, "hub data set", tuple(columns), rows)


def _guarded(name: str, items: Iterable[_Item]) -> Iterator[_Item]:
    """The same items; a failure among them is told as one of the source."""
    try:
        yield from items
    except _FAILURES as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> SourceError:
    reason = " ".join(str(error).split())[:300].removesuffix(".")
    advice = (
        "Check the name, the network and, for a gated data set, HF_TOKEN."
        if name.startswith(HUB_PREFIX)
        else "Check the file, or fetch it again."
    )
    return SourceError(f"{name}: cannot be read: {reason}. {advice}")
