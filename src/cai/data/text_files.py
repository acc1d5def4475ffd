"""Files that are read line by line (JSONL, plain text, CSV and TSV, each also gzipped), and JSON.

JSON is read strictly: a key that one object has twice is an error, which the standard parser would
let pass. A row that cannot be read is a `RowError` among the rows; a damaged file raises.

Example:
    file = JsonlFile(Path("red-team.jsonl"))
    print(file.table().columns)                      # ("id", "prompt")
    for number, row in file.rows(("prompt",)):       # (1, {"id": "a", "prompt": "…"})
        ...
    file.close()
"""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from cai.data.tables import HEAD_ROWS, NumberedRows, Row, RowError, Table
from cai.errors import SourceError

# Only a file that is not line by line at all has longer ones, and memory would fill with it.
MAX_LINE_BYTES = 64 * 2**20
TEXT_COLUMN = "text"
# What JSON in a file named .txt starts with; a prompt may well start with "[" or "{" alone.
_JSON_OPENINGS = (b'{"', b"[{", b'["')
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_DELIMITERS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r'"?sep=([,;|\t])"?')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineFile:
    """An open file of lines, read from its start as often as needed without opening it again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = _open_bytes(path)
        self.close = self._stream.close

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Each line with its number, counted from 1, and its line end.

        Raises:
            SourceError: The file is damaged or empty, or a line is longer than `MAX_LINE_BYTES`.
        """
        # A line ends at \n and nowhere else: Unicode has other separators (U+2028, U+0085, a form
        # feed), which stand inside texts, and splitting at those would break a record in two.
        # A gzipped file can be rewound too: it is then unpacked from the start again.
        self._stream.seek(0)
        number = 0
        while True:
            number += 1
            try:
                line = self._stream.readline(MAX_LINE_BYTES + 1)
            except (OSError, EOFError, zlib.error) as error:
                raise _unreadable(f"{self.path}:{number}", error) from error
            if len(line) > MAX_LINE_BYTES:
                raise SourceError(
                    f"{self.path}:{number}: the line is longer than {MAX_LINE_BYTES // 2**20} "
                    "MiB. Is the file one row a line?"
                )
            if not line and number > 1:
                return
            if not line:
                raise _empty(self.path)
            yield number, line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line


class JsonlFile:
    """One JSON object a line; blank lines are counted and skipped."""

    def __init__(self, path: Path) -> None:
        self._file = LineFile(path)
        self.close = self._file.close

    def table(self) -> Table:
        """The keys of the first rows as columns.

        Raises:
            SourceError: None of the first rows can be read.
        """
        path, columns, problem = self._file.path, dict[str, None](), ""
        # of all first rows, since rows may leave out keys that they have no value for
        for number, row in islice(self.rows(()), HEAD_ROWS):
            if isinstance(row, RowError):
                problem = problem or f"{path}:{number}: {row}"
            else:
                columns.update(dict.fromkeys(row))
        if not columns:
            problem = problem or f"{path}: has no rows with anything in them"
            raise SourceError(f"{problem}. Each line needs one JSON object; fix the file.")
        reopen = partial(JsonlFile, path)
        return Table(str(path), "JSONL", tuple(columns), self.rows, reopen, by_line=True)

    def rows(self, columns: Sequence[str]) -> NumberedRows:
        """Whole rows, whatever the columns."""
        for number, line in self._file.lines():
            if not line.strip():
                continue
            try:
                value = parse_json(decode(line.rstrip(b"\r\n")))
            except RowError as error:
                yield number, error
                continue
            if isinstance(value, dict):
                yield number, cast(Row, value)
            else:
                yield number, RowError('is JSON, but not an object such as {"prompt": "…"}')


class TextFile:
    """One prompt a line, with all its spaces; blank lines are counted and skipped."""

    def __init__(self, path: Path) -> None:
        self._file = LineFile(path)
        self.close = self._file.close

    def table(self) -> Table:
        """The one column of texts.

        Raises:
            SourceError: The first line is JSON, whose brackets and keys would become prompts.
        """
        path = self._file.path
        for _, line in self._file.lines():
            if line.strip() in (b"[", b"{") or line.lstrip().startswith(_JSON_OPENINGS):
                raise SourceError(
                    f"{path}: holds JSON. Name it .json, or .jsonl with one row a line."
                )
            if line.strip():
                break
        reopen, column = partial(TextFile, path), TEXT_COLUMN
        return Table(
            str(path), "text", (column,), self.rows, reopen, by_line=True, only_column=column
        )

    def rows(self, columns: Sequence[str]) -> NumberedRows:
        """Each line as a row of one column."""
        for number, line in self._file.lines():
            try:
                text = decode(line)
            except RowError as error:
                yield number, error
                continue
            if text.strip():
                yield number, {TEXT_COLUMN: text.removesuffix("\n").removesuffix("\r")}


