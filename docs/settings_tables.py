"""Writes `settings.md`: a table of each step's settings, from the types that declare them.

`python docs/settings_tables.py` writes it; `tests/test_docs.py` fails where it is out of date.
"""

from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from cai.methods.settings import (
    JudgeSettings,
    Option,
    ReviseSettings,
    SampleSettings,
    ScoreSettings,
    StepSettings,
)

PAGE = Path(__file__).with_name("settings.md")
INTRODUCTION = """# Settings of each step

Each setting is declared once, in `src/cai/methods/settings.py`. It has the same meaning, default
and range as an option of the command line, as a key in a recipe and as an argument in Python. A run
folder writes down every setting in `run.yaml`; those marked † stand there with the model that they
are for.
"""
STEPS: dict[str, tuple[type[StepSettings], str]] = {
    "Revise": (ReviseSettings, "`cai revise`, `cai try`; in a recipe under `revise:`"),
    "Sample": (SampleSettings, "`cai sample`; in a recipe under `sample:`"),
    "Judge": (
        JudgeSettings,
        "`cai judge`, `agreement`, `evaluate`, `serve`, `constitution test`, and the judges of "
        "`cai train grpo` and `rloo`; in a recipe under `judge:`, and under `judge:` of a training",
    ),
    "Score": (
        ScoreSettings,
        "`cai score`, `suites`, `serve`, and `--score` of `cai train grpo` and `rloo`; in a recipe "
        "under `score:`, and under `score:` of a training",
    ),
}


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for title, (kind, where) in STEPS.items():
        parts.append(f"\n## {title}\n\n`{kind.__name__}`: {where}.\n")
        parts.append("\n| setting | option | default | meaning |\n|---|---|---|---|\n")
        role_fields = kind.role_fields()
        for name, field in kind.model_fields.items():
            mark = " †" if name in role_fields else ""
            cells = (f"`{name}`{mark}", f"`{_flag(name, field)}`", _default(field), _meaning(field))
            parts.append(f"| {' | '.join(cells)} |\n")
    return "".join(parts)


def _option(field: FieldInfo) -> Option:
    return next((each for each in field.metadata if isinstance(each, Option)), Option())


def _flag(name: str, field: FieldInfo) -> str:
    return _option(field).flag or f"--{name.replace('_', '-')}"


def _default(field: FieldInfo) -> str:
    option, default = _option(field), field.default
    if option.default is not None:
        return f"`{option.default}`"
    if default in ((), None):
        return ""
    if isinstance(default, tuple):
        default = ", ".join(map(str, default))
    return "off" if default is False else f"`{default}`"


def _meaning(field: FieldInfo) -> str:
    meaning = field.description or ""
    if get_origin(field.annotation) is Literal:
        meaning += " One of " + ", ".join(f"`{each}`" for each in get_args(field.annotation)) + "."
    return meaning


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
