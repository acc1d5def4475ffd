"""From what a user names to a table: the format is told by the file's name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from cai.errors import SourceError
from cai.sources.columnar import HUB_PREFIX, open_hub, open_parquet
from cai.sources.documents import open_json
from cai.sources.lines import open_csv, open_jsonl, open_text
from cai.sources.tables import Table

_OPENERS: dict[str, Callable[[Path], Table]] = {
    ".jsonl": open_jsonl,
    ".ndjson": open_jsonl,
    ".json": open_json,
    ".csv": open_csv,
    ".tsv": partial(open_csv, delimiter="\t"),
    ".txt": open_text,
    ".parquet": open_parquet,
}


def open_table(source: str) -> Table:
    """The rows of a file, or of a hub data set where it is written `hub:owner/name`.

    Raises:
        SourceError: There is no such file, or it cannot be read as what its name says.
    """
    if source.startswith(HUB_PREFIX):
        return open_hub(source)
    path = Path(source)
    _check_file(path)
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    form = plain.suffix.lower()
    if form not in _OPENERS:
        raise SourceError(
            f"{path}: {form or 'no ending'!r} does not tell a format. Name the file by one of "
            f"{', '.join(_OPENERS)}, each but Parquet also with .gz behind it."
        )
    if form == ".parquet" and plain != path:
        raise SourceError(f"{path}: Parquet is not read through gzip. Unpack it: gunzip {path}")
    return _OPENERS[form](path)


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
