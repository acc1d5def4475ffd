"""The scalars of TensorBoard's event files, read without TensorBoard.

A file is a row of records: length (8 bytes), checksum of it (4), an `Event` message, checksum (4).
Of an event only the step and the simple values of its summary are read; a record that is cut short
ends the file. The fields are those of tensorflow's `event.proto` and `summary.proto`.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_STEP, _SUMMARY = 2, 5
_VALUE = 1
_TAG, _SIMPLE_VALUE = 1, 2

_Field = tuple[int, int, bytes | int]


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The values by tag in the order of their steps; of a step that came twice the later one."""
    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: path.name):
        for message in _records(path):
            try:
                _add(message, found)
            except (IndexError, struct.error, UnicodeDecodeError):
                break  # damaged from here on
    return {tag: sorted(values.items()) for tag, values in found.items()}


def _add(message: bytes, found: dict[str, dict[int, float]]) -> None:
    step, summaries = 0, list[bytes]()
    for number, _, value in _fields(message):
        if number == _STEP and isinstance(value, int):
            step = value
        elif number == _SUMMARY and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for number, _, value in _fields(summary):
            if number == _VALUE and isinstance(value, bytes):
                _add_value(value, step, found)


def _add_value(message: bytes, step: int, found: dict[str, dict[int, float]]) -> None:
    tag, number_read = "", None
    for number, kind, value in _fields(message):
        if number == _TAG and isinstance(value, bytes):
            tag = value.decode("utf-8")
        elif number == _SIMPLE_VALUE and kind == _FOUR_BYTES and isinstance(value, bytes):
            (number_read,) = struct.unpack("<f", value)
    if tag and number_read is not None and number_read == number_read:
        found.setdefault(tag, {})[step] = number_read


def _records(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    place = 0
    while place + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        message = data[place + 12 : place + 12 + length]
        if len(message) < length:
            return
        yield message
        place += 16 + length


def _fields(message: bytes) -> Iterator[_Field]:
    """The fields of a message: number, wire type, and the value as it stands."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, kind, value
            continue
        length = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind)
        if length is None:
            if kind != _BYTES:
                raise IndexError(f"wire type {kind}")
            length, place = _varint(message, place)
        yield number, kind, message[place : place + length]
        place += length


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
