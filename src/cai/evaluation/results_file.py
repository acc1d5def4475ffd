"""Findings as JSON files: written whole or not at all, and read back with their types."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from cai.atomic_write import atomic_write
from cai.errors import EvaluationError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


def save_results(path: Path, found: "DataclassInstance") -> None:
    """Writes the finding's fields, into a folder that is made if absent.

    Raises:
        EvaluationError: The file cannot be written.
    """
    content: dict[str, Any] = asdict(found)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    atomic_write(path, text, EvaluationError, "Free space, or name another folder.")


def load_results(path: Path, kind: type[T]) -> T:
    """The finding that `save_results` wrote there.

    Raises:
        EvaluationError: There is none, or it is of another version of cai.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EvaluationError(
            f"{path}: was not written by this version of cai ({where}: {first['msg']})."
        ) from error
