"""Parquet files and hub data sets, streamed, with only the columns that are needed."""

# The libraries are imported where they are used: no other source pays for them. Neither ships
# types, so what each gives is cast once, where it is called, to the protocols below.

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar, cast

from cai.data.tables import NumberedRows, Row, Table
from cai.errors import SourceError

_Item = TypeVar("_Item")

HUB_PREFIX = "hub:"
_ROWS_PER_BATCH = 256
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


class ParquetTable:
    """A Parquet file; a few hundred of its rows are in memory at a time."""

    def __init__(self, path: Path) -> None:
        """Opens the file; a `SourceError` where it is not Parquet, or cannot be read."""
        import pyarrow.parquet as parquet

        self._path = path
        try:
            self._file = cast(_ParquetFile, cast(object, parquet.ParquetFile(path)))
        except _FAILURES as error:
            raise _unreadable(str(path), error) from error
        self.close = self._file.close

    def table(self) -> Table:
        """The columns of the footer.

        Raises:
            SourceError: A column is named twice.
        """
        path, columns = self._path, tuple(self._file.schema_arrow.names)
        if len(set(columns)) < len(columns):
            raise SourceError(
                f"{path}: names a column twice ({', '.join(columns)}). Write it with distinct "
                "names."
            )
        return Table(str(path), "Parquet", columns, self.rows, partial(ParquetTable, path))

    def rows(self, columns: Sequence[str]) -> NumberedRows:
        """Those columns alone: the others are not even decoded."""
        batches = self._file.iter_batches(_ROWS_PER_BATCH, columns=list(columns))
        values = (row for batch in batches for row in batch.to_pylist())
        return enumerate(_guarded(str(self._path), values))


class SavedDataset:
    """A folder that `datasets.save_to_disk` wrote, or one .arrow file; mapped into memory."""

    def __init__(self, path: Path) -> None:
        """Opens the data set.

        Raises:
            SourceError: It cannot be read, or has several splits, each of which is a folder.
        """
        import datasets
        from datasets.exceptions import DatasetsError

        self._path = path
        try:
            if path.is_dir():
                load = cast(Callable[[str], object], datasets.load_from_disk)
                loaded = load(str(path))
            else:
                read = cast(Callable[[str], object], datasets.Dataset.from_file)
                loaded = read(str(path))
        except (*_FAILURES, DatasetsError) as error:
            raise _unreadable(str(path), error) from error
        if isinstance(loaded, dict):
            splits = cast(dict[str, _Stream], loaded)
            if len(splits) != 1:
                folders = ", ".join(f"{path}/{name}" for name in splits)
                raise SourceError(f"{path}: has several splits. Name one of: {folders}.")
            loaded = next(iter(splits.values()))
        self._rows = cast(_Stream, loaded)

    def table(self) -> Table:
        """The columns of the data set."""
        columns = tuple(self._rows.column_names or ())
        reopen = partial(SavedDataset, self._path)
        return Table(str(self._path), "saved data set", columns, self.rows, reopen)

    def rows(self, columns: Sequence[str]) -> NumberedRows:
        """Those columns alone."""
        return enumerate(_guarded(str(self._path), self._rows.select_columns(list(columns))))

    def close(self) -> None:
        """Nothing stays open: the files are mapped into memory."""


class HubDataset:
    """The rows of `hub:owner/name[:config][@split]`, streamed anew each time they are read."""

    def __init__(self, source: str) -> None:
        """Requests the data set's splits from the hub.

        Raises:
            SourceError: The spec cannot be read, the data set cannot be reached, or it has several
                splits and none is named.
        """
        spec = _HUB_SPEC.fullmatch(source)
        if spec is None:
            raise SourceError(
                f"{source}: is not a hub data set. Write hub:owner/name, followed by :config and "
                "@split where they are needed."
            )
        import datasets
        from datasets.exceptions import DatasetsError

        load = cast(Callable[..., Mapping[str, _Stream]], datasets.load_dataset)
        try:
            splits = load(spec["name"], spec["config"], streaming=True)
        except (*_FAILURES, DatasetsError) as error:
            raise _unreadable(source, error) from error
        split = spec["split"] or (next(iter(splits)) if len(splits) == 1 else "")
        bare = source.partition("@")[0]
        if split not in splits:
            fault = f"has no split {split!r}" if split else "has several splits"
            raise SourceError(
                f"{source}: {fault}. Name one of: {', '.join(f'{bare}@{name}' for name in splits)}."
            )
        self._name = f"{bare}@{split}"
        self._stream = splits[split]

    def table(self) -> Table:
        """The columns that the data set names, or else those of its first row."""
        columns = self._stream.column_names
        if columns is None:
            columns = list(next(_guarded(self._name, self._stream), Row()))
        # Opened again, it is the same stream, which saves another request to the hub.
        return Table(self._name, "hub data set", tuple(columns), self.rows, lambda: self)

    def rows(self, columns: Sequence[str]) -> NumberedRows:
        """Those columns alone."""
        return enumerate(_guarded(self._name, self._stream.select_columns(list(columns))))

    def close(self) -> None:
        """Nothing is open between two reads."""


def _guarded(name: str, items: Iterable[_Item]) -> Iterator[_Item]:
    """The same items; a failure while reading them is raised as a `SourceError`."""
    try:
        yield from items
    except _FAILURES as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> SourceError:
    reason = " ".join(str(error).split())[:300].removesuffix(".")
    advice = (
        "Check the name, the network and, for a gated data set, HF_TOKEN."
        if name.startswith(HUB_PREFIX)
        else "Check the file, or download it again."
    )
    return SourceError(f"{name}: cannot be read: {reason}. {advice}")
