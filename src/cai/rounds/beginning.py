"""The folder of a series made ready: what was asked for, once and for all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from cai.errors import UsageError
from cai.rounds.schema import RoundsRecipe

ASKED = "rounds.yaml"

_MAY_CHANGE = ("description", "rounds", "rules")
"""More rounds may be asked for, and other rules from the next round on."""


def begin(recipe: RoundsRecipe, out: Path) -> None:
    """Writes what is asked for, or finds that the folder is of the same series.

    Raises:
        UsageError: The folder cannot be written, or is of another series or of something else.
    """
    path = out / ASKED
    asked = recipe.model_dump(mode="json", by_alias=True)
    if path.exists():
        _check(path, asked)
    elif out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: is not empty, and no series of rounds. Name another with -o.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{ASKED}.part")
        part.write_text(yaml.safe_dump(asked, sort_keys=False, allow_unicode=True), "utf-8")
        part.replace(path)
    except OSError as error:
        raise UsageError(
            f"{out}: cannot be written ({error.strerror}). Name another folder with -o."
        ) from error


def _check(path: Path, asked: Mapping[str, Any]) -> None:
    before = cast("dict[str, Any]", yaml.safe_load(path.read_text("utf-8")) or {})
    changed = [
        name
        for name in dict.fromkeys([*before, *asked])
        if name not in _MAY_CHANGE and before.get(name) != asked.get(name)
    ]
    if changed:
        raise UsageError(
            f"{path.parent}: is of a series with another {', '.join(changed)}. Ask for the same "
            f"({', '.join(_MAY_CHANGE)} may change), or name another folder with -o."
        )
