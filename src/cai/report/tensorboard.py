"""The scalars of TensorBoard's event files, read without TensorBoard.

A file is a row of records: length (8 bytes), its checksum (4), an `Event` message, checksum (4).
Messages are protocol buffers, as in TensorFlow's `event.proto` and `summary.proto`; only the step
and the simple values of a summary are read.

Example:
    read_scalars(Path("models/sl/logs"))["train/loss"]  # [(10, 2.5), (20, 1.25)]
"""

import struct
from collections.abc import Iterator
from pathlib import Path

# Numbers of wire types and of fields in the two .proto files.
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_STEP, _SUMMARY = 2, 5
_VALUE = 1
_TAG, _SIMPLE_VALUE = 1, 2


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The values by tag in the order of their steps; of a repeated step the last one counts."""
    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: path.name):
        data = path.read_bytes()
        start = 0
        while start + 12 <= len(data):
            (length,) = struct.unpack_from("<Q", data, start)
            message = data[start + 12 : start + 12 + length]
            if len(message) < length:  # a training that was killed leaves half a record
                break
            try:
                _add_event(message, found)
            except (IndexError, struct.error, UnicodeDecodeError):
                break  # the file is damaged from here on
            start += 16 + length
    return {tag: sorted(values.items()) for tag, values in found.items()}


def _add_event(message: bytes, found: dict[str, dict[int, float]]) -> None:
    fields = list(_fields(message))
    step = next((value for number, value in fields if number == _STEP), 0)
    for summary in (value for number, value in fields if number == _SUMMARY):
        for number, value in _fields(summary) if isinstance(summary, bytes) else ():
            if number != _VALUE or not isinstance(value, bytes):
                continue
            scalar = dict(_fields(value))
            tag, simple = scalar.get(_TAG), scalar.get(_SIMPLE_VALUE)
            if isinstance(tag, bytes) and isinstance(simple, bytes) and isinstance(step, int):
                (figure,) = struct.unpack("<f", simple)
                if tag and figure == figure:  # NaN, the loss of a diverged run, cannot be drawn
                    found.setdefault(tag.decode("utf-8"), {})[step] = figure


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a message: number, and an integer or the raw bytes."""
    start = 0
    while start < len(message):
        key, start = _varint(message, start)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, start = _varint(message, start)
            yield number, value
            continue
        if kind == _BYTES:
            length, start = _varint(message, start)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise IndexError(f"wire type {kind}")
        yield number, message[start : start + length]
        start += length


def _varint(message: bytes, start: int) -> tuple[int, int]:
    """An integer of seven bits a byte, the lowest first, and where the next field starts."""
    value = shift = 0
    while True:
        byte = message[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
