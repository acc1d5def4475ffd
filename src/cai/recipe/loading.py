"""Recipes from YAML files: the presets by name, others by path."""

from difflib import get_close_matches
from pathlib import Path

from cai.errors import UsageError
from cai.recipe.locating import located
from cai.recipe.reading import read_part
from cai.recipe.schema import Recipe

_PRESETS = Path(__file__).parent / "presets"


def load_recipe(name_or_path: str) -> Recipe:
    """The preset of that name, or the recipe of a YAML file, whose files may lie beside it.

    Raises:
        UsageError: There is none, or it breaks the schema; the message names every place.
    """
    presets = shipped_presets()
    path = _PRESETS / f"{name_or_path}.yaml" if name_or_path in presets else Path(name_or_path)
    try:
        recipe = read_part(path, Recipe)
    except OSError as error:
        close = get_close_matches(name_or_path, presets, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise UsageError(
            f"{name_or_path}: cannot be read as a recipe ({error.strerror}). {hint}"
            f"The presets are {', '.join(presets)}."
        ) from error
    except UsageError as error:
        if "round is not known." not in str(error):
            raise
        raise UsageError(f"{path}: is a series of rounds. Do it with `cai rounds`.") from None
    return located(recipe, path.parent)


def shipped_presets() -> list[str]:
    """The names of the presets, sorted."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def preset_text(name: str) -> str:
    """The YAML of a preset, to copy and change.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in shipped_presets():
        raise UsageError(
            f"There is no preset {name!r}. The presets are {', '.join(shipped_presets())}."
        )
    return (_PRESETS / f"{name}.yaml").read_text("utf-8")
