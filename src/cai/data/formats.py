"""From what a user names to a table: the file's name says the format."""

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

from cai.data.json_files import JsonFile
from cai.data.parquet import HUB_PREFIX, HubDataset, ParquetTable
from cai.data.tables import Table, TableFile
from cai.data.text_files import CsvFile, JsonlFile, TextFile
from cai.errors import SourceError

_FORMATS: dict[str, Callable[[Path], TableFile]] = {
    ".jsonl": JsonlFile,
    ".ndjson": JsonlFile,
    ".json": JsonFile,
    ".csv": CsvFile,
    ".tsv": CsvFile,
    ".txt": TextFile,
    ".parquet": ParquetTable,
}


@contextmanager
def open_table(source: str) -> Generator[Table]:
    """A file, or a hub data set where it is written `hub:owner/name`; opened once.

    Raises:
        SourceError: There is no such file, or it cannot be read as what its name says.
    """
    with closing(_open(source)) as file:
        yield file.table()


def _open(source: str) -> TableFile:
    if source.startswith(HUB_PREFIX):
        return HubDataset(source)
    path = Path(source)
    _check_file(path)
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    ending = plain.suffix.lower()
    if ending not in _FORMATS:
        raise SourceError(
            f"{path}: {ending or 'no ending'!r} does not tell a format. Name the file by one of "
            f"{', '.join(_FORMATS)}, each but Parquet also with .gz behind it."
        )
    if ending == ".parquet" and plain != path:
        raise SourceError(f"{path}: Parquet is not read through gzip. Unpack it: gunzip {path}")
    return _FORMATS[ending](path)


def _check_file(path: Path) -> None:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise SourceError(
            f"{str(path)!a}: the name is not UTF-8, and it becomes part of every record. Rename it."
        ) from None
    try:
        if path.is_dir():
            raise SourceError(
                f"{path}: is a folder. Name the files in it, for example {path}/*.jsonl"
            )
        if not path.exists():
            raise SourceError(f"{path}: no such file. Check the path.")
        if not path.is_file():
            raise SourceError(
                f"{path}: is not a regular file, and prompts are read twice: once to check them, "
                "once to run them. Save it as a file first."
            )
        if path.stat().st_size == 0:
            raise SourceError(f"{path}: is empty. Give a file with at least one prompt.")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}. Check the path.") from error
