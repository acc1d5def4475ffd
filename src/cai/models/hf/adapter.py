"""Adapters of peft: folders with a few weights that are added to those of another model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, cast

from cai.errors import ModelError

_Net = TypeVar("_Net")
_Merged = TypeVar("_Merged", covariant=True)
_FILE = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """What an adapter's folder says: the model it belongs to, its task, what it replaces whole."""

    base: str
    task: str
    replaced: tuple[str, ...]


class _Adapted(Protocol[_Merged]):
    def merge_and_unload(self) -> _Merged: ...


class _PeftOpener(Protocol):
    def from_pretrained(self, model: _Net, path: str, /) -> _Adapted[_Net]: ...


def merged(model: _Net, adapter: str) -> _Net:
    """The model with the adapter's weights added to its own.

    Raises:
        ModelError: peft is not installed, or the folder is not an adapter's.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelError(
            f"The adapter {adapter} needs the package peft. Install it: pip install peft."
        ) from error
    _check(adapter)
    opener = cast(_PeftOpener, PeftModel)
    return opener.from_pretrained(model, adapter).merge_and_unload()


def is_adapter(path: str) -> bool:
    """Whether the folder holds an adapter and no model of its own."""
    folder = Path(path)
    return (folder / _FILE).is_file() and not (folder / "config.json").is_file()


def read_adapter(adapter: str) -> AdapterFacts:
    """What the folder of an adapter says of itself.

    Raises:
        ModelError: There is no such folder, or its settings cannot be read.
    """
    _check(adapter)
    path = Path(adapter) / _FILE
    try:
        found = json.loads(path.read_text("utf-8"))
        base, task = str(found["base_model_name_or_path"]), str(found.get("task_type"))
        replaced = tuple(str(name) for name in found.get("modules_to_save") or ())
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path}: the settings of the adapter cannot be read ({error}). "
            "Save the adapter again, or copy the whole folder."
        ) from error
    return AdapterFacts(base, task, replaced)


def _check(adapter: str) -> None:
    if not (Path(adapter) / _FILE).is_file():
        raise ModelError(
            f"{adapter}: there is no adapter_config.json in such a folder. "
            "Give the folder in which peft saved the adapter."
        )
