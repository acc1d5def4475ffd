r"""Files that are read line by line: JSONL, plain text, CSV and TSV, each also gzipped.

A line ends at `\n` and nowhere else: Unicode has other separators (U+2028, U+0085, a form feed),
which stand inside texts, and splitting at those would break a record in two.

JSON, strictly: what the standard parser lets pass and a data set must not hold is an error.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from cai.data.tables import HEAD_ROWS, NumberedRows, Row, RowError, Table
from cai.errors import SourceError


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


MAX_LINE_BYTES = 64 * 2**20
TEXT_COLUMN = "text"
_JSON_OPENINGS = (b'{"', b"[{", b'["')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def open_jsonl(path: Path) -> Table:
    """One JSON object a line; blank lines are counted and passed over.

    Raises:
        SourceError: None of the first rows can be read.
    """
    columns: dict[str, None] = {}
    problem = ""
    for number, row in islice(_jsonl_rows(path), HEAD_ROWS):
        if isinstance(row, RowError):
            problem = problem or f"{path}:{number}: {row}"
        else:
            columns.update(dict.fromkeys(row))
    if not columns:
        problem = problem or f"{path}: holds no rows with anything in them"
        raise SourceError(f"{problem}. Each line needs one JSON object; mend the file.")
    return Table(str(path), "JSONL", tuple(columns), lambda _: _jsonl_rows(path), by_line=True)


def open_text(path: Path) -> Table:
    """One prompt a line, kept with all its spaces; blank lines are counted and passed over.

    Raises:
        SourceError: The first line is JSON, whose brackets and keys would become prompts.
    """
    for _, line in _lines(path):
        if line.strip() in (b"[", b"{") or line.lstrip().startswith(_JSON_OPENINGS):
            raise SourceError(f"{path}: holds JSON. Name it .json, or .jsonl with one row a line.")
        if line.strip():
            break
    return Table(
        str(path),
        "text",
        (TEXT_COLUMN,),
        lambda _: _text_rows(path),
        by_line=True,
        only_column=TEXT_COLUMN,
    )


def open_csv(path: Path, delimiter: str = ",") -> Table:
    """Rows under a header. A column without a name (an exported index) is let be, but only one.

    Raises:
        SourceError: No header, or one in which a name occurs twice.
    """
    header = _csv_header(path, delimiter)
    form = "CSV" if delimiter == "," else "TSV"
    return Table(
        str(path),
        form,
        tuple(name for name in header if name),
        lambda _: _csv_rows(path, delimiter, header),
        by_line=True,
    )


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """The whole file, unpacked where it is gzipped, without a byte-order mark.

    Raises:
        SourceError: It cannot be read, is empty, or is larger than that.
    """
    with _open_bytes(path) as stream:
        try:
            data = stream.read(max_bytes + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(_broken(path, error)) from error
    if len(data) > max_bytes:
        raise SourceError(
            f"{path}: is larger than {max_bytes // 2**20} MiB, and such a file is read as a whole. "
            "Turn it into JSONL, which is read row by row."
        )
    if not data.strip():
        raise SourceError(_empty(path))
    return data.removeprefix(_BYTE_ORDER_MARK)


def decode(data: bytes) -> str:
    """The text, from UTF-8.

    Raises:
        RowError: It is not UTF-8, or holds a raw NUL, as UTF-16 and binary files do.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        raise RowError(
            f"is not UTF-8: byte 0x{byte:02x} at byte {error.start + 1}; save the file as UTF-8"
        ) from None
    if "\0" in text:
        raise RowError(
            f"holds a raw NUL byte at character {text.index(chr(0)) + 1}; "
            "save the file as UTF-8 text, without NULs"
        )
    return text


def _open_bytes(path: Path) -> BinaryIO:
    try:
        if path.suffix.lower() == ".gz":
            return cast(BinaryIO, gzip.open(path, "rb"))
        return path.open("rb")
    except OSError as error:
        raise SourceError(_broken(path, error)) from error


def _broken(path: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{path}: cannot be read: {reason}. Check the file, or fetch it again."


def _empty(path: Path) -> str:
    return f"{path}: is empty. Give a file with at least one prompt."


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line with its number, counted from 1, and its line end."""
    with _open_bytes(path) as stream:
        number = 0
        while True:
            number += 1
            try:
                line = stream.readline(MAX_LINE_BYTES + 1)
            except (OSError, EOFError, zlib.error) as error:
                raise SourceError(_broken(Path(f"{path}:{number}"), error)) from error
            if len(line) > MAX_LINE_BYTES:
                raise SourceError(
                    f"{path}:{number}: the line is longer than {MAX_LINE_BYTES // 2**20} MiB. "
                    "Is the file one row a line?"
                )
            if not line and number > 1:
                return
            if not line:
                raise SourceError(_empty(path))
            yield number, line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line


def _jsonl_rows(path: Path) -> NumberedRows:
    for number, line in _lines(path):
        if line.strip():
            yield number, _json_object(line)


def _json_object(line: bytes) -> Row | RowError:
    try:
        value = parse_json(decode(line.rstrip(b"\r\n")))
    except RowError as error:
        return error
    if not isinstance(value, dict):
        return RowError('is JSON, but not an object such as {"prompt": "…"}')
    return cast(Row, value)


def _text_rows(path: Path) -> NumberedRows:
    for number, line in _lines(path):
        try:
            text = decode(line)
        except RowError as error:
            yield number, error
            continue
        if text.strip():
            yield number, {TEXT_COLUMN: text.removesuffix("\n").removesuffix("\r")}


def _csv_header(path: Path, delimiter: str) -> list[str]:
    for number, fields in _csv_records(path, delimiter):
        if isinstance(fields, RowError):
            raise SourceError(f"{path}:{number}: the header {fields}. Mend it.")
        names = [name for name in fields if name.strip()]
        twice = {name for name in fields if fields.count(name) > 1}
        if not names or twice:
            found = f"names {sorted(twice)[0]!r} twice" if names else "is empty"
            raise SourceError(
                f"{path}:{number}: the header {found}. Each column needs a name of its own."
            )
        return fields
    raise SourceError(_empty(path))


def _csv_rows(path: Path, delimiter: str, header: list[str]) -> NumberedRows:
    records = _csv_records(path, delimiter)
    next(records)
    for number, fields in records:
        if isinstance(fields, RowError):
            yield number, fields
        elif len(fields) != len(header):
            yield (
                number,
                RowError(
                    f"has the wrong number of fields: expected {len(header)}, found {len(fields)}; "
                    "a text that holds the separator or a line break needs quotes around it"
                ),
            )
        else:
            yield number, dict(zip(header, fields, strict=True))


def _csv_records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str] | RowError]]:
    """Each record that is not blank, with the line where it starts."""
    # The limit is the module's own and cannot be set for one reader; its default of 128 KiB is
    # shorter than real dialogues.
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader(_csv_lines(path), delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield start, RowError(f"is not readable as a row: {error}")
            continue
        if fields:
            yield start, fields


def _csv_lines(path: Path) -> Iterator[str]:
    for number, line in _lines(path):
        try:
            yield decode(line)
        except RowError as error:
            # No row can be passed over: where the record ends is not known either.
            raise SourceError(f"{path}:{number}: {error}.") from None
