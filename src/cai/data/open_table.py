"""Files and data sets as tables: the name decides the format.

Example:
    with open_table("red-team.jsonl.gz") as table:
        print(table.columns)
"""

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

from cai.data.columns import listed
from cai.data.json_files import JsonFile
from cai.data.parquet import HUB_PREFIX, HubDataset, ParquetTable, SavedDataset
from cai.data.roles import RoleNames
from cai.data.table_shapes import in_rows_of_prompts
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
    ".arrow": SavedDataset,
}
# The files that `datasets.save_to_disk` writes beside its .arrow files.
_SAVED_FILES = ("state.json", "dataset_dict.json")


@contextmanager
def open_table(source: str, roles: RoleNames = ()) -> Generator[Table]:
    """A file, or a hub data set where it is written `hub:owner/name`; opened once.

    Raises:
        SourceError: There is no such file, or it cannot be read as what its name says.
    """
    is_hub = source.startswith(HUB_PREFIX)
    with closing(HubDataset(source) if is_hub else _open_file(Path(source))) as file:
        yield in_rows_of_prompts(file.table(), roles)


def _open_file(path: Path) -> TableFile:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise SourceError(
            f"{str(path)!a}: the name is not UTF-8, and it becomes part of every record. Rename it."
        ) from None
    try:
        if path.is_dir():
            if any((path / name).is_file() for name in _SAVED_FILES):
                return SavedDataset(path)
            raise SourceError(_advice_on_folder(path))
        if not path.exists():
            raise SourceError(f"{path}: no such file. Check the path.")
        # A pipe would be empty in the second pass, after the check has passed.
        if not path.is_file():
            raise SourceError(
                f"{path}: is not a regular file, and prompts are read twice: once to check them, "
                "once to run them. Save it as a file first."
            )
        if path.stat().st_size == 0:
            raise SourceError(f"{path}: is empty. Give a file with at least one prompt.")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}. Check the path.") from error
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    suffix = plain.suffix.lower()
    if suffix not in _FORMATS:
        raise SourceError(
            f"{path}: the ending {suffix!r} is not that of a known format. Name the "
            f"file with one of {', '.join(_FORMATS)}; all but Parquet may be gzipped (.jsonl.gz)."
        )
    if suffix in (".parquet", ".arrow") and plain != path:
        raise SourceError(f"{path}: {suffix} is not read through gzip. Unpack it: gunzip {path}")
    return _FORMATS[suffix](path)


def _advice_on_folder(path: Path) -> str:
    names = sorted(each.name for each in path.iterdir())
    readable = [name for name in names if Path(name.removesuffix(".gz")).suffix.lower() in _FORMATS]
    if not readable:
        return f"{path}: is a folder without a file that can be read. Its files: {listed(names)}."
    examples = " ".join(str(path / name) for name in readable[:3])
    return f"{path}: is a folder. Name the files in it, for example {examples}"
