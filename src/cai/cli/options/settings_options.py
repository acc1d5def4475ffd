"""The options of a step's settings, derived from the fields of its type in `methods/settings.py`.

Each field becomes one option: its name, or the flag it declares, its default, its range and its
help. What the options give is checked by the type itself, and handed to the command as one object.

Example:
    @click.command()
    @with_settings(JudgeSettings)
    def judge(settings: JudgeSettings) -> int: ...
"""

from collections.abc import Callable, Collection
from functools import wraps
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from cai.cli.options.run_options import with_options
from cai.errors import UsageError
from cai.methods.settings import Option, Settings

Command = Callable[..., int]


def with_settings(
    kind: type[Settings], name: str = "settings", *, leave_out: Collection[str] = ()
) -> Callable[[Command], Command]:
    """Gives a command the options of these settings, and their object under `name`.

    Fields to `leave_out` have no option and keep their defaults.
    """
    fields = {key: field for key, field in kind.model_fields.items() if key not in leave_out}

    def decorate(command: Command) -> Command:
        @wraps(command)
        def gathered(**options: Any) -> int:
            given = {key: options.pop(_variable(key)) for key in fields}
            return command(**{name: settings_from_options(kind, given)}, **options)

        return with_options(gathered, [setting_option(kind, key, _variable(key)) for key in fields])

    return decorate


def settings_from_options(kind: type[Settings], given: dict[str, Any]) -> Settings:
    """The settings with these values. Raises UsageError, which names the flag that is wrong."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        raise UsageError(f"{_flag(kind, name)}: {first['input']!r} {first['msg']}.") from None


def setting_option(
    kind: type[Settings], name: str, variable: str = ""
) -> Callable[[Command], Command]:
    """The option of one field, given to the command as `variable`, by default the field's name."""
    variable = variable or name
    field = kind.model_fields[name]
    extra = _extra(field)
    default = field.default
    shown: dict[str, Any] = {"default": default, "show_default": default is not None}
    if extra.parse is not None:
        shown |= {"default": extra.default, "callback": _parsing(extra.parse)}
        return click.option(
            _flag(kind, name), variable, metavar=extra.metavar, help=_help(field), **shown
        )
    if field.annotation is bool:
        is_switch = "/" in _flag(kind, name)
        shown |= {} if is_switch else {"is_flag": True, "show_default": False}
        return click.option(_flag(kind, name), variable, help=_help(field), **shown)
    if get_origin(field.annotation) is tuple:
        item = get_args(field.annotation)[0]
        shown |= {"default": list(default), "multiple": True, "show_default": bool(default)}
        return click.option(
            _flag(kind, name), variable, type=_click_type(item, []), help=_help(field), **shown
        )
    return click.option(
        _flag(kind, name),
        variable,
        type=_click_type(field.annotation, field.metadata),
        metavar=extra.metavar,
        help=_help(field),
        **shown,
    )


def _variable(name: str) -> str:
    """The parameter of a setting's option: a command may have an option of its own by that name."""
    return f"setting_{name}"


def _extra(field: FieldInfo) -> Option:
    return next((each for each in field.metadata if isinstance(each, Option)), Option())


def _flag(kind: type[Settings], name: str) -> str:
    field = kind.model_fields.get(name)
    flag = _extra(field).flag if field is not None else None
    return flag or f"--{name.replace('_', '-')}"


def _help(field: FieldInfo) -> str:
    return field.description or ""


def _parsing(parse: Callable[[str], object]) -> Callable[..., object]:
    def callback(_: click.Context, param: click.Parameter, value: str) -> object:
        try:
            return parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


def _click_type(annotation: Any, metadata: list[Any]) -> click.ParamType[Any] | type:
    """The click type of a field's type, with its range where it has one."""
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):  # X | None
        [inner] = [each for each in get_args(annotation) if each is not type(None)]
        return _click_type(inner, metadata)
    if hasattr(annotation, "__metadata__"):  # Annotated
        return _click_type(annotation.__origin__, [*annotation.__metadata__, *metadata])
    limits = _limits(metadata)
    if annotation is int:
        return click.IntRange(**limits) if limits else int
    if annotation is float:
        return click.FloatRange(**limits) if limits else float
    return str


def _limits(metadata: list[Any]) -> dict[str, Any]:
    """The range of a number as click has it, from pydantic's constraints."""
    found: dict[str, Any] = {}
    for each in metadata:
        for one in each.metadata if isinstance(each, FieldInfo) else [each]:
            match one:
                case annotated_types.Ge(ge):
                    found["min"] = ge
                case annotated_types.Gt(gt):
                    found |= {"min": gt, "min_open": True}
                case annotated_types.Le(le):
                    found["max"] = le
                case annotated_types.Lt(lt):
                    found |= {"max": lt, "max_open": True}
                case _:
                    pass
    return found
