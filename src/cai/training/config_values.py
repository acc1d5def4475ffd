"""Whether a value out of a YAML file fits the field of a config, by the field's annotation.

YAML 1.1 reads `1e-4` as text and `no` as false; both are what everybody writes, and both are taken
for what they mean.
"""

import math
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Literal, Union, cast, get_args, get_origin

from cai.suggest import did_you_mean

_WORDS: Mapping[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    types.NoneType: "null",
    dict: "a mapping",
    list: "a list",
}


class Misfit(Exception):
    """A value that does not fit; the message says what is wanted."""


def fitted(value: object, annotation: object) -> object:
    """The value as the annotation has it: "1e-4" as a number, false as the choice "no".

    Raises:
        Misfit: It cannot be had so.
    """
    kinds = _kinds(annotation)
    for take in (_exact, _meant):
        for kind in kinds:
            found = take(value, kind)
            if found is not _NOT:
                return found
    raise Misfit(_wish(value, kinds))


def nearest(name: str, known: Sequence[str]) -> str:
    """A sentence with the names that were probably meant; empty where none is near."""
    hint = did_you_mean(name, known, n=3)
    return f" {hint}" if hint else ""


_NOT = object()
"""No value at all, as None is one."""


def _kinds(annotation: object) -> list[object]:
    """The kinds that a union joins. Text that only stands for the names of an enum is left out."""
    origin = get_origin(annotation)
    kinds: list[object] = (
        list(get_args(annotation)) if origin in (Union, types.UnionType) else [annotation]
    )
    has_enum = any(_is_enum(kind) for kind in kinds)
    return [kind for kind in kinds if not (has_enum and kind is str)]


def _is_enum(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _exact(value: object, kind: object) -> object:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if _is_enum(kind) or origin is Literal:
        is_one = any(type(one) is type(value) and one == value for one in _names(kind))
        return value if is_one else _NOT
    if kind is float:
        return value if _is_finite(value) else _NOT
    if origin is list or origin is tuple:
        return _sequence(value, origin, inner)
    if origin is dict or kind is dict:
        return _mapping(value, inner)
    return value if isinstance(kind, type) and type(value) is kind else _NOT


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def _sequence(value: object, origin: object, inner: tuple[object, ...]) -> object:
    if not isinstance(value, list | tuple):
        return _NOT
    items = cast("Sequence[object]", value)
    wanted = inner if origin is tuple else inner * len(items)
    if len(items) != len(wanted):
        return _NOT
    try:
        found = [fitted(item, kind) for item, kind in zip(items, wanted, strict=True)]
    except Misfit:
        return _NOT
    return tuple(found) if origin is tuple else found


def _mapping(value: object, inner: tuple[object, ...]) -> object:
    if not isinstance(value, Mapping):
        return _NOT
    items = cast("Mapping[str, object]", value)
    try:
        return {name: fitted(item, inner[1]) if inner else item for name, item in items.items()}
    except Misfit:
        return _NOT


def _meant(value: object, kind: object) -> object:
    """What YAML 1.1 reads otherwise than it is meant."""
    if value is False and _is_enum(kind) and "no" in _names(kind):
        return "no"
    if kind is float and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return _NOT
        return number if math.isfinite(number) else _NOT
    return _NOT


def _names(kind: object) -> list[object]:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [one.value for one in kind]
    return list(get_args(kind))


def _wish(value: object, kinds: Sequence[object]) -> str:
    names = [name for kind in kinds for name in _names(kind) if _is_choice(kind)]
    words = [_words(kind) for kind in kinds if not _is_choice(kind)]
    if names:
        words.append("one of " + ", ".join(str(name) for name in names))
    hint = nearest(str(value), [str(name) for name in names]) if isinstance(value, str) else ""
    return f"{' or '.join(words)} is wanted.{hint}"


def _is_choice(kind: object) -> bool:
    return _is_enum(kind) or get_origin(kind) is Literal


def _words(kind: object) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is list:
        return f"a list of {_PLURALS.get(inner[0], 'values')}"
    if origin is tuple:
        return f"a list of {len(inner)} {_PLURALS.get(inner[0], 'values')}"
    return _WORDS.get(kind if origin is None else origin, "nothing that a file can hold")


_PLURALS: Mapping[object, str] = {str: "texts", float: "numbers", int: "whole numbers"}
