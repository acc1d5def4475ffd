"""Results as JSON files: written atomically, and read with their types.

Example:
    save_results(out / "evaluation.json", evaluation)
    evaluation = load_results(out / "evaluation.json", Evaluation)
"""

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


def save_results(path: Path, results: "DataclassInstance") -> None:
    """Writes the fields of a dataclass, into a folder that is made if absent.

    Raises:
        EvaluationError: The file cannot be written.
    """
    content: dict[str, Any] = asdict(results)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    atomic_write(path, text, EvaluationError, "Free space, or name another folder.")


def load_results(path: Path, kind: type[T]) -> T:
    """The results that `save_results` wrote there.

    Raises:
        EvaluationError: The file cannot be read, or is of another version of cai.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        # The first error is enough: a file of another version has an error in every field.
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EvaluationError(
            f"{path}: was not written by this version of cai ({where}: {first['msg']})."
        ) from error