class CsvFile:
    """Rows under a header; the separator is the one that the header is divided by.

    Excel writes semicolons where the decimal sign is a comma, and may name the separator in a line
    `sep=;` before the header. One column may be without a name, as that of an exported index is; it
    is ignored.
    """

    def __init__(self, path: Path) -> None:
        self._file = LineFile(path)
        self.close = self._file.close
        is_tsv = path.name.lower().removesuffix(".gz").endswith(".tsv")
        self._has_separator_line = False
        try:
            self._delimiter = self._found_delimiter("\t" if is_tsv else ",")
        except SourceError:
            self.close()
            raise

    def _found_delimiter(self, usual: str) -> str:
        lines = self._decoded()
        first = next(lines, "").rstrip("\r\n")
        named = _SEPARATOR_LINE.fullmatch(first)
        if named is not None:
            self._has_separator_line = True
            return named[1]
        n_fields: dict[str, int] = {}
        for each in _DELIMITERS:
            # A header that cannot be divided is reported by whoever reads it.
            with suppress(csv.Error):
                for fields in csv.reader([first], delimiter=each):
                    n_fields[each] = len(fields)
        # The usual one wins where it divides the header at all: a name may have a semicolon in it.
        if not n_fields or n_fields.get(usual, 0) > 1:
            return usual
        best = max(n_fields, key=n_fields.__getitem__)
        return best if n_fields[best] > 1 else usual

    def table(self) -> Table:
        """The header's names as columns.

        Raises:
            SourceError: No header, or one in which a name occurs twice.
        """
        columns = tuple(name for name in self._header(self._records()) if name)
        format = "TSV" if self._delimiter == "\t" else "CSV"
        path, reopen = self._file.path, partial(CsvFile, self._file.path)
        return Table(str(path), format, columns, self.rows, reopen, by_line=True)

    def rows(self, columns: Sequence[str]) -> NumberedRows:
        """Whole rows; one that has not as many fields as the header is an error."""
        records = self._records()
        header = self._header(records)
        for number, fields in records:
            if isinstance(fields, RowError):
                yield number, fields
            elif len(fields) != len(header):
                reason = (
                    f"has the wrong number of fields: expected {len(header)}, got {len(fields)}; "
                    "a text that holds the separator or a line break needs quotes around it"
                )
                yield number, RowError(reason)
            else:
                yield number, dict(zip(header, fields, strict=True))

    def _header(self, records: Iterator[tuple[int, list[str] | RowError]]) -> list[str]:
        path = self._file.path
        for number, fields in records:
            if isinstance(fields, RowError):
                raise SourceError(f"{path}:{number}: the header {fields}. Fix it.")
            names = [name for name in fields if name.strip()]
            twice = {name for name in fields if fields.count(name) > 1}
            if not names or twice:
                fault = f"names {sorted(twice)[0]!r} twice" if names else "is empty"
                raise SourceError(
                    f"{path}:{number}: the header {fault}. Each column needs a name of its own."
                )
            return fields
        raise _empty(path)

    def _records(self) -> Iterator[tuple[int, list[str] | RowError]]:
        """Each record that is not blank, with the line where it starts."""
        # The limit is the module's own and cannot be set for one reader; its default of 128 KiB is
        # shorter than real dialogues.
        csv.field_size_limit(MAX_LINE_BYTES)
        lines = self._decoded()
        n_before = 0
        if self._has_separator_line:
            n_before = 1
            next(lines, None)
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        while True:
            # A quoted field may have line breaks, so a record may end lines after its start.
            start = n_before + reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield start, RowError(f"is not readable as a row: {error}")
                continue
            if fields:
                yield start, fields

    def _decoded(self) -> Iterator[str]:
        for number, line in self._file.lines():
            try:
                yield decode(line)
            except RowError as error:
                # This row cannot be skipped alone: where its record ends is not known either.
                raise SourceError(f"{self._file.path}:{number}: {error}.") from None


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """The whole file, unpacked where it is gzipped, without a byte-order mark.

    Raises:
        SourceError: It cannot be read, is empty, or is larger than that.
    """
    with _open_bytes(path) as stream:
        try:
            data = stream.read(max_bytes + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise _unreadable(str(path), error) from error
    if len(data) > max_bytes:
        raise SourceError(
            f"{path}: is larger than {max_bytes // 2**20} MiB, and such a file is read as a whole. "
            "Turn it into JSONL, which is read row by row."
        )
    if not data.strip():
        raise _empty(path)
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
        if data.startswith(_WIDE_MARKS):
            raise RowError(
                'is not UTF-8 but UTF-16, as Excel\'s "Unicode text" is; save the file as UTF-8'
            ) from None
        # Every text can be read as Windows-1252; of a word such as "Über" it is the usual encoding.
        shown = data[max(0, error.start - 12) : error.start + 12].decode("cp1252", "replace")
        raise RowError(
            f"is not UTF-8: byte 0x{byte:02x} at byte {error.start + 1} (as Windows-1252 it reads "
            f"{shown!r}); save the file as UTF-8, for example with iconv -f WINDOWS-1252 -t UTF-8"
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
        raise _unreadable(str(path), error) from error


def _unreadable(place: str, error: Exception) -> SourceError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SourceError(f"{place}: cannot be read: {reason}. Check the file, or download it again.")


def _empty(path: Path) -> SourceError:
    return SourceError(f"{path}: is empty. Give a file with at least one prompt.")


def parse_json(text: str) -> object:
    """The value.

    Raises:
        RowError: It is not JSON, names a key twice in one object, or is nested too deeply.
    """
    try:
        return cast(object, _DECODER.decode(text))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column" if error.lineno > 1 else "column"
        message = error.msg.removesuffix(" at")
        raise RowError(f"is not JSON: {message} at {where} {error.colno}") from None
    except RecursionError:
        raise RowError("is nested too deeply to be a prompt") from None
    except ValueError as error:  # an integer of more than 4300 digits
        raise RowError(f"is not JSON that can be read: {error}") from None


def _object(pairs: list[tuple[str, object]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        # The slow search only runs where the lengths show that some key is there twice.
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise RowError(f"names the key {twice!r:.100} twice in one object")
    return row


# Made once: json.loads with a hook would make a decoder for every line.
_DECODER = json.JSONDecoder(object_pairs_hook=_object)
